"""From command-line options to a configuration."""

import tomllib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from zerotrain.config.changes import assign, changed
from zerotrain.config.config import Config, preset_names
from zerotrain.config.table import show

__all__ = ["ScheduleKind", "check_stages", "load_config", "override", "select_schedule"]


class ScheduleKind(StrEnum):
    """Which stages of a configuration are run, and how RGE updates."""

    HYBRID = "hybrid"
    SIGN_RGE = "sign-rge"
    RGE = "rge"
    CGE = "cge"


#: The stages of each schedule.
_STAGES = {
    ScheduleKind.HYBRID: ("rge", "cge"), ScheduleKind.SIGN_RGE: ("rge",),
    ScheduleKind.RGE: ("rge",), ScheduleKind.CGE: ("cge",),
}  # fmt: skip


def load_config(preset: str | None, path: Path | None, assignments: Sequence[str] = ()) -> Config:
    """The configuration of a preset or a file, changed by assignments.

    A file may lack what the assignments give.
    """
    if (preset is None) == (path is None):
        what = "neither" if preset is None else "both"
        raise ValueError(
            "Name either a preset (--preset) or a configuration file (--config), got "
            f"{what}; presets are {', '.join(preset_names())}"
        )
    if preset is not None:
        return override(Config.preset(preset), assignments)
    assert path is not None
    try:
        config = Config.load(path)
    except ValueError:
        values = _read(path)
        if values is None or not assignments:
            raise
    else:
        return override(config, assignments)
    assign(values, _values(assignments))
    try:
        config = Config.from_dict(values).anchored(path.parent)
    except ValueError as error:
        raise ValueError(f"{path}, with the options: {error}") from None
    return override(config, assignments)


def _read(path: Path) -> dict[str, Any] | None:
    """A file's tables as they are, None if it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Change entries of a configuration, as in ``training.cge.steps=100``."""
    return changed(config, _values(assignments))


def _values(assignments: Sequence[str]) -> dict[str, Any]:
    """Values by the names of their entries; what is no TOML is a text."""
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(
                "An override is written key=value, e.g. training.cge.steps=100, got "
                f"{show(assignment)}"
            )
        try:
            values[key] = tomllib.loads(f"value = {text.strip()}")["value"]
        except (ValueError, RecursionError):
            values[key] = text.strip()
    return values


def select_schedule(config: Config, kind: ScheduleKind) -> Config:
    """Keep the stages of a schedule."""
    values: Any = config.to_dict()
    training = values.get("training", {})
    needed = _STAGES[kind]
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


def check_stages(
    kind: ScheduleKind | None, options: Mapping[str, object], changes: Sequence[str]
) -> None:
    """Raise ``ValueError`` if an option or override is for a stage that the schedule leaves out.

    Parameters
    ----------
    options : mapping
        Options given, by the entry of the configuration that each sets; None where it is not given.
    """
    if kind is None:
        return
    given = {key: f"--{key.split('.')[1]}-steps" for key, v in options.items() if v is not None}
    given |= {word.partition("=")[0].strip(): f"--set {word}" for word in changes}
    for name in {"rge", "cge"} - set(_STAGES[kind]):
        for key, option in given.items():
            if key.startswith(f"training.{name}."):
                raise ValueError(
                    f"{option} is for the stage [training.{name}], which --schedule {kind} leaves "
                    "out: leave one of the two away"
                )
