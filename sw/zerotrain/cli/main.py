"""The command line: ``zerotrain``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zerotrain.cli.options import ScheduleKind, load_config, override, select_schedule
from zerotrain.host.driver import ChipError
from zerotrain.host.session import ChipKind
from zerotrain.spec.config import Config, preset_names

__all__ = ["app", "main"]

app = typer.Typer(
    name="zerotrain",
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
Lanes = Annotated[int | None, typer.Option(help="Lanes of the chip.")]
Data = Annotated[Path | None, typer.Option(help="Directory with the data set's files.")]
ChipChoice = Annotated[ChipKind, typer.Option(help="The chip: its golden model, or simulated.")]
RunFolderPath = Annotated[Path, typer.Option(help="Where the run's files are.")]


def _console() -> Console:
    return Console(highlight=False)


def _configure(
    preset: str | None, path: Path | None, lanes: int | None, changes: Sequence[str] | None
) -> Config:
    config = load_config(preset, path)
    assignments = list(changes or [])
    if lanes is not None:
        assignments.append(f"chip.lanes={lanes}")
    return override(config, assignments) if assignments else config


@app.command()
def train(
    preset: Preset = None,
    config: ConfigFile = None,
    chip: ChipChoice = ChipKind.VERILATED,
    run_folder: RunFolderPath = Path("runs/latest"),
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
    elif preset or config or schedule or lanes or changes or assignments:
        raise ValueError(
            "A run is resumed with its own configuration: expected --resume with --run-folder, "
            "got options that would change it"
        )
    code = run_training(
        _console(), chosen, run_folder, chip, check=verify, data=data, timeout=timeout
    )
    raise typer.Exit(code)


@app.command()
def demo(run_folder: RunFolderPath = Path("runs/demo")) -> None:
    """Train the digits preset on the simulated chip and check it against the golden model."""
    from zerotrain.cli.train import run_training

    config = Config.preset("digits")
    code = run_training(
        _console(), config, run_folder, ChipKind.VERILATED, check=True, data=None, timeout=120.0
    )
    raise typer.Exit(code)


@app.command()
def evaluate(
    run_folder: RunFolderPath = Path("runs/latest"),
    chip: ChipChoice = ChipKind.VERILATED,
    data: Data = None,
) -> None:
    """Measure the accuracy of a run's parameters on the chip."""
    from zerotrain.cli.train import evaluate_run

    evaluate_run(_console(), run_folder, chip, data)


@app.command()
def presets() -> None:
    """List the built-in configurations."""
    table = Table("preset", "parameters", "layers", "data set")
    for name in preset_names():
        config = Config.preset(name)
        layers = "\n".join(str(layer) for layer in config.network.layers)
        dataset = config.training.dataset if config.training else ""
        table.add_row(name, str(config.network.n_parameters), layers, dataset)
    _console().print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes of the user become one sentence on standard error.

    Returns
    -------
    int
        Exit code: 0, 2 for a bad request, 1 for anything that failed, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"]
    try:
        code = app(words, prog_name="zerotrain", standalone_mode=False)
    except KeyboardInterrupt:
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
        if isinstance(error, OSError | ChipError):
            return _fail(str(error), 1)
        raise
    return code if isinstance(code, int) else 0


def _fail(sentence: str, code: int) -> int:
    print(f"zerotrain: {sentence}", file=sys.stderr)
    return code
