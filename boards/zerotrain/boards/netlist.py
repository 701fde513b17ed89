"""Counting what a netlist occupies of a part, as place and route will count it."""

from collections.abc import Mapping
from typing import Any

from zerotrain.boards.family import Family, Resource

__all__ = ["count_resources", "logic_cells"]


def count_resources(family: Family, cells: Mapping[str, int]) -> dict[Resource, int]:
    """Resources by cell counts; those that need the netlist's wires are left out.

    Parameters
    ----------
    family : Family
        Part family.
    cells : Mapping
        Number of cells by type.
    """
    return {
        resource: sum(
            weight * n
            for beginning, weight in weights.items()
            for cell, n in cells.items()
            if cell.startswith(beginning)
        )
        for resource, weights in family.cells.items()
    }


def logic_cells(cells: Mapping[str, Any]) -> int:
    """iCE40 logic cells that a netlist needs, each a LUT4, a carry and a flip-flop.

    A flip-flop shares the cell of a LUT that drives nothing but it; a carry shares the cell of a
    LUT that takes both of its operands, and the carry that enters it where the LUT takes one.
    Packing adds a few cells that enter and leave carry chains.

    Parameters
    ----------
    cells : Mapping
        ``cells`` of a module in Yosys' JSON netlist.
    """
    loads: dict[Any, int] = {}
    luts: list[dict[str, Any]] = []
    flip_flops: list[Any] = []
    carries: list[dict[str, Any]] = []
    for cell in cells.values():
        pins, kind = cell["connections"], cell["type"]
        directions = cell["port_directions"]
        for port, bits in pins.items():
            if directions[port] == "input":
                for bit in bits:
                    loads[bit] = loads.get(bit, 0) + 1
        if kind == "SB_LUT4":
            luts.append(pins)
        elif kind == "SB_CARRY":
            carries.append(pins)
        elif kind.startswith("SB_DFF"):
            flip_flops.append(pins["D"][0])
    drivers = {pins["O"][0] for pins in luts}
    alone = sum(1 for d in flip_flops if d not in drivers or loads.get(d) != 1)

    # A LUT takes a carry's operands on I1 and I2, in either order only as Yosys wired them.
    sums: dict[tuple[Any, Any], list[Any]] = {}
    for pins in luts:
        sums.setdefault((pins["I1"][0], pins["I2"][0]), []).append(pins["I3"][0])
    unshared = 0
    for pins in carries:
        key = (pins["I0"][0], pins["I1"][0])
        entering = pins["CI"][0]
        free = sums.get(key, [])
        if entering in free:
            free.remove(entering)
        elif "0" in free or "1" in free:
            free.remove("0" if "0" in free else "1")
        else:
            unshared += 1
    return len(luts) + alone + unshared
