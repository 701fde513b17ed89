"""What a preset's steps cost on a chip of a board: cycles, clock, time, resources, link."""

from collections.abc import Mapping, Sequence
from typing import Any

from zerotrain.bench.simulation import Simulated
from zerotrain.bench.workload import KINDS, Workload, epoch_samples
from zerotrain.boards.catalogue import Board
from zerotrain.boards.estimate import check_fits, least_resources
from zerotrain.boards.family import Resource
from zerotrain.boards.routed import find_routed
from zerotrain.compiler.plan import StepKind

__all__ = ["chip_report", "step_cycles"]


def step_cycles(work: Workload, kind: StepKind, simulated: Sequence[Simulated]) -> tuple[int, str]:
    """Cycles of a step, and where they are from: this chip's ``counters`` for a step of as many
    losses, or the planner's ``estimate``."""
    wanted = f"{work.session.chip.config_hash:#010x}", kind, work.losses(kind)
    for found in simulated:
        if (found.config_hash, found.kind, found.losses) == wanted:
            return found.cycles, "counters"
    return work.cost(kind).cycles, "estimate"


def _refusal(work: Workload, board: Board) -> str:
    """Why a chip certainly does not fit a board; empty if it may."""
    try:
        check_fits(work.session.chip, board)
    except ValueError as error:
        return str(error)
    return ""


def _at_least(work: Workload, board: Board) -> dict[str, dict[str, int]]:
    """What the chip uses at least, by the names of a synthesis report."""
    names = {Resource.MULTIPLIER: board.multiplier, Resource.BLOCK_RAM: board.block_ram}
    return {
        names[resource]: {"used": need, "available": board.resources[resource]}
        for resource, need in least_resources(work.session.chip, board).items()
    }


def chip_report(
    work: Workload,
    board: Board,
    *,
    simulated: Sequence[Simulated],
    routing: Sequence[Mapping[str, Any]],
    step_bytes: Mapping[str, int],
) -> dict[str, Any]:
    """Plain values. Times are at the routed clock, where there is none at the board's target
    clock; a chip that does not fit the board has no times.

    ``link_bytes_per_second`` is the rate of a link below which it, and not the chip, would set the
    pace: the bytes of a step (batch, settings, results) over its time.
    """
    chip, training = work.session.chip, work.session.training
    preset, config_hash = work.session.config.network.name, f"{chip.config_hash:#010x}"
    routed = find_routed(routing, preset, board.name, chip.lanes, config_hash)
    if routed is None:
        clock: dict[str, Any] = {"hz": board.target_hz, "source": "target"}
    else:
        source = "stale" if routed.stale else "routed"
        clock = {"hz": routed.hz, "source": source, "seeds": routed.seeds}
    refusal = "" if clock["source"] == "routed" else _refusal(work, board)
    steps = epoch_samples(training.dataset) // work.batch
    rows: dict[str, Any] = {}
    for kind in KINDS:
        cycles, source = step_cycles(work, kind, simulated)
        rows[kind] = {
            "losses": work.losses(kind),
            "macs": work.macs(kind),
            "cycles": cycles,
            "source": source,
            "multiplier_use": round(work.macs(kind) / (cycles * chip.lanes), 4),
        }
        if not refusal:
            seconds = cycles / clock["hz"]
            rows[kind] |= {
                "seconds": seconds,
                "epoch_seconds": seconds * steps,
                "link_bytes_per_second": round(step_bytes[kind] / seconds),
            }
    return {
        "preset": preset,
        "board": board.name,
        "lanes": chip.lanes,
        "config_hash": config_hash,
        "does_not_fit": refusal,
        "clock": clock,
        "resources": {"source": "routed", **routed.resources}
        if routed and not routed.stale
        else {"source": "estimate, at least", **_at_least(work, board)},
        "steps": rows,
    }
