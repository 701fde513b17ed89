"""What ``zerotrain plan`` says first: whether the chip fits the board, how long the whole training
takes there, what it uses, and what to do."""

from typing import Any

from zerotrain.boards.catalogue import BOARDS, Board
from zerotrain.boards.estimate import expected_resources, may_fit
from zerotrain.boards.routed import Clock
from zerotrain.cli.display import duration
from zerotrain.cli.target import Target
from zerotrain.spec.chip import Chip
from zerotrain.spec.words import counted

__all__ = ["answer", "used", "verdict"]

#: Seconds.
_DAY = 86400


def verdict(target: Target) -> str:
    """``"fits"``, ``"may not fit"`` where only the estimate says so, or ``"does not fit"``; empty
    without a board."""
    board, clock = target.board, target.clock
    if board is None or clock is None:
        return ""
    if target.problem:
        return "does not fit"
    return "fits" if clock.routed or may_fit(target.session.chip, board) else "may not fit"


def answer(target: Target, report: dict[str, Any]) -> list[str]:
    """The first lines.

    Parameters
    ----------
    report : dict
        As :func:`zerotrain.cli.plan.plan_report` makes it.
    """
    session, board, clock = target.session, target.board, target.clock
    chip = f"{session.config.network.name}, {counted(session.chip.lanes, 'lane')}"
    if target.problem:
        return [f"Does not fit. {target.problem}"]
    schedule = report.get("schedule")
    lines = [f"{chip}: whether it fits, --board says ({', '.join(BOARDS)})."]
    if board is not None and clock is not None:
        found = verdict(target)
        lines = [f"{chip}, on {board.name}: {found}{_sure(found, clock)}.", *target.changes]
        lines.append(f"Clock: {clock}, {clock.source}.")
    if schedule is not None:
        lines += _schedule(schedule, clock)
    else:
        lines.append("How long it trains, a table [training] says.")
    if board is not None:
        lines.append(f"It takes about {used(session.chip, board)}.")
    return lines


def _sure(found: str, clock: Clock) -> str:
    """How sure that is."""
    if clock.routed:
        return ", as it was routed"
    if found == "fits":
        return " by estimate; generate --synthesis makes sure"
    return " by estimate; generate --synthesis makes sure, --set chip=auto looks for one that does"


def used(chip: Chip, board: Board) -> str:
    """What synthesis will about make of a chip, of what the part has."""
    counts = expected_resources(chip, board)
    return ", ".join(
        f"{count:,} of {board.resources.get(resource, 0):,} {resource}s"
        for resource, count in counts.items()
        if count
    )


def _schedule(schedule: dict[str, Any], clock: Clock | None) -> list[str]:
    """The whole training in two lines."""

    def took(cycles: int) -> str:
        if clock is None:
            return f"{cycles:,} cycles"
        seconds = cycles / clock.hz
        if seconds >= _DAY:
            return f"{seconds / _DAY:,.1f} days, {cycles:,} cycles"
        short = f"{seconds:.2g} s" if seconds < 60 else duration(seconds)
        return f"{short}, {cycles:,} cycles"

    parts = [
        f"{counted(count, 'step')} of {kind}" for kind, count in schedule["steps_at_most"].items()
    ]
    total = took(sum(schedule["estimated_cycles"].values()))
    count, cycles = schedule["measurements"], schedule["measurement_cycles_per_1000_samples"]
    return [
        f"Whole training: {total}, for {' and '.join(parts)} at most.",
        f"Measuring the metric {count:,} times: {took(cycles)}, for every 1,000 samples measured.",
    ]
