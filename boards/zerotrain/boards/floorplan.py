"""Where the lanes of a large chip lie on the die.

A part whose block RAM is nearly full leaves a placer little room: it finds where a memory should
be, and then moves it to a site that is free, often far away. Lanes are regular, so we know better:
each group of lanes gets a quarter of the die, and the middle remains for what all lanes share.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from typing import Any

__all__ = ["floorplan"]

_Cell = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Die:
    """Block RAMs and multipliers of a die: blocks of four of either, in rows.

    Attributes
    ----------
    columns : tuple of int
        Where blocks of four begin.
    bands : tuple
        Rows of block RAM, and the row of multipliers that lies near them.
    """

    columns: tuple[int, ...]
    bands: tuple[tuple[tuple[int, ...], int], ...]

    def quarters(self) -> Iterator[tuple[list[str], list[str]]]:
        """Sites of block RAM and of multipliers in every quarter, the outermost first."""
        half = len(self.columns) // 2
        for rows, row in self.bands:
            for columns, outer in ((self.columns[:half], 1), (self.columns[-half:], -1)):
                rams = [(x + 2 * k, y, f"EBR{k}") for x in columns for k in range(4) for y in rows]
                multipliers = [(x + k, row, f"MULT18_{k}") for x in columns for k in (0, 1, 4, 5)]
                yield _named(sorted(rams)[::outer]), _named(sorted(multipliers)[::outer])


def _named(sites: list[tuple[int, int, str]]) -> list[str]:
    return [f"X{x}/Y{y}/{site}" for x, y, site in sites]


#: Dies by nextpnr's names of devices.
_DIES = {
    "85k": _Die(
        (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
        (((22, 46), 34), ((70, 82), 58)),
    )
}

#: Blocks of a lane group in a flattened netlist: a slice of a part of one of its memories, or a
#: lane's.
_BLOCK = re.compile(r"\.group_(\d+)\.(?:(\w+)_memory\.part_(\d+)\.\d+\.(\d+)|lane_(\d+)\.)")

#: Block RAMs and multipliers of a group, each in the order of the lanes that they serve.
_Blocks = tuple[list[_Cell], list[_Cell]]


def floorplan(netlist: MutableMapping[str, Any], device: str) -> int:
    """Fix the block RAMs and multipliers of every lane group to a quarter of the die, in place.

    Blocks of neighbouring lanes become neighbours.

    Parameters
    ----------
    netlist : mapping
        Yosys' JSON netlist of a flattened design for ECP5.
    device : str
        nextpnr's name of the part's die, such as ``"85k"``.

    Returns
    -------
    int
        Blocks that are fixed. None are if there is only one group, if the groups do not fit into
        the quarters, or if the die has no plan: the placer then is on its own.
    """
    if device not in _DIES:
        return 0
    groups, quarters = _lane_blocks(netlist), list(_DIES[device].quarters())
    if not 1 < len(groups) <= len(quarters):
        return 0
    placed = list(zip(groups, quarters, strict=False))
    if any(len(b) > len(s) for pair in placed for b, s in zip(*pair, strict=True)):
        return 0
    for (rams, multipliers), (ram_sites, sites) in placed:
        _fix(rams, ram_sites[: len(rams)])
        # Multipliers are spread as wide as the memories beside them.
        wide = max(len(multipliers), len(sites) * len(rams) // len(ram_sites))
        _fix(multipliers, sites[:wide])
    return sum(len(blocks) for group in groups for blocks in group)


def _lane_blocks(netlist: MutableMapping[str, Any]) -> list[_Blocks]:
    """The blocks of every group."""
    kinds: dict[tuple[int, str], list[tuple[tuple[int, int], _Cell]]] = defaultdict(list)
    for module in netlist["modules"].values():
        for name, cell in module["cells"].items():
            found = _BLOCK.search(name)
            if found is not None and cell["type"] in ("DP16KD", "MULT18X18D"):
                group, memory, part, block, lane = found.groups()
                place = (0, int(lane)) if lane else (int(part), int(block))
                kinds[int(group), memory or cell["type"]].append((place, cell))
    # The k-th of n slices serves the lanes at this share of the group.
    groups: dict[int, list[tuple[Fraction, str, _Cell]]] = defaultdict(list)
    for (number, kind), slices in kinds.items():
        for k, (_, cell) in enumerate(sorted(slices, key=itemgetter(0))):
            groups[number].append((Fraction(2 * k + 1, 2 * len(slices)), kind, cell))
    blocks = []
    for _, placed in sorted(groups.items()):
        cells = [cell for *_, cell in sorted(placed, key=itemgetter(0, 1))]
        rams = [cell for cell in cells if cell["type"] == "DP16KD"]
        blocks.append((rams, [cell for cell in cells if cell["type"] == "MULT18X18D"]))
    return blocks


def _fix(blocks: list[_Cell], sites: list[str]) -> None:
    for k, cell in enumerate(blocks):
        cell["attributes"]["BEL"] = sites[k * len(sites) // len(blocks)]
