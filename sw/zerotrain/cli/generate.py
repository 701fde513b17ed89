"""``zerotrain generate``: a chip's Verilog, register map, C header and plan."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from zerotrain.boards.synthesis import synthesise
from zerotrain.cli.plan import plan_report
from zerotrain.cli.target import Target
from zerotrain.host.generate import write_chip
from zerotrain.spec.files import write_atomic

__all__ = ["generate_chip"]


def generate_chip(console: Console, target: Target, output: Path, *, synthesis: bool) -> None:
    """Write every generated file into a folder.

    ``zerotrain.v`` (top module ``top``; its program memory holds the network's program),
    ``csr.csv``, ``csr.json`` and ``zerotrain.h`` with all that a host writes to start a step,
    ``plan.json``, ``config.toml`` with every size of the chip, and with synthesis
    ``resources.json``.

    Raises
    ------
    ValueError
        If the chip does not fit the board: with synthesis after the table of what it uses, else
        where the memories alone are too large.
    """
    session, board = target.session, target.board
    if synthesis and board is None:
        raise ValueError("Synthesis needs a board to synthesise for: expected --board, got none")
    target.announce(console)
    if not synthesis:
        target.check()
    verilog, written = write_chip(session, plan_report(target), output, announce=console.print)
    if synthesis and board is not None:
        console.print(f"Synthesising for {board.name} ({board.part}) with Yosys ...")
        # tests/cosim/test_collisions.py shows that the chip copes.
        report = synthesise(verilog, "top", board, ignore_collisions=True)
        path = output / "resources.json"
        write_atomic(path, json.dumps(report.to_dict(), indent=2) + "\n")
        written.append(path)
        table = Table("resource", "used", "available", "%", title=f"{board.name}, {report.tool}")
        for name, used, available in report.table():
            table.add_row(name, str(used), str(available), f"{100 * used / available:.0f}")
        console.print(table)
        report.check()
    console.print(f"Wrote {', '.join(path.name for path in written)} to {output}", soft_wrap=True)
