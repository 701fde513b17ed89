"""Routed clocks, from files in the repository: routing a large chip takes too long to repeat here.

Every file in ``docs/routing`` is a ``routing.json`` of ``zerotrain route``, under any name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerotrain.boards.catalogue import Board

__all__ = [
    "ROUTING", "Clock", "Routed", "clock_of", "find_routed", "load_report", "load_routing",
]  # fmt: skip

#: In a checkout; an installed package has none.
ROUTING = Path(__file__).resolve().parents[3] / "docs" / "routing"
#: What is read of such a file.
_KEYS = {"network", "board", "lanes", "config_hash", "median_mhz", "seeds"}


@dataclass(frozen=True, slots=True)
class Routed:
    """A routed chip: the median of the clocks of its seeds, and the sites that it uses.

    ``stale``: the preset's chip of today has another configuration.
    """

    hz: float
    seeds: int
    stale: bool
    resources: Mapping[str, Mapping[str, float]]


def load_routing(folder: Path = ROUTING) -> list[dict[str, Any]]:
    """All routed chips; none if there is no such folder.

    Raises
    ------
    ValueError
        If a file is damaged, or of a version that did not say which chip was routed.
    """
    return [load_report(path) for path in sorted(folder.glob("*.json"))]


def load_report(path: Path) -> dict[str, Any]:
    """One routed chip, as :func:`load_routing` reads it."""
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not row.keys() >= _KEYS or not row["seeds"]:
            raise ValueError
    except (ValueError, AttributeError):
        raise ValueError(
            f"{path} is not a routing report with {', '.join(sorted(_KEYS))}: make it again "
            "with zerotrain route"
        ) from None
    return row


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock that times of a chip are given at, where it is from, in words, and whether this
    chip reached it."""

    hz: float
    source: str
    routed: bool = True

    def __str__(self) -> str:
        return f"{self.hz / 1e6:g} MHz"


def clock_of(rows: Sequence[Mapping[str, Any]], board: Board, config_hash: str) -> Clock:
    """The clock of a chip on a board: the median of its routed seeds where this very configuration
    was routed, of the last such report, otherwise the board's target clock."""
    found = [r for r in rows if (r["board"], r["config_hash"]) == (board.name, config_hash)]
    if not found:
        return Clock(float(board.target_hz), f"target clock of {board.name}, not routed", False)
    seeds = len(found[-1]["seeds"])
    return Clock(
        1e6 * found[-1]["median_mhz"],
        f"this chip routed, median of {seeds} seeds" if seeds > 1 else "this chip routed, one seed",
    )


def find_routed(
    rows: Sequence[Mapping[str, Any]], preset: str, board: str, lanes: int, config_hash: str
) -> Routed | None:
    """The routed chip of a preset: rather one of today's configuration than a stale one."""
    same = [r for r in rows if (r["network"], r["board"], r["lanes"]) == (preset, board, lanes)]
    if not same:
        return None
    row = max(same, key=lambda r: r["config_hash"] == config_hash)
    first = next(iter(row["seeds"].values()))
    stale = row["config_hash"] != config_hash
    return Routed(1e6 * row["median_mhz"], len(row["seeds"]), stale, first["sites"])
