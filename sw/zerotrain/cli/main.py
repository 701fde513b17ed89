"""The command line: ``zerotrain``."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zerotrain.boards.catalogue import find_board
from zerotrain.cli.help import Verbs
from zerotrain.cli.options import ScheduleKind, load_config, override, select_schedule
from zerotrain.cli.target import Target, build_folder
from zerotrain.config.config import Config, preset_names
from zerotrain.host.folder import RUNS, RunFolder
from zerotrain.host.session import ChipKind
from zerotrain.spec.words import cut

__all__ = ["app", "main"]

app = typer.Typer(
    name="zerotrain",
    cls=Verbs,
    help="Chips that train tensor-train networks: plan, generate, simulate, train.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Preset = Annotated[str | None, typer.Option(help="A built-in configuration (see `presets`).")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A configuration file, TOML.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change an entry of the configuration."),
]
BoardName = Annotated[str | None, typer.Option("--board", help="A board (see `boards`).")]
Lanes = Annotated[int | None, typer.Option(help="Lanes of the chip.")]
Data = Annotated[Path | None, typer.Option(help="Directory with the data set's files.")]
ChipChoice = Annotated[ChipKind, typer.Option(help="The chip: its golden model, or simulated.")]
RunFolderPath = Annotated[
    Path | None, typer.Option(help="Where the run's files are; by default those of the latest run.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Go on although the training diverges.")
]
ResultsFolder = Annotated[Path, typer.Option(help="Where results are kept.")]


def _console() -> Console:
    # Names of folders and networks are printed as they are.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 120  # tables in files and pipes
    return console


def _folder(path: Path | None) -> RunFolder | None:
    return RunFolder(path) if path else None


def _target(
    preset: str | None,
    path: Path | None,
    board: str | None,
    lanes: int | None,
    changes: Sequence[str] | None,
) -> Target:
    """Plan and board of the commands that build nothing or files."""
    assignments = [f"chip.lanes={lanes}"] if lanes is not None else []
    assignments += changes or []
    target = find_board(board) if board else None
    config = override(load_config(preset, path), assignments)
    asked = any(word.partition("=")[0].strip() == "chip.lanes" for word in assignments)
    return Target.of(config, target, keep_lanes=asked)


@app.command()
def train(
    preset: Preset = None,
    config: ConfigFile = None,
    chip: ChipChoice = ChipKind.VERILATED,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            help="Where the run's files are; by default a new folder runs/NAME-1, NAME-2, ..., "
            "or with --resume that of the latest run."
        ),
    ] = None,
    force: Force = False,
    keep_going: KeepGoing = False,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder.")] = False,
    verify: Annotated[bool, typer.Option(help="Repeat on the golden model, compare.")] = False,
    schedule: Annotated[ScheduleKind | None, typer.Option(help="Which stages to run.")] = None,
    rge_steps: Annotated[int | None, typer.Option(help="RGE steps at most.")] = None,
    cge_steps: Annotated[int | None, typer.Option(help="CGE steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    hold_out_validation: Annotated[
        bool, typer.Option(help="Keep the validation part out of the training.")
    ] = False,
    lanes: Lanes = None,
    data: Data = None,
    changes: Overrides = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one step may take.")] = 120.0,
) -> None:
    """Train a network on a chip."""
    from zerotrain.cli.train import run_training

    chosen: Config | None = None
    options = {
        "training.rge.steps": rge_steps,
        "training.cge.steps": cge_steps,
        "training.batch": batch,
        "training.seed": seed,
        "training.hold_out_validation": "true" if hold_out_validation else None,
    }
    assignments = [f"{k}={v}" for k, v in options.items() if v is not None]
    if not resume:
        chosen = load_config(preset, config)
        if schedule is not None:
            chosen = select_schedule(chosen, schedule)
        if lanes is not None:
            assignments.append(f"chip.lanes={lanes}")
        chosen = override(chosen, [*assignments, *(changes or [])])
    elif preset or config or schedule or lanes or changes or assignments or force:
        raise ValueError(
            "A run is resumed with its own configuration: expected --resume with --run-folder, "
            "got options that would change it"
        )
    code = run_training(
        _console(),
        chosen,
        _folder(run_folder),
        chip,
        check=verify,
        data=data,
        timeout=timeout,
        force=force,
        keep_going=keep_going,
    )
    raise typer.Exit(code)


@app.command()
def demo(
    run_folder: Annotated[
        Path | None,
        typer.Option(help="Where the run's files are; by default runs/demo, an earlier demo's."),
    ] = None,
    force: Force = False,
) -> None:
    """Train digits on the simulated chip, and check every bit."""
    from zerotrain.cli.train import run_training

    folder, config = RunFolder(run_folder or RUNS / "demo"), Config.preset("digits")
    force = force or run_folder is None
    code = run_training(_console(), config, folder, ChipKind.VERILATED, check=True, force=force)
    raise typer.Exit(code)


@app.command()
def evaluate(
    run_folder: RunFolderPath = None,
    chip: ChipChoice = ChipKind.VERILATED,
    data: Data = None,
) -> None:
    """Measure a run's parameters on the chip."""
    from zerotrain.cli.train import evaluate_run

    evaluate_run(_console(), _folder(run_folder), chip, data)


@app.command()
def publish(
    run_folder: RunFolderPath = None,
    results: ResultsFolder = Path("docs/results"),
    force: Force = False,
    data: Data = None,
) -> None:
    """Keep a finished run as a small result."""
    from zerotrain.cli.results import publish_run

    publish_run(_console(), _folder(run_folder), results, data, force=force)


@app.command()
def results(
    results: ResultsFolder = Path("docs/results"),
    page: Annotated[
        Path | None, typer.Option(help="Markdown page whose table is replaced.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Measure every result's parameters again (golden model).")
    ] = False,
    data: Data = None,
) -> None:
    """Print the table of published results."""
    from zerotrain.cli.results import check_results, show_results

    if check:
        check_results(_console(), results, data)
    show_results(_console(), results, page)


@app.command()
def export(
    run_folder: RunFolderPath = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File, *.npz or *.safetensors; by default build/NAME.npz."),
    ] = None,
    dense: Annotated[
        bool, typer.Option("--dense", help="Matrices, as PyTorch loads them, in place of TT-cores.")
    ] = False,
    force: Force = False,
) -> None:
    """Write a run's parameters for other programs: TT-cores, or dense matrices."""
    from zerotrain.cli.export import export_run

    export_run(_console(), _folder(run_folder), output, dense=dense, force=force)


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
    _console().print(table)


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

    show_plan(_console(), _target(preset, config, board, lanes, changes), as_json=as_json)


@app.command()
def generate(
    preset: Preset = None,
    config: ConfigFile = None,
    board: BoardName = None,
    lanes: Lanes = None,
    changes: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the files; by default build/<name>[-<board>].")
    ] = None,
    synthesis: Annotated[
        bool, typer.Option(help="Synthesise for the board and report what it uses.")
    ] = False,
) -> None:
    """Write a chip's Verilog, register map, C header and plan."""
    from zerotrain.cli.generate import generate_chip

    target = _target(preset, config, board, lanes, changes)
    folder = output or build_folder(target.session.config.network.name, target.board)
    generate_chip(_console(), target, folder, synthesis=synthesis)


@app.command()
def route(
    board: Annotated[str, typer.Option("--board", help="A board (see `boards`).")],
    preset: Preset = None,
    config: ConfigFile = None,
    lanes: Lanes = None,
    changes: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 1, 2, ... to route with.")] = 3,
    target_mhz: Annotated[
        float | None,
        typer.Option(min=1.0, help="Clock that routing aims at; by default the board's target."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Seeds that are routed at the same time.")] = 1,
    options: Annotated[
        str, typer.Option("--nextpnr", metavar="OPTIONS", help="More options of nextpnr.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="Folder for routing.json; by default build/<name>-<board>.")
    ] = None,
) -> None:
    """Place and route a chip: its clock and slowest paths, seed by seed."""
    from zerotrain.cli.route import route_chip

    target = _target(preset, config, board, lanes, changes)
    assert target.board is not None
    folder = output or build_folder(target.session.config.network.name, target.board)
    route_chip(
        _console(),
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
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration to write.")],
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
    write_new(_console(), path, wanted, force=force)


@app.command()
def boards() -> None:
    """List the known boards."""
    from zerotrain.cli.plan import show_boards

    show_boards(_console())


@app.command()
def doctor() -> None:
    """Check compilers and packages, and say what to install."""
    from zerotrain.cli.doctor import show

    if not show(_console()):
        raise typer.Exit(1)


@app.command()
def waves(
    preset: Preset = None,
    config: ConfigFile = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(help="Go on from this run's checkpoint instead; it stays as it is."),
    ] = None,
    schedule: Annotated[ScheduleKind | None, typer.Option(help="Which stages to run.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Steps to take before the trace.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Steps to trace.")] = 1,
    cycles: Annotated[int, typer.Option(min=1, help="Most cycles to trace.")] = 200_000,
    show_lanes: Annotated[
        int, typer.Option(min=0, help="Lanes to show; each makes the file larger.")
    ] = 2,
    lanes: Lanes = None,
    data: Data = None,
    changes: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the trace; by default waves in build/<name> or the run."),
    ] = None,
) -> None:
    """Trace training steps of the simulated chip: a VCD file, with views for GTKWave and Surfer."""
    from zerotrain.cli.waves import Window, trace_steps

    chosen: Config | None = None
    if run_folder is None:
        chosen = load_config(preset, config)
        if schedule is not None:
            chosen = select_schedule(chosen, schedule)
        assignments = [f"chip.lanes={lanes}"] if lanes is not None else []
        chosen = override(chosen, [*assignments, *(changes or [])])
    elif preset or config or schedule or lanes or changes:
        raise ValueError(
            "A run is traced with its own configuration: expected --run-folder alone, got options "
            "that would change it"
        )
    window = Window(after, steps, cycles, show_lanes)
    trace_steps(_console(), chosen, _folder(run_folder), window, output=output, data=data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes of the user become one sentence on standard error.

    Returns
    -------
    int
        Exit code: 0, 2 for a bad request, 1 for anything that failed, 3 after a training that
        diverged, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"] or ["--help"]
    try:
        code = app(words, prog_name="zerotrain", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("Interrupted", 130)
    except Exception as error:
        if traceback:
            raise
        # Errors of the option parser; typer does not export their base class.
        parse_error = getattr(error, "format_message", None)
        if parse_error is not None:
            return _fail(f"{parse_error()} (zerotrain --help shows what is possible)", 2)
        if isinstance(error, OSError) and error.strerror:
            where = f": {error.filename}" if error.filename else ""
            return _fail(f"{error.strerror}{where}", 1)
        if isinstance(error, ValueError):
            return _fail(str(error), 2)
        # ChipError, BuildError, SimulationError, ToolError: each is a sentence for the user.
        ours = type(error).__module__.startswith("zerotrain.")
        if isinstance(error, OSError) or (isinstance(error, RuntimeError) and ours):
            return _fail(str(error), 1)
        raise
    return code if isinstance(code, int) else 0


def _fail(sentence: str, code: int) -> int:
    print(f"zerotrain: {cut(sentence)}", file=sys.stderr)
    return code
