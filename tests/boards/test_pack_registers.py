"""Packed netlists compute what unpacked ones do, and keep what does not fit."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from zerotrain.boards import synthesis
from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.pack_registers import pack_registers

BOARD = BOARDS["ulx3s-25f"]
#: Registers around multipliers: one factor shared, one with an enable, one product used twice.
MULTIPLIERS = """
module top(input clk, en, input signed [{w}:0] a, b, c, output reg signed [{p}:0] x, y, z,
           output signed [{w}:0] again, output signed [{p}:0] early);
  reg signed [{w}:0] ra, rb, rc;
  wire signed [{p}:0] product = rb * rb;
  always @(posedge clk) begin
    ra <= a;
    rb <= b;
    if (en) rc <= c;
    x <= ra * rb;
    y <= ra * rc;
    z <= product;
  end
  assign again = ra;
  assign early = product;
endmodule
"""


def memories(width: int, depth: int, last: str) -> str:
    """Two memories with a register behind each; ``last`` says what becomes of the second's."""
    address, word = (depth - 1).bit_length() - 1, width - 1
    return f"""
module top(input clk, we, en, input [{address}:0] wa, ra, input [{word}:0] d,
    output reg [{word}:0] q, e);
  reg [{word}:0] one [0:{depth - 1}], two [0:{depth - 1}], word, other;
  always @(posedge clk) begin
    if (we) one[wa] <= d;
    if (we) two[wa] <= d;
    word <= one[ra];
    other <= two[ra];
    q <= word;
    {last}
  end
endmodule
"""


def netlists(verilog: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The module before and after packing, and the number of registers packed."""
    unpacked = replace(BOARD, family=replace(BOARD.family, pack=lambda netlist: 0))
    report = synthesis.synthesise(verilog, "top", unpacked, ignore_collisions=True, work_dir=folder)
    netlist = json.loads(report.netlist.read_text())
    before = deepcopy(netlist["modules"]["top"])
    packed = pack_registers(netlist)
    return before, netlist["modules"]["top"], packed


class Simulator:
    """Registers and multipliers of a netlist, cycle by cycle."""

    def __init__(self, module: dict[str, Any]) -> None:
        self.module = module
        self.state: dict[Any, int] = {}

    def word(self, cell: dict[str, Any], letter: str, nets: dict[Any, int]) -> int:
        """A factor, 18 bits in two's complement."""
        pins = cell["connections"]
        bits = [nets[pins[f"{letter}{k}"][0]] for k in range(18)]
        value = sum(bit << k for k, bit in enumerate(bits))
        return value - (bits[17] << 18 if pins[f"SIGNED{letter}"] == ["1"] else 0)

    def cycle(self, inputs: dict[str, int]) -> dict[str, int]:
        """Outputs in this cycle; registers load at its end."""
        ports, cells = self.module["ports"], self.module["cells"]
        nets: dict[Any, int] = {"0": 0, "1": 1, "x": 0}
        for name, value in inputs.items():
            for k, bit in enumerate(ports[name]["bits"]):
                nets[bit] = value >> k & 1
        multipliers = []
        for name, cell in cells.items():
            pins = cell["connections"]
            if cell["type"] == "TRELLIS_FF":
                nets[pins["Q"][0]] = self.state.get(name, 0)
            elif cell["type"] == "MULT18X18D":
                multipliers.append((name, cell))
                if cell["parameters"].get("REG_OUTPUT_CLK") == "CLK0":
                    self.drive(cell, self.state.get((name, "P"), 0), nets)
            else:
                assert cell["type"] in ("VHI", "VLO"), cell["type"]
        products = {}
        for name, cell in multipliers:
            held = cell["parameters"].get("REG_INPUTA_CLK") == "CLK0"
            factors = [
                self.state.get((name, x), 0) if held else self.word(cell, x, nets) for x in "AB"
            ]
            products[name] = factors[0] * factors[1]
            if cell["parameters"].get("REG_OUTPUT_CLK") != "CLK0":
                self.drive(cell, products[name], nets)
        after: dict[Any, int] = {}
        for name, cell in cells.items():
            pins = cell["connections"]
            if cell["type"] == "TRELLIS_FF":
                enabled = "CE" not in pins or nets[pins["CE"][0]]
                after[name] = nets[pins["DI"][0]] if enabled else self.state.get(name, 0)
            elif cell["type"] == "MULT18X18D":
                after |= {(name, x): self.word(cell, x, nets) for x in "AB"}
                after[name, "P"] = products[name]
        self.state = after
        return {
            name: sum(nets[bit] << k for k, bit in enumerate(port["bits"]))
            for name, port in ports.items()
            if port["direction"] == "output"
        }

    @staticmethod
    def drive(cell: dict[str, Any], product: int, nets: dict[Any, int]) -> None:
        for k in range(36):
            nets[cell["connections"][f"P{k}"][0]] = product >> k & 1


@pytest.mark.parametrize("width", [18, 16, 9])
def test_multipliers(width: int, tmp_path: Path) -> None:
    text = MULTIPLIERS.format(w=width - 1, p=2 * width - 1)
    before, after, packed = netlists(text, tmp_path)
    cells = [cell for cell in after["cells"].values() if cell["type"] == "MULT18X18D"]
    kinds = sorted(
        (c["parameters"].get("REG_INPUTA_CLK", ""), c["parameters"].get("REG_OUTPUT_CLK", ""))
        for c in cells
    )
    # The enable keeps y's factors outside; the second use keeps z's product.
    assert kinds == [("", "CLK0"), ("CLK0", ""), ("CLK0", "CLK0")]
    # x, y and rb; ra is also an output.
    assert packed == 2 * 2 * width + width
    rng, simulators = Random(width), (Simulator(before), Simulator(after))
    for cycle in range(200):
        inputs = {"clk": 0, "en": rng.getrandbits(1)}
        for name in "abc":
            inputs[name] = rng.choice([rng.getrandbits(width), 1 << width - 1, (1 << width) - 1])
        found = [simulator.cycle(inputs) for simulator in simulators]
        assert found[0] == found[1], cycle


def test_block_rams(tmp_path: Path) -> None:
    _, after, packed = netlists(memories(16, 1024, "if (en) e <= other;"), tmp_path)
    assert packed == 16
    modes = sorted(
        cell["parameters"].get("REGMODE_B", cell["parameters"].get("REGMODE_A"))
        for cell in after["cells"].values()
        if cell["type"] == "DP16KD"
    )
    assert modes == ["NOREG", "OUTREG"]
    registers = [c for c in after["cells"].values() if c["type"] == "TRELLIS_FF"]
    assert len(registers) == 16
    outputs = set(after["ports"]["q"]["bits"])
    driven = {
        bits[0]
        for cell in after["cells"].values()
        if cell["type"] == "DP16KD"
        for port, bits in cell["connections"].items()
        if port.startswith("DO")
    }
    assert outputs <= driven


def test_words_of_two_sides(tmp_path: Path) -> None:
    # Words of 36 bits take the outputs of both sides: all of their registers are packed, or none.
    verilog = memories(36, 512, "e[35:18] <= other[35:18]; if (en) e[17:0] <= other[17:0];")
    _, after, packed = netlists(verilog, tmp_path)
    assert packed == 36
    modes = sorted(
        (
            cell["parameters"]["REGMODE_A"],
            cell["parameters"]["REGMODE_B"],
            cell["connections"]["OCEB"],
        )
        for cell in after["cells"].values()
        if cell["type"] == "DP16KD"
    )
    assert modes == [("NOREG", "NOREG", ["1"]), ("OUTREG", "OUTREG", ["1"])]
