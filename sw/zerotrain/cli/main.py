"""The command line: ``zerotrain``."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from zerotrain.boards.catalogue import find_board
from zerotrain.cli.arguments import (
    BoardName,
    ChipChoice,
    ConfigFile,
    Data,
    Force,
    KeepGoing,
    Lanes,
    Overrides,
    Preset,
    ResultsFolder,
    RunFolderPath,
    Runs,
    Timeout,
    between,
    path_of,
)
from zerotrain.cli.display import console, spell_out
from zerotrain.cli.errors import tell
from zerotrain.cli.help import Verbs
from zerotrain.cli.options import ScheduleKind, check_stages, load_config, select_schedule
from zerotrain.cli.several import SeveralSeeds
from zerotrain.cli.target import Target, build_folder
from zerotrain.config.config import Config, preset_names
from zerotrain.host.folder import RUNS, RunFolder, latest_folder
from zerotrain.host.session import ChipKind

__all__ = ["app", "main"]

app = typer.Typer(
    name="zerotrain",
    cls=Verbs,
    help="Chips that train tensor-train networks: plan, generate, simulate, train.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    config = load_config(preset, path, assignments)
    asked = any(word.partition("=")[0].strip() == "chip.lanes" for word in assignments)
    return Target.of(config, target, keep_lanes=asked)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print versions: Zerotrain's, and of what it uses.")
    ] = False,
) -> None:
    """What all commands have."""
    from zerotrain.host.version import versions

    if version:
        for name, value in versions().items():
            print(name, value)
        raise typer.Exit


@app.command(cls=SeveralSeeds)
def train(
    preset: Preset = None,
    config: ConfigFile = None,
    chip: ChipChoice = ChipKind.VERILATED,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="Where the run's files are; by default a new folder runs/NAME-1, NAME-2, ..., "
            "or with --resume that of the latest run.",
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
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="SEED ...",
            help="One run for each seed, e.g. --seeds 1 2 3 or --seeds 1-3; mean and spread.",
        ),
    ] = None,
    extend: Annotated[
        int | None,
        typer.Option(min=1, help="With --resume: more steps of a finished run's last stage."),
    ] = None,
    hold_out_validation: Annotated[
        bool, typer.Option(help="Keep the validation part out of the training.")
    ] = False,
    lanes: Lanes = None,
    data: Data = None,
    changes: Overrides = None,
    timeout: Timeout = 120.0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files into the run's folder.")
    ] = False,
) -> None:
    """Train a network on a chip."""
    from zerotrain.cli.seeds import resume_seeds, train_seeds
    from zerotrain.cli.train import Ways, run_training
    from zerotrain.host.seeds import is_one_of_several, parse_seeds

    chosen: Config | None = None
    folder = _folder(run_folder)
    ways = Ways(chip, verify, data, timeout, force, keep_going, tensorboard)
    options = {
        "training.rge.steps": rge_steps,
        "training.cge.steps": cge_steps,
        "training.batch": batch,
        "training.seed": seed,
        "training.hold_out_validation": "true" if hold_out_validation else None,
    }
    assignments = [f"{k}={v}" for k, v in options.items() if v is not None]
    if not resume:
        if extend is not None:
            raise ValueError("Only a finished run is extended: expected --resume with --extend")
        if seed is not None and seeds is not None:
            raise ValueError("Name one seed (--seed) or several (--seeds), got both")
        check_stages(schedule, options, changes or [])
        if lanes is not None:
            assignments.append(f"chip.lanes={lanes}")
        chosen = load_config(preset, config, [*assignments, *(changes or [])])
        if schedule is not None:
            chosen = select_schedule(chosen, schedule)
        if seeds is not None:
            numbers = parse_seeds(seeds)
            raise typer.Exit(train_seeds(console(), chosen, numbers, folder, ways))
    elif preset or config or schedule or lanes or changes or assignments or force or seeds:
        raise ValueError(
            "A run is resumed with its own configuration: expected --resume with --run-folder, "
            "got options that would change it (a finished run goes on with --extend)"
        )
    elif (folder := folder or latest_folder()).seeds_path.exists():
        raise typer.Exit(resume_seeds(console(), folder, ways, extend=extend))
    elif extend is not None and is_one_of_several(folder):
        raise ValueError(
            f"{folder.path} is one of several seeds' runs: extend all of them, with --run-folder "
            f"{folder.path.parent}"
        )
    raise typer.Exit(run_training(console(), chosen, folder, ways, extend=extend))


@app.command()
def demo(
    run_folder: Annotated[
        Path | None,
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="Where the run's files are; by default runs/demo, an earlier demo's.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Train digits on the simulated chip, and check every bit."""
    from zerotrain.cli.train import Ways, run_training

    folder, config = RunFolder(run_folder or RUNS / "demo"), Config.preset("digits")
    ways = Ways(ChipKind.VERILATED, check=True, force=force or run_folder is None)
    raise typer.Exit(run_training(console(), config, folder, ways))


@app.command()
def evaluate(
    run_folder: RunFolderPath = None,
    chip: ChipChoice = ChipKind.VERILATED,
    best: Annotated[
        bool, typer.Option("--best", help="The best on the validation part, not the last ones.")
    ] = False,
    data: Data = None,
    timeout: Timeout = 120.0,
) -> None:
    """Measure a run's parameters on the chip."""
    from zerotrain.cli.evaluate import evaluate_runs

    evaluate_runs(console(), _folder(run_folder), chip, data, best=best, timeout=timeout)


@app.command()
def compare(
    runs: Runs,
    output: Annotated[
        Path | None,
        typer.Option(help="The picture; by default runs/compare.png, or curves.png of one RUN."),
    ] = None,
) -> None:
    """Tabulate and draw runs, finished or not."""
    from zerotrain.cli.compare import compare_runs

    compare_runs(console(), [RunFolder(path) for path in runs], output)


@app.command()
def tensorboard(runs: Runs) -> None:
    """Write event files for TensorBoard from runs' logs."""
    from zerotrain.cli.compare import write_events

    write_events(console(), [RunFolder(path) for path in runs])


@app.command()
def publish(
    run_folder: RunFolderPath = None,
    results: ResultsFolder = Path("docs/results"),
    force: Force = False,
    data: Data = None,
) -> None:
    """Keep a finished run as a small result."""
    from zerotrain.cli.results import publish_run

    publish_run(console(), _folder(run_folder), results, data, force=force)


@app.command()
def results(
    results: ResultsFolder = Path("docs/results"),
    page: Annotated[
        Path | None,
        typer.Option(parser=path_of, metavar="PATH", help="Markdown page whose table is replaced."),
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Measure every result's parameters again (golden model).")
    ] = False,
    data: Data = None,
) -> None:
    """Print the table of published results."""
    from zerotrain.cli.results import check_results, show_results

    if check:
        check_results(console(), results, data)
    show_results(console(), results, page)


@app.command()
def export(
    run_folder: RunFolderPath = None,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="File, *.npz or *.safetensors; by default build/NAME.npz.",
        ),
    ] = None,
    dense: Annotated[
        bool, typer.Option("--dense", help="Matrices, as PyTorch loads them, in place of TT-cores.")
    ] = False,
    force: Force = False,
) -> None:
    """Write a run's parameters for other programs: TT-cores, or dense matrices."""
    from zerotrain.cli.export import export_run

    export_run(console(), _folder(run_folder), output, dense=dense, force=force)


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

    show_plan(console(), _target(preset, config, board, lanes, changes), as_json=as_json)


@app.command()
def generate(
    preset: Preset = None,
    config: ConfigFile = None,
    board: BoardName = None,
    lanes: Lanes = None,
    changes: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="Folder for the files; by default build/<name>[-<board>].",
        ),
    ] = None,
    synthesis: Annotated[
        bool, typer.Option(help="Synthesise for the board and report what it uses.")
    ] = False,
) -> None:
    """Write a chip's Verilog, register map, C header and plan."""
    from zerotrain.cli.generate import generate_chip

    target = _target(preset, config, board, lanes, changes)
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
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="Folder for routing.json; by default build/<name>-<board>.",
        ),
    ] = None,
) -> None:
    """Place and route a chip: its clock and slowest paths, seed by seed."""
    from zerotrain.cli.route import route_chip

    target = _target(preset, config, board, lanes, changes)
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


@app.command()
def waves(
    preset: Preset = None,
    config: ConfigFile = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="Go on from this run's checkpoint instead; it stays as it is.",
        ),
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
        typer.Option(
            parser=path_of,
            metavar="PATH",
            help="Folder for the trace; by default waves in build/<name> or the run.",
        ),
    ] = None,
) -> None:
    """Trace training steps of the simulated chip: a VCD file, with views for GTKWave and Surfer."""
    from zerotrain.cli.waves import Window, trace_steps

    chosen: Config | None = None
    if run_folder is None:
        check_stages(schedule, {}, changes or [])
        assignments = [f"chip.lanes={lanes}"] if lanes is not None else []
        chosen = load_config(preset, config, [*assignments, *(changes or [])])
        if schedule is not None:
            chosen = select_schedule(chosen, schedule)
    elif preset or config or schedule or lanes or changes:
        raise ValueError(
            "A run is traced with its own configuration: expected --run-folder alone, got options "
            "that would change it"
        )
    window = Window(after, steps, cycles, show_lanes)
    trace_steps(console(), chosen, _folder(run_folder), window, output=output, data=data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes of the user become one sentence on standard error.

    Returns
    -------
    int
        Exit code: 0, 2 for a bad request, 1 for anything that failed, 3 after a training that
        diverged, 130 after Ctrl-C, 141 if nobody reads the output any more.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"] or ["--help"]
    spell_out(sys.stdout)
    command = typer.main.get_command(app)
    try:
        # Not command.main(), for which Ctrl-C is an exit without a word.
        with command.make_context("zerotrain", words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:
        code = None if traceback and isinstance(error, Exception) else tell(error)
        if code is None:
            raise
        return code
    return 0
