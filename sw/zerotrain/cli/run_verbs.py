"""Verbs about trainings and what they leave behind."""

from pathlib import Path
from typing import Annotated

import typer

from zerotrain.cli.app import app, chosen_config, folder_of
from zerotrain.cli.arguments import (
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
    Schedule,
    Timeout,
    path_option,
)
from zerotrain.cli.display import console
from zerotrain.cli.several import SeveralSeeds
from zerotrain.config.config import Config
from zerotrain.host.driver import STEP_TIMEOUT
from zerotrain.host.folder import RUNS, RunFolder, latest_folder
from zerotrain.host.session import ChipKind

__all__: list[str] = []


@app.command(cls=SeveralSeeds)
def train(
    preset: Preset = None,
    config: ConfigFile = None,
    chip: ChipChoice = ChipKind.VERILATED,
    run_folder: Annotated[
        Path | None,
        path_option(
            "Where the run's files are; by default a new folder runs/NAME-1, NAME-2, ..., "
            "or with --resume that of the latest run."
        ),
    ] = None,
    force: Force = False,
    keep_going: KeepGoing = False,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder.")] = False,
    verify: Annotated[bool, typer.Option(help="Repeat on the golden model, compare.")] = False,
    schedule: Schedule = None,
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
    timeout: Timeout = STEP_TIMEOUT,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files into the run's folder.")
    ] = False,
) -> None:
    """Train a network on a chip."""
    from zerotrain.cli.seeds import resume_seeds, train_seeds
    from zerotrain.cli.train import Ways, run_training
    from zerotrain.host.seeds import is_one_of_several, parse_seeds

    chosen: Config | None = None
    folder = folder_of(run_folder)
    ways = Ways(chip, verify, data, timeout, force, keep_going, tensorboard)
    options = {
        "training.rge.steps": rge_steps,
        "training.cge.steps": cge_steps,
        "training.batch": batch,
        "training.seed": seed,
        "training.hold_out_validation": "true" if hold_out_validation else None,
    }
    if not resume:
        if extend is not None:
            raise ValueError("Only a finished run is extended: expected --resume with --extend")
        if seed is not None and seeds is not None:
            raise ValueError("Name one seed (--seed) or several (--seeds), got both")
        chosen = chosen_config(preset, config, lanes, changes, schedule, options)
        if seeds is not None:
            numbers = parse_seeds(seeds)
            raise typer.Exit(train_seeds(console(), chosen, numbers, folder, ways))
    elif force or any(
        value not in (None, [])
        for value in (preset, config, schedule, lanes, changes, seeds, *options.values())
    ):
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
        path_option("Where the run's files are; by default runs/demo, an earlier demo's."),
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
    timeout: Timeout = STEP_TIMEOUT,
) -> None:
    """Measure a run's parameters on the chip."""
    from zerotrain.cli.evaluate import evaluate_runs

    evaluate_runs(console(), folder_of(run_folder), chip, data, best=best, timeout=timeout)


@app.command()
def compare(
    runs: Runs,
    output: Annotated[
        Path | None,
        path_option("The picture; by default runs/compare.png, or curves.png of one RUN."),
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

    publish_run(console(), folder_of(run_folder), results, data, force=force)


@app.command()
def results(
    results: ResultsFolder = Path("docs/results"),
    page: Annotated[
        Path | None,
        path_option("Markdown page whose table is replaced."),
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
        path_option("File, *.npz or *.safetensors; by default build/NAME.npz."),
    ] = None,
    dense: Annotated[
        bool, typer.Option("--dense", help="Matrices, as PyTorch loads them, in place of TT-cores.")
    ] = False,
    force: Force = False,
) -> None:
    """Write a run's parameters for other programs: TT-cores, or dense matrices."""
    from zerotrain.cli.export import export_run

    export_run(console(), folder_of(run_folder), output, dense=dense, force=force)


@app.command()
def waves(
    preset: Preset = None,
    config: ConfigFile = None,
    run_folder: Annotated[
        Path | None,
        path_option("Go on from this run's checkpoint instead; it stays as it is."),
    ] = None,
    schedule: Schedule = None,
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
        path_option("Folder for the trace; by default waves in build/<name> or the run."),
    ] = None,
) -> None:
    """Trace training steps of the simulated chip: a VCD file, with views for GTKWave and Surfer."""
    from zerotrain.cli.waves import Window, trace_steps

    chosen: Config | None = None
    if run_folder is None:
        chosen = chosen_config(preset, config, lanes, changes, schedule, {})
    elif preset or config or schedule or lanes or changes:
        raise ValueError(
            "A run is traced with its own configuration: expected --run-folder alone, got options "
            "that would change it"
        )
    window = Window(after, steps, cycles, show_lanes)
    trace_steps(console(), chosen, folder_of(run_folder), window, output=output, data=data)
