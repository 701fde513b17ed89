"""``zerotrain plan`` and ``zerotrain boards``: what a network costs before anything is built."""

import json
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from zerotrain.boards.catalogue import BOARDS, Board
from zerotrain.boards.estimate import check_fits, least_resources
from zerotrain.boards.family import Resource
from zerotrain.host.session import Session

__all__ = ["plan_report", "show_boards", "show_plan"]


def plan_report(session: Session, board: Board | None) -> dict[str, Any]:
    """Plan, chip, and what the chip needs of a board at least, as plain values."""
    chip = session.chip
    report = session.plan.report() | {
        "chip": chip.to_dict(),
        "config_hash": f"{chip.config_hash:#010x}",
    }
    if board is not None:
        report["board"] = {
            "name": board.name,
            "part": board.part,
            "clock_hz": board.clock_hz,
            "resources_at_least": {
                str(resource): {"needed": need, "available": board.resources.get(resource, 0)}
                for resource, need in least_resources(chip, board).items()
            },
        }
        if chip.sample_banks == 1 and not chip.common:
            two = least_resources(replace(chip, sample_banks=2), board)
            report["board"]["block_rams_with_two_sample_banks"] = two[Resource.BLOCK_RAM]
    return report


def show_plan(console: Console, session: Session, board: Board | None, *, as_json: bool) -> None:
    """Print a plan.

    Raises
    ------
    ValueError
        After printing, if the chip cannot fit the board.
    """
    report = plan_report(session, board)
    if as_json:
        console.print_json(json.dumps(report))
    else:
        _print(console, session, board, report)
    if board is not None:
        check_fits(session.chip, board)


def _print(console: Console, session: Session, board: Board | None, report: dict[str, Any]) -> None:
    chip, network, macs = session.chip, session.config.network, report["macs_per_sample"]
    console.print(
        f"{network.name}: {network.n_parameters} parameters, {chip.lanes} lanes, batches of "
        f"{session.plan.batch}",
        soft_wrap=True,
    )
    for index, layer in enumerate(network.layers):
        console.print(f"  layer {index + 1}: {layer}", soft_wrap=True)
    for part, title in (("forward", "forward pass"), ("cge", "all coordinates")):
        if report["candidates"][part]:
            console.print(_compared(title, report["candidates"][part]))
    cge, passes = "no CGE on this chip", session.plan.copies("cge")
    if "cge" in report["steps"]:
        by = f" by {passes:,} forward passes" if passes > 1 else ""
        cge = f"all coordinates {macs['cge']:,}{by}"
    console.print(
        f"Multiply-accumulates per sample: forward {macs['forward']:,} (dense {macs['dense']:,}), "
        + cge
    )
    steps = Table("step", "multiply-accumulates", "cycles, estimated", "multiplier use")
    if board is not None:
        steps.add_column(f"at {board.clock_hz / 1e6:g} MHz")
    for name, cost in report["steps"].items():
        row = [name, f"{cost['macs']:,}", f"{cost['estimated_cycles']:,}"]
        row.append(f"{cost['estimated_use']:.1%}")
        if board is not None:
            row.append(f"{1e3 * cost['estimated_cycles'] / board.clock_hz:.2f} ms")
        steps.add_row(*row)
    console.print(steps)
    parts = Table("estimated cycles", *(name.replace("_", " ") for name in _parts(report)))
    for name, cost in report["steps"].items():
        shares = (f"{n / cost['estimated_cycles']:.1%}" for n in cost["estimated_parts"].values())
        parts.add_row(name, *shares)
    console.print(parts)
    rge = report["steps"]["rge"]
    how = "a merge unit" if chip.merge_depth else "the lanes"
    console.print(
        f"Copies of the parameters are merged by {how}: preparing them takes "
        f"{rge['estimated_hidden'] + rge['estimated_parts']['preparing']:,} cycles of an rge step, "
        f"{rge['estimated_hidden']:,} of them while the lanes work",
        soft_wrap=True,
    )
    memory = Table("memory", "words needed", "words on the chip")
    for name, words in report["memory"].items():
        memory.add_row(name.removesuffix("_depth"), str(words["needed"]), str(words["available"]))
    console.print(memory)
    if board is not None:
        resources = Table(f"{board.part}", "needed at least", "available")
        for resource, count in report["board"]["resources_at_least"].items():
            resources.add_row(resource, str(count["needed"]), str(count["available"]))
        console.print(resources)
        two = report["board"].get("block_rams_with_two_sample_banks")
        if two is not None:
            console.print(
                "One bank of samples: a batch is loaded between two steps, not during one. "
                f"Two banks would take {two} block RAMs.",
                soft_wrap=True,
            )


def _compared(title: str, candidates: list[dict[str, Any]]) -> Table:
    """What the planner chose from, the fastest of each layer first."""
    table = Table(
        "layer", title, "MACs per sample", "merging", "scratch words", "weight words", "cycles", ""
    )
    for row in sorted(candidates, key=lambda row: (row["layer"], row["cycles"])):
        table.add_row(
            str(row["layer"] + 1), row["name"], f"{row['macs']:,}", f"{row['merge_macs']:,}",
            str(row["scratch_words"]), str(row["weight_words"]), f"{row['cycles']:,}",
            row["verdict"], style="bold" if row["verdict"] == "chosen" else None,
        )  # fmt: skip
    return table


def _parts(report: dict[str, Any]) -> list[str]:
    """What cycles go to, the same for every kind of step."""
    return list(next(iter(report["steps"].values()))["estimated_parts"])


def show_boards(console: Console) -> None:
    """Print every known board."""
    table = Table("board", "part", "clock", "multipliers", "block RAM", "lanes")
    for board in BOARDS.values():
        counts = {str(resource): count for resource, count in board.resources.items()}
        table.add_row(
            board.name, board.part, f"{board.clock_hz / 1e6:g} MHz",
            f"{counts['multiplier']} {board.multiplier}",
            f"{counts['block RAM']} {board.block_ram}", str(board.default_lanes),
        )  # fmt: skip
    console.print(table)
