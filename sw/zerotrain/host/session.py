"""A configuration made real: its chip, its plan, a bus to the chip, and runs on it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from zerotrain.compiler.lowering import Groups
from zerotrain.compiler.plan import Plan
from zerotrain.compiler.planner import plan
from zerotrain.config.config import Config
from zerotrain.config.training import Training
from zerotrain.data.dataset import Dataset
from zerotrain.exchange.fit import Start
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.driver import STEP_TIMEOUT, Driver
from zerotrain.host.health import Health
from zerotrain.host.identity import identity
from zerotrain.host.log import best_row
from zerotrain.host.metric import Measurement
from zerotrain.host.settings import chip_values
from zerotrain.host.trainer import Row, Trainer
from zerotrain.host.verify import Verification
from zerotrain.host.version import version
from zerotrain.spec.bus import Bus
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, Saturation

__all__ = ["ChipKind", "Log", "Progress", "Session", "summary", "train"]


class ChipKind(StrEnum):
    """Which chip a bus leads to."""

    GOLDEN = "golden"
    VERILATED = "verilated"
    COCOTB = "cocotb"


@dataclass(frozen=True)
class Session:
    """A chip and its plan for one configuration."""

    config: Config
    chip: Chip
    plan: Plan

    @classmethod
    def of(cls, config: Config, groups: Groups | None = None) -> "Session":
        """Plan a configuration, without building anything; ``groups`` where they are given."""
        chip = config.build_chip(groups)
        return cls(config, chip, plan(config.network, chip, batch=config.samples, groups=groups))

    @property
    def training(self) -> Training:
        """The training section, which must be there."""
        return self.config.required_training

    def open_bus(self, kind: ChipKind, *, announce: Callable[[str], None] | None = None) -> Bus:
        """Make the chip: at once for the golden one, after a build for the simulated ones.

        ``announce`` is told in a sentence when something slow begins.
        """
        if kind == ChipKind.GOLDEN:
            return GoldenChip(self.chip, self.config.network, self.plan.groups)
        from zerotrain.cosim.chip import VerilatedChip
        from zerotrain.cosim.cocotb_chip import CocotbChip
        from zerotrain.cosim.tools import require_tools

        require_tools()  # before the conversion to Verilog, which takes a while
        if kind == ChipKind.COCOTB:
            return CocotbChip(self.chip, announce=announce)
        return VerilatedChip(self.chip, announce=announce)

    @contextmanager
    def trainer(
        self,
        kind: ChipKind,
        dataset: Dataset,
        *,
        start: Start | None = None,
        timeout: float = STEP_TIMEOUT,
        announce: Callable[[str], None] | None = None,
    ) -> Iterator[Trainer]:
        """A trainer on a chip with the program loaded; the chip is released afterwards.

        ``start`` is what :func:`~zerotrain.host.start.load_start` found, for a run that begins.
        """
        training = self.training
        bus = self.open_bus(kind, announce=announce)
        try:
            network, program = self.config.network, self.plan.program
            driver = Driver.loaded(bus, self.chip, network, program, timeout=timeout)
            run = identity(self.config, self.plan.groups, dataset, start)
            yield Trainer(
                driver, training, dataset, step_macs=self.plan.step_macs, identity=run, start=start
            )
        finally:
            bus.close()


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for a progress display.

    Attributes
    ----------
    row : Row
        The step just taken.
    max_steps : int
        Steps in all, as far as known.
    remaining : float or None
        Seconds to go, estimated from the plan's cycles; None before the second step.
    """

    row: Row
    max_steps: int
    remaining: float | None


class _Clock:
    """Estimates the remaining time: the two kinds of steps differ in cost.

    The first step of each kind stays out of the estimate: programs load and compile what it needs.
    """

    def __init__(self, session: Session, trainer: Trainer) -> None:
        self._trainer = trainer
        training, step_cost = session.training, session.plan.step_cost
        rge = training.rge
        self._fine = step_cost("cge", batch=training.batch).cycles if training.cge else 0
        if (subspace := training.subspace) is not None:
            queries: dict[str, Any] = {"queries": subspace.queries, "baseline": Baseline.BASE}
            self._fine = step_cost("rge", batch=training.batch, **queries).cycles
        self._rge = 0
        if rge is not None:
            base = Baseline.MEAN if rge.baseline == "mean" else Baseline.BASE
            cost = step_cost("rge", batch=training.batch, queries=rge.queries, baseline=base)
            self._rge = cost.cycles
        self._last, self._seconds, self._worked = time.perf_counter(), 0.0, 0
        self._kinds: set[str] = set()

    def _work_left(self) -> int:
        schedule = self._trainer.schedule
        state, training = schedule.state, schedule.training
        left = coarse = schedule.max_steps - state.step
        if training.fine is not None:
            coarse = (
                training.rge.steps - state.rge_steps if training.rge and not state.rge_over else 0
            )
        return coarse * self._rge + (left - coarse) * self._fine

    def spent(self, row: Row) -> None:
        """Note a step. Work that a plateau makes unnecessary is not work done."""
        now, kind = time.perf_counter(), row.phase
        if kind in self._kinds:
            self._seconds += now - self._last
            self._worked += self._fine if kind in ("cge", "subspace") else self._rge
        self._kinds.add(kind)
        self._last = now

    def remaining(self) -> float | None:
        """Seconds."""
        if not self._worked:
            return None
        return self._seconds / self._worked * self._work_left()


class Log(Protocol):
    """Where a run's rows and checkpoints go: a folder, or memory."""

    rows: list[Row]

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the rows so far, then the checkpoint."""
        ...

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, just saved, as the best."""
        ...


def train(
    session: Session,
    trainer: Trainer,
    folder: Log,
    *,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[Progress], None] = lambda progress: None,
    checkpoint_seconds: float = 20.0,
) -> bool:
    """Run to the end of the schedule, or until ``stop`` says so; either leaves a checkpoint.

    Where the validation part is held out, the folder also keeps the checkpoint of the step with the
    best metric on it. The folder has been begun or resumed, and the trainer restored, by the
    caller.

    Returns
    -------
    bool
        Whether the run is complete.
    """

    def best() -> bool:
        return best_row(folder.rows, trainer.training, trainer.metric) is folder.rows[-1]

    def save() -> float:
        checkpoint = trainer.checkpoint()
        folder.save(checkpoint)
        if best():
            folder.save_best(checkpoint)
        return time.monotonic()

    if not folder.rows:
        start = trainer.begin()
        folder.rows.append(start)
        observe(Progress(start, trainer.schedule.max_steps, None))
    saved, clock = save(), _Clock(session, trainer)
    while not stop():
        row = trainer.advance()
        if row is None:
            break
        folder.rows.append(row)
        clock.spent(row)
        observe(Progress(row, trainer.schedule.max_steps, clock.remaining()))
        if time.monotonic() - saved >= checkpoint_seconds or (row.metric is not None and best()):
            saved = save()
    save()
    return trainer.schedule.next() is None


def summary(
    session: Session,
    trainer: Trainer,
    kind: ChipKind,
    *,
    found: Measurement,
    health: Health,
    verification: Verification | None,
    best: Row | None = None,
) -> dict[str, Any]:
    """What ``summary.json`` holds: what was ``found`` on the watched part of the data, by the
    metrics' names, and what the chip counted there. Figures that this chip cannot give are null.

    ``best`` is the row of the best checkpoint, where there is one.
    """
    part = trainer.watched
    counters, lanes = trainer.counters, session.chip.lanes

    def use(macs: int, cycles: int) -> float | None:
        return round(macs / (cycles * lanes), 4) if cycles else None

    cycles = counters.rge_cycles + counters.cge_cycles
    rate = getattr(trainer.driver.bus, "cycles_per_cpu_second", None)
    seen = Saturation(counters.saturation)
    return {
        "zerotrain": version(),
        "network": session.config.network.name,
        "parameters": session.config.network.n_parameters,
        "dataset": trainer.dataset.name,
        "chip": str(kind),
        "lanes": lanes,
        "config_hash": f"{session.chip.config_hash:#010x}",
        "groups": [list(sizes) for sizes in session.plan.groups],
        "measured": part,
        **{f"{part}_{key}": value for key, value in found.by_key.items()},
        f"{part}_samples": found.evaluation.count,
        f"{part}_correct": found.evaluation.correct,
        f"{part}_loss": found.evaluation.loss,
        "checkpoint": "last",
        "best": best and {"step": best.step, f"{part}_{trainer.metric.key}": best.metric},
        "initial": session.training.initial or None,
        "initial_weights": trainer.identity.get("initial_weights"),
        "steps": trainer.step,
        "extensions": list(session.training.extensions),
        "chip_values": chip_values(session.training, session.chip.formats),
        "rge_steps": counters.rge_steps,
        "cge_steps": counters.cge_steps,
        "cycles": cycles if kind != ChipKind.GOLDEN else None,
        "train_seconds": round(counters.seconds, 3),
        "cycles_per_cpu_second": round(rate) if rate else None,
        "multiplier_use_rge": use(counters.rge_macs, counters.rge_cycles),
        "multiplier_use_cge": use(counters.cge_macs, counters.cge_cycles),
        "saturation": [f.name.lower() for f in Saturation if f in seen and f.name],
        "clamped_steps": {str(k.name).lower(): n for k, n in health.counts.items()},
        "divergence": health.divergence or None,
        "running_hash": trainer.hash.value,
        "golden_equal": None if verification is None else verification.equal,
    }
