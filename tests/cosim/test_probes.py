"""Every probe is a signal of the chip, as wide as it says, whatever the chip is made of."""

import re
from collections.abc import Mapping

import pytest
from amaranth.back import rtlil

from zerotrain.cosim.probes import Probe, probes, verilog_of
from zerotrain.gateware.chip import TrainingChip
from zerotrain.spec.formats import QFormat

from .structures import STRUCTURES

_CHIPS = {row.name: row.chip for row in STRUCTURES}
Widths = Mapping[str, int]


def design(text: str) -> tuple[dict[str, Widths], dict[str, dict[str, str]]]:
    """Widths of every module's wires, and the modules of its instances, by their names."""
    wires: dict[str, dict[str, int]] = {}
    instances: dict[str, dict[str, str]] = {}
    for kind, rest in re.findall(r"^\s*(module|wire|cell) (.*)$", text, re.MULTILINE):
        words = rest.split()
        name = words[-1].removeprefix("\\")
        if kind == "module":
            module = name
            wires[module], instances[module] = {}, {}
        elif kind == "wire":
            width = int(words[words.index("width") + 1]) if "width" in words else 1
            wires[module][name] = width
        else:
            instances[module][name] = words[0].removeprefix("\\")
    return dict(wires), instances


@pytest.mark.parametrize("name", ["digits", "small-serial", "mnist-small"])
def test_every_probe_is_there(name: str) -> None:
    chip = _CHIPS[name]
    wires, instances = design(rtlil.convert(TrainingChip(chip), "top", emit_src=False))
    shown = probes(chip, lanes=chip.lanes)
    assert len({probe.path for probe in shown}) == len(shown)
    for probe in shown:
        for path in re.findall(r"chip((?:\.\w+)+)", probe.source):
            *way, wire = path.split(".")[1:]
            module = "top"
            for instance in way:
                module = instances[module][instance]
            assert wire in wires[module], probe
            if probe.source == f"chip{path}":
                assert wires[module][wire] == probe.width, probe


def test_lanes_are_as_many_as_wanted() -> None:
    chip = _CHIPS["digits"]
    groups = [
        {p.group for p in probes(chip, lanes=n) if p.name == "accumulator"} for n in (0, 2, 9)
    ]
    assert groups == [set(), {"lane_0", "lane_1"}, {"lane_0", "lane_1", "lane_2"}]


def test_the_range_of_a_number_says_where_its_point_is() -> None:
    shown = (
        Probe("unit", "small", 8, "chip.a", QFormat(8, 12)),
        Probe("unit", "flag", 1, "chip.b"),
        Probe("other", "count", 5, "chip.c"),
    )
    assert [probe.range for probe in shown] == [(-5, -12), (0, 0), (4, 0)]
    assert verilog_of(shown) == (
        "  if (1) begin : signals\n"
        "    if (1) begin : unit\n"
        "      wire [-5:-12] small = chip.a;\n"
        "      wire flag = chip.b;\n"
        "    end\n"
        "    if (1) begin : other\n"
        "      wire [4:0] count = chip.c;\n"
        "    end\n"
        "  end\n"
    )
