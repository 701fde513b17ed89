"""Block RAM estimates against what Yosys really uses."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.estimate import (
    block_rams,
    check_fits,
    least_resources,
)
from zerotrain.boards.families import FAMILIES, ICE40
from zerotrain.boards.family import Resource
from zerotrain.boards.netlist import count_resources
from zerotrain.boards.synthesis import synthesise
from zerotrain.spec.chip import Chip

# Depth, width, bits written apart: shapes of a chip's memories, and corners of the block shapes.
SHAPES = [
    (8, 9, 9), (16, 24, 24), (64, 8, 4), (64, 40, 20), (300, 20, 20), (510, 24, 24),
    (512, 64, 16), (700, 64, 64), (512, 64, 32), (1024, 48, 12), (1500, 18, 18), (6144, 9, 9),
    (3136, 144, 9), (10682, 16, 16), (1408, 64, 64),
]  # fmt: skip


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-85f"])
def test_estimate_is_what_yosys_uses(name: str, work_dir: Path) -> None:
    board = BOARDS[name]
    text = "".join(_memory(f"m_{d}_{w}_{p}", d, w, p) for d, w, p in SHAPES)
    report = synthesise(text + _top(), "top", board, by_module=True, work_dir=work_dir)
    used = {
        (d, w, p): count_resources(board.family, report.modules[f"m_{d}_{w}_{p}"])
        for d, w, p in SHAPES
    }
    found = {shape: count[Resource.BLOCK_RAM] for shape, count in used.items()}
    assert found == {(d, w, p): block_rams(board.family, d, w, p) for d, w, p in SHAPES}
    assert report.used[Resource.BLOCK_RAM] == sum(found.values())
    assert any(n > 1 for n in found.values()) and any(n == 0 for n in found.values())


def test_more_words_never_need_fewer_blocks() -> None:
    for family in FAMILIES.values():
        for width in (1, 9, 16, 20, 64):
            counts = [block_rams(family, depth, width) for depth in range(1, 5000, 37)]
            assert counts == sorted(counts)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="got depth 4, width 10, part 4$"):
        block_rams(ICE40, 4, 10, 4)


def test_fitting_chips_pass_and_others_name_the_resource() -> None:
    chip = Chip(lanes=8)
    check_fits(chip, BOARDS["ulx3s-85f"])
    blocks = least_resources(chip, BOARDS["icebreaker"])[Resource.BLOCK_RAM]
    # 1024 rows of 8 lanes of 16 bits: 32 blocks of 4 kbit for the scratch memory alone.
    assert blocks > 32
    message = (
        f"A chip of 8 lanes does not fit icebreaker: the iCE40UP5K-SG48 has 30 block RAMs, "
        f"the chip needs {blocks}, {blocks - 30} too many (engine scratch 32, "
    )
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        check_fits(chip, BOARDS["icebreaker"])
    with pytest.raises(ValueError, match="has 28 multipliers, the chip needs 40, 12 too many;"):
        check_fits(replace(chip, lanes=40, scratch_depth=64), BOARDS["ulx3s-25f"])


def _memory(name: str, depth: int, width: int, part: int) -> str:
    """A memory with one write port and one registered read port, as Amaranth emits it."""
    address = max(1, (depth - 1).bit_length())
    writes = "".join(
        f"if (we[{k}]) cells[wa][{k * part} +: {part}] <= wd[{k * part} +: {part}];\n"
        for k in range(width // part)
    )
    return f"""
module {name}(input clk, input [{width // part - 1}:0] we, input [{address - 1}:0] wa, ra,
              input [{width - 1}:0] wd, output reg [{width - 1}:0] rd);
  reg [{width - 1}:0] cells [0:{depth - 1}];
  always @(posedge clk) begin
{writes}
    rd <= cells[ra];
  end
endmodule
"""


def _top() -> str:
    """A module around one memory of every shape."""
    ports, body = ["input clk"], ""
    for d, w, p in SHAPES:
        n, address = f"m_{d}_{w}_{p}", max(1, (d - 1).bit_length())
        ports.append(f"input [{w // p - 1}:0] {n}_we, input [{address - 1}:0] {n}_wa, {n}_ra")
        ports.append(f"input [{w - 1}:0] {n}_wd, output [{w - 1}:0] {n}_rd")
        body += f"  {n} u_{n}(clk, {n}_we, {n}_wa, {n}_ra, {n}_wd, {n}_rd);\n"
    return f"module top({', '.join(ports)});\n{body}endmodule\n"
