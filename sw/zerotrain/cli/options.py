"""From command-line options to a configuration."""

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from zerotrain.config.changes import changed
from zerotrain.config.config import Config, preset_names

__all__ = ["ScheduleKind", "load_config", "override"]


class ScheduleKind(StrEnum):
    """Which stages of a configuration are run, and how RGE updates."""

    HYBRID = "hybrid"
    SIGN_RGE = "sign-rge"
    RGE = "rge"
    CGE = "cge"


def load_config(preset: str | None, path: Path | None) -> Config:
    """The configuration of a preset or a file."""
    if (preset is None) == (path is None):
        what = "neither" if preset is None else "both"
        raise ValueError(
            "Name either a preset (--preset) or a configuration file (--config), got "
            f"{what}; presets are {', '.join(preset_names())}"
        )
    if path is not None:
        return Config.load(path)
    assert preset is not None
    return Config.preset(preset)


def _value(text: str) -> Any:
    """A TOML value; what is none is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Change entries of a configuration, as in ``training.cge.steps=100``.

    Data files that are named there are in the current folder.
    """
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(
                f"An override is written key=value, e.g. training.cge.steps=100, got {assignment!r}"
            )
        values[key] = _value(text.strip())
    return changed(config, values).anchored(Path())


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
