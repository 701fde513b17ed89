"""Options and arguments that several commands have."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zerotrain.cli.options import ScheduleKind
from zerotrain.host.session import ChipKind

__all__ = [
    "BoardName",
    "ChipChoice",
    "ConfigFile",
    "Data",
    "Force",
    "KeepGoing",
    "Lanes",
    "Overrides",
    "Preset",
    "ResultsFolder",
    "RunFolderPath",
    "Runs",
    "Schedule",
    "Timeout",
    "between",
    "path_of",
    "path_option",
]


def path_of(text: str | Path) -> Path:
    """A path, where ``~`` is the user's home also if the shell has not seen it (``--data=~/x``)."""
    if not str(text):
        raise typer.BadParameter("expected a path, got an empty text")
    return Path(os.path.expanduser(text))


def path_option(text: str, *names: str) -> Any:
    """An option that is a path; ``text`` is its help."""
    return typer.Option(*names, parser=path_of, metavar="PATH", help=text)


def between(low: float, high: float) -> Callable[[float | None], float | None]:
    """A check of an option's number, which refuses NaN too."""

    def check(value: float | None) -> float | None:
        if value is not None and not low <= value <= high:
            raise typer.BadParameter(f"expected {low:g} to {high:g}, got {value:g}")
        return value

    return check


Preset = Annotated[str | None, typer.Option(help="A built-in configuration (see `presets`).")]
ConfigFile = Annotated[
    Path | None,
    path_option("A configuration file, TOML.", "--config"),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change an entry of the configuration."),
]
BoardName = Annotated[str | None, typer.Option("--board", help="A board (see `boards`).")]
Lanes = Annotated[int | None, typer.Option(help="Lanes of the chip.")]
Data = Annotated[Path | None, path_option("Directory with the data set's files.")]
ChipChoice = Annotated[ChipKind, typer.Option(help="The chip: its golden model, or simulated.")]
RunFolderPath = Annotated[
    Path | None,
    path_option("Where the run's files are; by default those of the latest run."),
]
Runs = Annotated[
    list[Path],
    typer.Argument(
        parser=path_of, metavar="RUN ...", help="Folders of runs, or of several seeds' runs."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Go on although the training diverges.")
]
ResultsFolder = Annotated[Path, path_option("Where results are kept.")]
Schedule = Annotated[ScheduleKind | None, typer.Option(help="Which stages to run.")]
Timeout = Annotated[
    float,
    typer.Option(callback=between(1e-3, 1e6), help="Seconds that one step of the chip may take."),
]
