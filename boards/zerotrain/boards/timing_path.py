"""The slowest path of a routed design, in the names of its gateware."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zerotrain.boards.families import FAMILIES
from zerotrain.boards.harness import INSTANCE

__all__ = ["TimingPath", "register_name", "slowest_path"]

# What Yosys appends to the signal that a cell drives or serves, e.g. ``acc_TRELLIS_FF_Q_12``.
_NAMES = [name for family in FAMILIES.values() for name in family.cell_names]
_CELL = re.compile(rf"_({'|'.join(_NAMES)}|\$nextpnr).*$")


def register_name(cell: str) -> str:
    """The signal or memory that a cell was made of: ``engine.group_0.lane_3.acc``."""
    name = _CELL.sub("", cell.removeprefix(f"{INSTANCE}."))
    # Memories: ``scratch_memory.0.3``, column and row of the block in the memory.
    return re.sub(r"(\.\d+)+$", "", name)


@dataclass(frozen=True, slots=True)
class TimingPath:
    """One register-to-register path.

    Attributes
    ----------
    start, end : str
        The registers or memories, see :func:`register_name`.
    through : tuple of str
        Signals in between that still have a name of the gateware.
    delay_ns, wires_ns : float
        Delay in all, and the part that is spent on wires.
    levels : int
        Cells of logic between the registers, carries included.
    """

    start: str
    end: str
    through: tuple[str, ...]
    delay_ns: float
    wires_ns: float
    levels: int

    def __str__(self) -> str:
        via = f" by way of {', '.join(self.through)}" if self.through else ""
        return (
            f"{self.start} -> {self.end}{via}: {self.delay_ns:.1f} ns, of which "
            f"{self.wires_ns:.1f} ns wires, logic levels {self.levels}"
        )


def slowest_path(report: Mapping[str, Any]) -> TimingPath | None:
    """The longest path within one clock domain of nextpnr's report, if it has one."""
    found: list[TimingPath] = []
    for path in report.get("critical_paths", []):
        if path["from"] != path["to"] or not path["path"]:
            continue
        steps = path["path"]
        start = register_name(steps[0]["from"]["cell"])
        end = register_name(steps[-1]["to"]["cell"])
        names = [register_name(step["to"]["cell"]) for step in steps]
        through = dict.fromkeys(name for name in names if name not in (start, end))
        found.append(
            TimingPath(
                start=start,
                end=end,
                through=tuple(through),
                delay_ns=sum(step["delay"] for step in steps),
                wires_ns=sum(step["delay"] for step in steps if step["type"] == "routing"),
                levels=sum(step["type"] == "logic" for step in steps),
            )
        )
    return max(found, key=lambda path: path.delay_ns, default=None)
