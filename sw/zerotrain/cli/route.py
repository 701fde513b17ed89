"""``zerotrain route``: the clock that a chip reaches on a board's part, seed by seed."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from zerotrain.boards.catalogue import Board
from zerotrain.boards.harness import HARNESS, component_ports, harness
from zerotrain.boards.place_and_route import RoutedReport, place_and_route
from zerotrain.boards.synthesis import synthesise
from zerotrain.cli.target import Target
from zerotrain.cosim.build import to_verilog
from zerotrain.gateware.chip import TrainingChip
from zerotrain.spec.files import make_folder, write_atomic
from zerotrain.spec.words import counted

__all__ = ["route_chip"]

#: Seconds for one tool on the largest part; a busy machine included.
_PATIENCE = 4 * 3600.0


def route_chip(
    console: Console,
    target: Target,
    board: Board,
    output: Path,
    *,
    seeds: Sequence[int],
    target_hz: float,
    options: Sequence[str],
    jobs: int,
) -> None:
    """Synthesise, place and route a chip, print the report and write ``routing.json``.

    :mod:`zerotrain.boards.routed` reads that file. The chip is routed inside
    :mod:`zerotrain.boards.harness`: its bus has more signals than small packages have pins.

    Raises
    ------
    ValueError
        If the chip does not fit the board.
    """
    session = target.session
    target.announce(console)
    target.check()
    chip = TrainingChip(session.chip, session.plan.program)
    wrapper = harness(component_ports(chip), "top")
    verilog = to_verilog(chip, announce=console.print)
    console.print(f"Synthesising for {board.name} ({board.part}) with Yosys ...")
    report = synthesise(
        verilog + wrapper, HARNESS, board, ignore_collisions=True, timeout=_PATIENCE
    )
    report.check()
    count = counted(len(seeds), "seed")
    console.print(f"Routing with {count} at {target_hz / 1e6:g} MHz ...")
    routed = place_and_route(
        report,
        seeds=seeds,
        target_hz=target_hz,
        options=options,
        jobs=jobs,
        timeout=_PATIENCE,
    )
    make_folder(output, "the folder")
    values = {
        "network": session.config.network.name,
        "lanes": session.chip.lanes,
        "config_hash": f"{session.chip.config_hash:#010x}",
        **routed.to_dict(),
    }
    write_atomic(output / "routing.json", json.dumps(values, indent=2) + "\n")
    _print(console, routed)
    console.print(f"Wrote routing.json to {output}", soft_wrap=True)


def _print(console: Console, routed: RoutedReport) -> None:
    board = routed.board
    table = Table("seed", "MHz", "slowest path", title=f"{board.part}, {routed.tool}")
    for seed, run in routed.runs.items():
        table.add_row(str(seed), f"{run.fmax_hz / 1e6:.1f}", str(run.path or "none"))
    console.print(table)
    sites = routed.runs[routed.best_seed].utilisation
    used = ", ".join(f"{name} {n} of {of}" for name, (n, of) in sites.items() if n)
    console.print(f"Sites used: {used}.")
    console.print(f"Not modelled: {'; '.join(board.family.not_modelled)}.")
