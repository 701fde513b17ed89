"""From command-line options to a configuration."""

import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from zerotrain.config.changes import changed
from zerotrain.config.config import Config, preset_names
from zerotrain.config.table import show

__all__ = ["ScheduleKind", "check_stages", "load_config", "override"]


class ScheduleKind(StrEnum):
    """Which stages of a configuration are run, and how RGE updates."""

    HYBRID = "hybrid"
    SIGN_RGE = "sign-rge"
    RGE = "rge"
    CGE = "cge"


def load_config(preset: str | None, path: Path | None, assignments: Sequence[str] = ()) -> Config:
    """The configuration of a preset or a file.

    What a file lacks may be among the assignments, which :func:`override` makes.
    """
    if (preset is None) == (path is None):
        what = "neither" if preset is None else "both"
        raise ValueError(
            "Name either a preset (--preset) or a configuration file (--config), got "
            f"{what}; presets are {', '.join(preset_names())}"
        )
    if path is not None:
        try:
            return Config.load(path)
        except ValueError:
            if not assignments:
                raise
        return Config.load(path, _values(assignments))
    assert preset is not None
    return Config.preset(preset)


def _value(text: str) -> Any:
    """A TOML value; what is none is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _values(assignments: Sequence[str]) -> dict[str, Any]:
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(
                "An override is written key=value, e.g. training.cge.steps=100, got "
                f"{show(assignment)}"
            )
        values[key.strip()] = _value(text.strip())
    return values


def check_stages(config: Config, options: Mapping[str, int | None], kind: str | None) -> None:
    """Refuse options for a stage that is not run.

    Parameters
    ----------
    options : dict
        What was given as ``--rge-steps`` and ``--cge-steps``, by stage.
    kind : str or None
        What was given as ``--schedule``.
    """
    for stage, value in options.items():
        if value is not None and config.training and getattr(config.training, stage) is None:
            why = f"--schedule {kind} leaves out" if kind else f"{config.network.name} has not"
            raise ValueError(
                f"--{stage}-steps is for the stage [training.{stage}], which {why}: leave out "
                f"--{stage}-steps" + (", or the schedule" if kind else "")
            )


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Change entries of a configuration, as in ``training.cge.steps=100``.

    Data files that are named there are in the current folder.
    """
    return changed(config, _values(assignments)).anchored(Path())


def select_schedule(config: Config, kind: ScheduleKind) -> Config:
    """Keep the stages of a schedule."""
    values: Any = config.to_dict()
    training = values.get("training", {})
    needed = {
        ScheduleKind.HYBRID: ("rge", "cge"), ScheduleKind.SIGN_RGE: ("rge",),
        ScheduleKind.RGE: ("rge",), ScheduleKind.CGE: ("cge",),
    }[kind]  # fmt: skip
    for name in needed:
        if name not in training:
            raise ValueError(
                f"Schedule {kind} needs a stage [training.{name}], which configuration "
                f"{config.network.name} has not"
            )
    for name in {"rge", "cge"} - set(needed):
        training.pop(name, None)
    if kind in (ScheduleKind.RGE, ScheduleKind.SIGN_RGE):
        training["rge"]["rule"] = "linear" if kind == ScheduleKind.RGE else "sign"
    return Config.from_dict(values)
