"""The application that verbs register with, and what several of them do first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from zerotrain.boards.catalogue import find_board
from zerotrain.cli.help import Verbs
from zerotrain.cli.options import ScheduleKind, check_stages, load_config, select_schedule
from zerotrain.cli.target import Target
from zerotrain.config.config import Config
from zerotrain.host.folder import RunFolder

__all__ = ["app", "chosen_config", "chosen_target", "folder_of"]

app = typer.Typer(
    name="zerotrain",
    cls=Verbs,
    help="Chips that train tensor-train networks: plan, generate, simulate, train.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def folder_of(path: Path | None) -> RunFolder | None:
    """A run's folder, if it is named."""
    return RunFolder(path) if path else None


def chosen_target(
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


def chosen_config(
    preset: str | None,
    path: Path | None,
    lanes: int | None,
    changes: Sequence[str] | None,
    schedule: ScheduleKind | None,
    options: Mapping[str, object],
) -> Config:
    """What a training begins with; ``options`` set entries of the configuration."""
    check_stages(schedule, options, changes or [])
    assignments = [f"{key}={value}" for key, value in options.items() if value is not None]
    assignments += [f"chip.lanes={lanes}"] if lanes is not None else []
    config = load_config(preset, path, [*assignments, *(changes or [])])
    return config if schedule is None else select_schedule(config, schedule)


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
