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
from typing import Any

__all__ = ["floorplan"]


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

#: Blocks of a lane group in a flattened netlist.
_BLOCK = re.compile(r"\.group_(\d+)\.(?:(\w+)_memory\.\d+\.(\d+)|lane_(\d+)\.)")
_KINDS = {"DP16KD": 0, "MULT18X18D": 1}


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
    # By group and kind: where the block lies in its group, from 0 to 1, and the cell.
    groups: dict[int, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for module in netlist["modules"].values():
        slices: dict[tuple[int, str], list[Any]] = defaultdict(list)
        for name, cell in module["cells"].items():
            found = _BLOCK.search(name)
            if found is None or cell["type"] not in _KINDS:
                continue
            part = found[2] or "lane"
            slices[int(found[1]), part].append((int(found[3] or found[4]), name, cell))
        for (group, _), blocks in slices.items():
            for k, (_, name, cell) in enumerate(sorted(blocks, key=lambda block: block[:2])):
                place = Fraction(2 * k + 1, 2 * len(blocks))
                groups[group][_KINDS[cell["type"]]].append((place, name, cell))
    quarters = list(_DIES[device].quarters())
    if not 1 < len(groups) <= len(quarters):
        return 0
    pairs = [
        (blocks, sites)
        for (_, kinds), quarter in zip(sorted(groups.items()), quarters, strict=False)
        for blocks, sites in zip(kinds, quarter, strict=True)
    ]
    if any(len(blocks) > len(sites) for blocks, sites in pairs):
        return 0
    # Multipliers are spread as wide as the memories beside them.
    for (rams, ram_sites), (multipliers, sites) in zip(pairs[::2], pairs[1::2], strict=True):
        wide = max(len(multipliers), len(sites) * len(rams) // len(ram_sites))
        _fix(rams, ram_sites[: len(rams)])
        _fix(multipliers, sites[:wide])
    return sum(len(blocks) for blocks, _ in pairs)


def _fix(blocks: list[Any], sites: list[str]) -> None:
    for k, (_, _, cell) in enumerate(sorted(blocks, key=lambda block: block[:2])):
        cell["attributes"]["BEL"] = sites[k * len(sites) // len(blocks)]
