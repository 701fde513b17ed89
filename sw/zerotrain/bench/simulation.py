"""Cycles from the chip's counters, and the speed of its simulation."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from zerotrain.bench.workload import COMMANDS, Workload
from zerotrain.compiler.plan import StepKind
from zerotrain.cosim.chip import VerilatedChip
from zerotrain.golden.chip import GoldenChip
from zerotrain.spec.step import StepSettings

__all__ = ["Simulated", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulated:
    """One step of the simulated chip, equal to that of the golden model.

    Attributes
    ----------
    losses : int
        Losses of the batch that it took.
    cycles, beats, loss_stalls : int
        The chip's counters.
    use : float
        Share of lane-cycles that did multiply-accumulates of the plan.
    estimated_cycles : int
        What the planner says.
    seconds, golden_seconds : float
        Processor time of the step, of the simulation and of the golden model; best of all turns.
    """

    preset: str
    lanes: int
    config_hash: str
    kind: StepKind
    losses: int
    cycles: int
    beats: int
    loss_stalls: int
    use: float
    estimated_cycles: int
    seconds: float
    golden_seconds: float

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of processor time."""
        return self.cycles / self.seconds


def simulate(
    work: Workload,
    steps: Sequence[tuple[StepKind, StepSettings]],
    *,
    turns: int = 1,
    announce: Callable[[str], None] | None = None,
) -> list[Simulated]:
    """Take the steps on both chips, in turns, so that what else the machine does meets both alike.

    Raises
    ------
    BuildError
        If the chip cannot be built.
    RuntimeError
        If the chips come apart: such speeds mean nothing.
    """
    session, chip = work.session, work.session.chip
    verilated = VerilatedChip(chip, announce=announce)
    golden = GoldenChip(chip, session.config.network, session.plan.groups)
    try:
        drivers = work.driver(verilated), work.driver(golden)
        found: dict[int, Simulated] = {}
        for turn in range(turns):
            for index, (kind, settings) in enumerate(steps):
                seconds, results = [], []
                for driver in drivers:
                    begin = time.process_time()
                    results.append(driver.step(COMMANDS[kind], settings, bank=0))
                    seconds.append(time.process_time() - begin)
                result = results[0]
                if turn:
                    best = found[index]
                    seconds = [min(seconds[0], best.seconds), min(seconds[1], best.golden_seconds)]
                if not np.array_equal(result.losses, results[1].losses):
                    raise RuntimeError(_apart(work))
                found[index] = Simulated(
                    session.config.network.name, chip.lanes, f"{chip.config_hash:#010x}", kind,
                    work.losses(kind, settings), result.cycles, result.beats, result.loss_stalls,
                    round(work.macs(kind, settings) / (result.cycles * chip.lanes), 4),
                    work.cost(kind, settings).cycles, seconds[0], seconds[1],
                )  # fmt: skip
        if not np.array_equal(drivers[0].parameters, drivers[1].parameters):
            raise RuntimeError(_apart(work))
        return list(found.values())
    finally:
        verilated.close()


def _apart(work: Workload) -> str:
    return (
        f"The simulated chip and the golden model of {work.session.config.network.name} have come "
        "apart: run the tests before measuring speeds"
    )
