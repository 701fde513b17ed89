"""The floor plan: groups of lanes in quarters of the die, neighbours beside one another."""

import re
from typing import Any

import pytest

from zerotrain.boards.floorplan import floorplan


def netlist(groups: list[int], rams: dict[str, int]) -> dict[str, Any]:
    """Blocks of lane groups of so many lanes, named as Yosys names them, and others."""
    cells: dict[str, Any] = {
        "dut.weights.half_0.0.0": {"type": "DP16KD"},
        "dut.engine.group_0.lane_0.acc_TRELLIS_FF_Q": {"type": "TRELLIS_FF"},
        "dut.merge.$9_MULT18X18D_P9": {"type": "MULT18X18D"},
    }
    for group, lanes in enumerate(groups):
        name = f"dut.engine.group_{group}"
        for lane in range(lanes):
            cells[f"{name}.lane_{lane}.$21_MULT18X18D_P9"] = {"type": "MULT18X18D"}
        for memory, count in rams.items():
            for k in range(-(-count * lanes // max(groups))):
                part, block = divmod(k, 8)
                cells[f"{name}.{memory}_memory.part_{9 * part}.0.{block}"] = {"type": "DP16KD"}
    for cell in cells.values():
        cell["attributes"] = {}
    return {"modules": {"top": {"cells": cells}}}


def sites(design: dict[str, Any]) -> dict[str, tuple[int, int, str]]:
    """Column, row and kind of what is fixed."""
    found = {}
    for name, cell in design["modules"]["top"]["cells"].items():
        if "BEL" in cell["attributes"]:
            x, y, kind = cell["attributes"]["BEL"].split("/")
            found[name] = int(x.removeprefix("X")), int(y.removeprefix("Y")), kind
    return found


#: Block RAMs of 18 lanes: what the chip of 64 lanes has.
RAMS = {"scratch": 16, "preact": 16, "sample": 9}


def test_groups_have_a_quarter_each_and_every_block_a_site_of_its_kind() -> None:
    design = netlist([18, 18, 18, 10], RAMS)
    assert floorplan(design, "85k") == 64 + 3 * 41 + 23
    fixed = sites(design)
    assert len(fixed) == 64 + 3 * 41 + 23
    assert len(set(fixed.values())) == len(fixed)
    halves: dict[str, set[tuple[bool, bool]]] = {}
    for name, (x, y, kind) in fixed.items():
        ram = "_memory." in name
        assert kind.startswith("EBR" if ram else "MULT18_"), name
        assert y in ((22, 46, 70, 82) if ram else (34, 58)), name
        halves.setdefault(name.split(".")[2], set()).add((x < 63, y < 52))
    assert all(len(found) == 1 for found in halves.values())
    assert len(set.union(*halves.values())) == 4
    # The middle is free for the other memories.
    assert all(x < 58 or x > 66 for x, _, _ in fixed.values())


def test_neighbouring_lanes_lie_side_by_side() -> None:
    design = netlist([18, 18], RAMS)
    floorplan(design, "85k")
    fixed = sites(design)
    for group in range(2):
        names = sorted(fixed, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
        at = [
            [fixed[name][0] for name in names if f"group_{group}.{part}_" in name]
            for part in ("lane", *RAMS)
        ]
        for columns in at:
            assert columns == sorted(columns, reverse=group == 1)
        # The same share of every part lies in the same place, up to a few columns.
        for columns in at[1:]:
            assert abs(columns[0] - at[0][0]) <= 9 and abs(columns[-1] - at[0][-1]) <= 9


@pytest.mark.parametrize(
    ("groups", "rams", "device"),
    [
        ([18], RAMS, "85k"),  # one group
        ([18, 18, 18, 10], RAMS, "25k"),  # no plan of this die
        ([18, 18, 18, 10], RAMS | {"sample": 18}, "85k"),  # too many for a quarter
        ([18] * 5, RAMS, "85k"),
    ],
)
def test_what_has_no_plan_is_left_alone(
    groups: list[int], rams: dict[str, int], device: str
) -> None:
    design = netlist(groups, rams)
    assert floorplan(design, device) == 0
    assert not sites(design)
