"""Verilog and libraries: the same for the same design, made once, failures explained."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zerotrain.cosim import build
from zerotrain.cosim.build import build_library, chip_verilog, to_verilog
from zerotrain.cosim.tools import BuildError
from zerotrain.gateware.chip import TrainingChip
from zerotrain.spec.program import Program

from .designs import CHIP, PLAN
from .toy import Toy


@pytest.fixture(scope="module")
def library() -> Path:
    return build_library(to_verilog(Toy()))


def test_verilog_is_the_same_everywhere() -> None:
    text = to_verilog(Toy())
    assert text == to_verilog(Toy())
    assert "module top(" in text
    for folder in (Path(__file__).parent, Path(sys.prefix)):
        assert str(folder) not in text


def test_the_second_build_runs_no_tool(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_run", lambda *_: pytest.fail("a tool was run"))
    monkeypatch.setattr(
        "amaranth.back.verilog._convert_rtlil_text", lambda *_: pytest.fail("Yosys")
    )
    assert build_library(to_verilog(Toy())) == library


def test_missing_compilers(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name != "make" else "make")
    with pytest.raises(BuildError) as caught:
        build_library("")
    assert str(caught.value) == (
        "Building the simulated chip needs g++ (the C++ compiler), perl (the language Verilator's "
        "front end is written in), not found on PATH: install it, on Debian and Ubuntu with: "
        "apt-get install g++ perl"
    )


def test_a_failed_build_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_runtime", lambda versions: tmp_path)
    with pytest.raises(BuildError, match="could not build the simulated chip .*syntax error") as e:
        build_library("module top(input clk; nonsense")
    log = Path(str(e.value).rpartition("see ")[2])
    assert "syntax error" in log.read_text()
    assert not list(tmp_path.glob("library-*")), "a failed build must not be taken for a result"
    assert not list(tmp_path.glob(".library-*")), "its working folder must be gone"


def test_a_chip_is_elaborated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Verilog is found again by chip, program and sources; another of any is made anew."""
    text = chip_verilog(CHIP, PLAN.program)
    assert text == to_verilog(TrainingChip(CHIP, PLAN.program))

    def elaborate(*design: object) -> None:
        pytest.fail("elaborated")

    monkeypatch.setattr(build, "TrainingChip", elaborate)
    assert chip_verilog(CHIP, PLAN.program) == text
    other = Program((7, *PLAN.program.rows[1:]), PLAN.program.merge)
    for chip, program in ((CHIP, other), (replace(CHIP, program_depth=999), PLAN.program)):
        with pytest.raises(pytest.fail.Exception, match="elaborated"):
            chip_verilog(chip, program)
    sources, *versions = build._GENERATOR
    monkeypatch.setattr(build, "_GENERATOR", (sources[::-1], *versions))
    with pytest.raises(pytest.fail.Exception, match="elaborated"):
        chip_verilog(CHIP, PLAN.program)


def test_reset_vanishes_from_the_simulated_chip() -> None:
    """The chip's only register that follows the pin becomes a constant; other designs stay."""
    text = chip_verilog(CHIP)
    before, after = text.splitlines(), build._without_reset(text).splitlines()
    old, new = set(before), set(after)
    gone = [line.split() for line in before if line not in new]
    name = gone[0][1]
    assert gone == [["reg", name, "=", "1'h1;"], [name, "<=", "rst;"]]
    come = [line.split() for line in after if line not in old]
    assert come == [["wire", name, "=", "1'h0;"]]
    assert len(before) == len(after) + 2
    toy = to_verilog(Toy())
    assert build._without_reset(toy) == toy
