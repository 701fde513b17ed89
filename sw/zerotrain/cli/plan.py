"""``zerotrain plan`` and ``zerotrain boards``: what a network costs before anything is built."""

import json
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.estimate import expected_resources, least_resources
from zerotrain.boards.family import Resource
from zerotrain.cli.answer import answer, verdict
from zerotrain.cli.target import Target
from zerotrain.host.cost import cost_report
from zerotrain.spec.words import counted

__all__ = ["plan_report", "show_boards", "show_plan"]


def plan_report(target: Target) -> dict[str, Any]:
    """Plan, chip, and what the chip needs of a board at least, as plain values."""
    session, board, clock = target.session, target.board, target.clock
    chip, report = session.chip, cost_report(session)
    if board is not None and clock is not None:
        report["board"] = {
            "name": board.name,
            "part": board.part,
            "clock_hz": clock.hz,
            "clock_source": clock.source,
            "changes": list(target.changes),
            "verdict": verdict(target),
            "resources_expected": {
                str(resource): count for resource, count in expected_resources(chip, board).items()
            },
            "resources_at_least": {
                str(resource): {"needed": need, "available": board.resources.get(resource, 0)}
                for resource, need in least_resources(chip, board).items()
            },
        }
        if chip.sample_banks == 1 and not chip.common:
            two = least_resources(replace(chip, sample_banks=2), board)
            report["board"]["block_rams_with_two_sample_banks"] = two[Resource.BLOCK_RAM]
    return report


def show_plan(console: Console, target: Target, *, as_json: bool) -> None:
    """Print a plan: whether it fits and how long it trains, then what that is made of.

    Raises
    ------
    ValueError
        After printing, if the chip cannot fit the board.
    """
    report = plan_report(target)
    if as_json:
        console.print_json(json.dumps(report))
    else:
        for line in answer(target, report):
            console.print(line, soft_wrap=True)
        console.print()
        _print(console, target, report)
    target.check()


def _print(console: Console, target: Target, report: dict[str, Any]) -> None:
    session, board, clock = target.session, target.board, target.clock
    chip, network, macs = session.chip, session.config.network, report["macs_per_sample"]
    console.print(
        f"{network.name}: {network.n_parameters} parameters, {counted(chip.lanes, 'lane')}, "
        f"batches of {session.plan.batch}",
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
    if clock is not None:
        steps.add_column(f"at {clock}")
    names = {"rge": f"rge, {report['queries']} queries to the {report['baseline']}"}
    for name, cost in report["steps"].items():
        row = [names.get(name, name), f"{cost['macs']:,}", f"{cost['estimated_cycles']:,}"]
        row.append(f"{cost['estimated_use']:.1%}")
        if clock is not None:
            row.append(f"{1e3 * cost['estimated_cycles'] / clock.hz:.2f} ms")
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
        resources = Table(f"{board.part}", "needed at least", "expected", "available")
        for resource, expected in expected_resources(chip, board).items():
            count = report["board"]["resources_at_least"].get(str(resource), {"needed": ""})
            there = board.resources.get(resource, 0)
            resources.add_row(str(resource), str(count["needed"]), str(expected), str(there))
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
    table = Table("board", "part", "crystal", "target clock", "multipliers", "block RAM")
    for board in BOARDS.values():
        counts = {str(resource): count for resource, count in board.resources.items()}
        table.add_row(
            board.name, board.part, f"{board.clock_hz / 1e6:g} MHz",
            f"{board.target_hz / 1e6:g} MHz",
            f"{counts['multiplier']} {board.multiplier}",
            f"{counts['block RAM']} {board.block_ram}",
        )  # fmt: skip
    console.print(table)
