"""Verbs about networks and chips, and the tool itself."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from zerotrain.cli.app import app, chosen_target
from zerotrain.cli.arguments import (
    BoardName,
    ConfigFile,
    Force,
    Lanes,
    Overrides,
    Preset,
    between,
    path_of,
    path_option,
)
from zerotrain.cli.display import console
from zerotrain.cli.target import build_folder
from zerotrain.config.config import Config, preset_names

__all__: list[str] = []


@app.command()
def presets() -> None:
    """List the built-in configurations."""
    from zerotrain.compiler.planner import check_limits

    table = Table("preset", "parameters", "layers", "data set")
    for name in preset_names():
        config = Config.preset(name)
        layers = "\n".join(str(layer) for layer in config.network.layers)
        dataset = config.training.dataset if config.training else "none: not to be trained"
        try:
            check_limits(config.network)
        except ValueError:
            dataset += ", for comparison: larger than any chip"
        table.add_row(name, str(config.network.n_parameters), layers, dataset)
    console().print(table)


@app.command()
def plan(
    preset: Preset = None,
    config: ConfigFile = None,
    board: BoardName = None,
    lanes: Lanes = None,
    changes: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a network fits a board, how long it trains, and why."""
    from zerotrain.cli.plan import show_plan

    show_plan(console(), chosen_target(preset, config, board, lanes, changes), as_json=as_json)


@app.command()
def generate(
    preset: Preset = None,
    config: ConfigFile = None,
    board: BoardName = None,
    lanes: Lanes = None,
    changes: Overrides = None,
    output: Annotated[
        Path | None,
        path_option("Folder for the files; by default build/<name>[-<board>]."),
    ] = None,
    synthesis: Annotated[
        bool, typer.Option(help="Synthesise for the board and report what it uses.")
    ] = False,
) -> None:
    """Write a chip's Verilog, register map, C header and plan."""
    from zerotrain.cli.generate import generate_chip

    target = chosen_target(preset, config, board, lanes, changes)
    folder = output or build_folder(target.session.config.network.name, target.board)
    generate_chip(console(), target, folder, synthesis=synthesis)


@app.command()
def route(
    board: Annotated[str, typer.Option("--board", help="A board (see `boards`).")],
    preset: Preset = None,
    config: ConfigFile = None,
    lanes: Lanes = None,
    changes: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Seeds 1, 2, ... to route with.")] = 3,
    target_mhz: Annotated[
        float | None,
        typer.Option(
            callback=between(1.0, 1e4),
            help="Clock that routing aims at; by default the board's target.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=1000, help="Seeds that are routed at the same time.")
    ] = 1,
    options: Annotated[
        str, typer.Option("--nextpnr", metavar="OPTIONS", help="More options of nextpnr.")
    ] = "",
    output: Annotated[
        Path | None,
        path_option("Folder for routing.json; by default build/<name>-<board>."),
    ] = None,
) -> None:
    """Place and route a chip: its clock and slowest paths, seed by seed."""
    from zerotrain.cli.route import route_chip

    target = chosen_target(preset, config, board, lanes, changes)
    assert target.board is not None
    folder = output or build_folder(target.session.config.network.name, target.board)
    route_chip(
        console(),
        target,
        target.board,
        folder,
        seeds=range(1, seeds + 1),
        target_hz=target.board.target_hz if target_mhz is None else 1e6 * target_mhz,
        options=shlex.split(options),
        jobs=jobs,
    )


@app.command()
def new(
    path: Annotated[
        Path, typer.Argument(parser=path_of, metavar="FILE", help="The configuration to write.")
    ],
    inputs: Annotated[
        int, typer.Option(help="Inputs of a sample; left out, those of --dataset's file.")
    ] = 0,
    outputs: Annotated[
        int,
        typer.Option(help="Classes, or target values with --regression; left out, as the file's."),
    ] = 0,
    regression: Annotated[
        bool, typer.Option("--regression", help="Target values, not classes.")
    ] = False,
    hidden: Annotated[int, typer.Option(help="Hidden units; 0 proposes a number.")] = 0,
    rank: Annotated[int, typer.Option(help="TT-rank; 0 proposes one.")] = 0,
    dataset: Annotated[str, typer.Option(help="Name or file of the data.")] = "",
    force: Force = False,
) -> None:
    """Write a commented configuration for a network of your own."""
    from zerotrain.cli.new import Wanted, write_new

    wanted = Wanted(path.stem, inputs, outputs, regression, hidden, rank, dataset)
    write_new(console(), path, wanted, force=force)


@app.command()
def boards() -> None:
    """List the known boards."""
    from zerotrain.cli.plan import show_boards

    show_boards(console())


@app.command()
def doctor() -> None:
    """Check compilers and packages, and say what to install."""
    from zerotrain.cli.doctor import show

    if not show(console()):
        raise typer.Exit(1)
