"""From command-line options to a configuration."""

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from zerotrain.config.config import Config, nearest, preset_names

__all__ = ["ScheduleKind", "load_config", "override"]

#: Characters of an option in a message.
_SHOWN = 60


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


def _cut(text: str) -> str:
    """What the user wrote, in a message."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Change entries of a configuration, as in ``training.cge.steps=100``."""
    values: Any = config.to_dict()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(
                "An override is written key=value, e.g. training.cge.steps=100, got "
                f"{_cut(assignment)}"
            )
        *parents, name = key.strip().split(".")
        table = values
        for parent in parents:
            if (
                isinstance(table, list)
                and parent.isdecimal()
                and len(parent) < 9
                and 1 <= int(parent) <= len(table)
            ):
                table = table[int(parent) - 1]
            elif isinstance(table, dict) and isinstance(table.get(parent), dict | list):
                table = table[parent]
            else:
                names = (
                    sorted(k for k, v in table.items() if isinstance(v, dict | list))
                    if (isinstance(table, dict))
                    else [str(k + 1) for k in range(len(table))]
                )
                raise ValueError(
                    f"There is no table {_cut(parent)} for {_cut(key)}: {nearest(parent, names)}"
                )
        if not isinstance(table, dict):
            raise ValueError(f"{_cut(key)} does not name an entry of a table")
        table[name] = _value(text.strip())
    return Config.from_dict(values)


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
