"""Routed clocks, from a file in the repository: routing a large chip takes too long to repeat here.

``docs/routing.json`` holds a list of objects, one for each routed chip::

    {"preset": "mnist-3962", "board": "ulx3s-85f", "lanes": 64, "config_hash": "0x0888a856",
     "fmax_hz": {"1": 1.02e8, "2": 1.01e8, "3": 1.03e8},
     "resources": {"LUT4": {"used": 30000, "available": 83640}},
     "tool": "..."}

``config_hash`` is that of the chip that was routed (:attr:`zerotrain.spec.chip.Chip.config_hash`);
``fmax_hz`` has one clock per seed; ``resources`` is that of
:meth:`zerotrain.boards.synthesis.ResourceReport.to_dict`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["ROUTING", "Routed", "find_routed", "load_routing"]

ROUTING = Path("docs") / "routing.json"


@dataclass(frozen=True, slots=True)
class Routed:
    """A routed chip. ``stale``: the preset's chip of today has another configuration."""

    hz: float
    seeds: int
    stale: bool
    resources: Mapping[str, Mapping[str, float]]


def load_routing(path: Path = ROUTING) -> list[dict[str, Any]]:
    """All routed chips; none if there is no such file.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    if not path.is_file():
        return []
    wanted = {"preset", "board", "lanes", "config_hash", "fmax_hz", "resources"}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        complete = isinstance(rows, list) and all(row.keys() >= wanted for row in rows)
        if not complete or any(not row["fmax_hz"] for row in rows):
            raise ValueError
    except (ValueError, AttributeError):
        raise ValueError(
            f"{path} is not a list of routed chips, each with {', '.join(sorted(wanted))}"
        ) from None
    return rows


def find_routed(
    rows: Sequence[Mapping[str, Any]], preset: str, board: str, lanes: int, config_hash: str
) -> Routed | None:
    """The routed chip of a preset: rather one of today's configuration than a stale one."""
    same = [r for r in rows if (r["preset"], r["board"], r["lanes"]) == (preset, board, lanes)]
    if not same:
        return None
    row = max(same, key=lambda r: r["config_hash"] == config_hash)
    clocks = row["fmax_hz"].values()
    return Routed(median(clocks), len(clocks), row["config_hash"] != config_hash, row["resources"])
