"""All measurements of a run, combined to plain values."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from zerotrain.bench.chips import chip_report, step_cycles
from zerotrain.bench.golden import golden_seconds, step_bytes
from zerotrain.bench.milestone import Milestone, find_milestones
from zerotrain.bench.simulation import Simulated, simulate
from zerotrain.bench.targets import targets
from zerotrain.bench.workload import KINDS, Workload
from zerotrain.boards.catalogue import Board, find_board
from zerotrain.boards.routed import find_routed, load_routing
from zerotrain.boards.suit import with_board, with_fitting_banks
from zerotrain.compiler.plan import StepKind
from zerotrain.config.config import Config
from zerotrain.golden.fast.threads import thread_count
from zerotrain.spec.registers import Baseline
from zerotrain.spec.step import StepSettings

__all__ = ["BOARD_LANES", "PRESETS", "Options", "Simulate", "measure"]

PRESETS = ("digits", "mnist-3962", "mnist-8314", "mnist-2698", "mnist-dense-7940")
#: Boards, and the lanes of their chips; None for those that the user asks for.
BOARD_LANES: dict[str, tuple[int, ...] | None] = {"ulx3s-85f": None, "icebreaker": (8,)}
#: The chip that milestones are computed for.
_MILESTONE_BOARD, _MILESTONE_LANES = "ulx3s-85f", 64


class Simulate(StrEnum):
    """Which chips are simulated; the others have the planner's estimates."""

    DIGITS = "digits"  # 8 lanes, every step: seconds
    SHORT = "short"  # also the other presets, every lane count: a loss, an RGE step of 2 queries
    PAPER = "paper"  # the same, whole steps: minutes for each chip


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and how long: ``turns`` of each step, ``torch_seconds`` for PyTorch to
    find its fastest form for a preset."""

    presets: tuple[str, ...] = PRESETS
    lanes: tuple[int, ...] = (8, 64)
    simulate: Simulate = Simulate.DIGITS
    turns: int = 5
    torch_seconds: float = 4.0


def measure(options: Options, announce: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything; ``announce`` is told what is going on, in a sentence."""
    routing = load_routing()
    works = {
        (preset, name, lanes): Workload.of(_suited(Config.preset(preset), find_board(name), lanes))
        for preset in options.presets
        for name, fixed in BOARD_LANES.items()
        for lanes in (options.lanes if fixed is None else fixed)
    }
    simulated: list[Simulated] = []
    for (preset, board, lanes), work in works.items():
        steps = _simulated_steps(work, options, board)
        if steps:
            announce(f"Simulating {preset} on {lanes} lanes, for {board} ...")
            turns = options.turns if preset == "digits" else 1
            simulated += simulate(work, steps, turns=turns, announce=announce)
    presets = {}
    for preset in options.presets:
        announce(f"Measuring the golden model of {preset}, and PyTorch ...")
        presets[preset] = _preset_report(
            next(work for (name, *_), work in works.items() if name == preset), options
        )
    chips = [
        chip_report(
            work, find_board(board), simulated=simulated, routing=routing,
            step_bytes=presets[preset]["step_bytes"],
        )
        for (preset, board, _), work in works.items()
    ]  # fmt: skip
    report: dict[str, Any] = {
        "machine": {
            "processor": platform.machine(),
            "processors": os.cpu_count(),
            "threads": thread_count(),
            "load": round(os.getloadavg()[0], 2),
        },
        "presets": presets,
        "chips": chips,
        "simulated": [
            asdict(found) | {"cycles_per_second": round(found.cycles_per_second)}
            for found in simulated
        ],
        "milestones": [_milestone_report(run, simulated, routing) for run in find_milestones()],
    }
    report["targets"] = [asdict(target) | {"met": target.met} for target in targets(report)]
    return report


def _simulated_steps(
    work: Workload, options: Options, board: str
) -> list[tuple[StepKind, StepSettings]]:
    """Steps of a chip that are simulated."""
    if work.session.config.network.name == "digits":
        return list(work.settings.items()) if work.session.chip.lanes == 8 else []
    if options.simulate == Simulate.DIGITS or BOARD_LANES[board] is not None:
        return []
    if options.simulate == Simulate.PAPER:
        return list(work.settings.items())
    short = replace(work.settings["rge"], queries=2, baseline=Baseline.BASE)
    return [("evaluate", work.settings["evaluate"]), ("rge", short)]


def _preset_report(work: Workload, options: Options) -> dict[str, Any]:
    """What does not depend on the chip."""
    network = work.session.config.network
    report: dict[str, Any] = {
        "parameters": network.n_parameters,
        "batch": work.batch,
        "losses": {kind: work.losses(kind) for kind in KINDS},
        "step_bytes": step_bytes(work),
        "golden": golden_seconds(work, 4 * options.turns),
        "pytorch": None,
    }
    if find_spec("torch") is not None:
        from zerotrain.bench.torch_steps import torch_seconds

        report["pytorch"] = torch_seconds(work, options.torch_seconds)
    return report


def _suited(config: Config, board: Board, lanes: int) -> Config:
    """What ``zerotrain generate`` makes of a configuration for a board."""
    return with_fitting_banks(with_board(config, board, lanes), board)


def _milestone_report(
    run: Milestone, simulated: Sequence[Simulated], routing: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """A run's cycles up to its milestone, and their time at the routed clock."""
    board = find_board(_MILESTONE_BOARD)
    work = Workload.of(_suited(run.config, board, _MILESTONE_LANES))
    rge, rge_source = step_cycles(work, "rge", simulated)
    cge, cge_source = step_cycles(work, "cge", simulated)
    preset = run.config.network.name
    config_hash = f"{work.session.chip.config_hash:#010x}"
    routed = find_routed(routing, preset, _MILESTONE_BOARD, _MILESTONE_LANES, config_hash)
    hz = board.target_hz if routed is None else routed.hz
    clock = "target, not routed" if routed is None else "stale" if routed.stale else "routed"
    cycles = run.rge_steps * rge + run.cge_steps * cge
    return {
        "run": run.name, "preset": preset, "accuracy": run.accuracy, "board": board.name,
        "lanes": _MILESTONE_LANES, "rge_steps": run.rge_steps, "cge_steps": run.cge_steps,
        "cycles": cycles, "source": rge_source if rge_source == cge_source else "partly estimate",
        "hz": hz, "clock": clock, "seconds": cycles / hz,
    }  # fmt: skip
