"""``zerotrain route`` around the tools, which :mod:`tests.boards.test_synthesis` runs."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zerotrain.boards.harness import HARNESS
from zerotrain.boards.place_and_route import RoutedReport, Run
from zerotrain.boards.routed import find_routed, load_routing
from zerotrain.boards.timing_path import TimingPath
from zerotrain.cli import route
from zerotrain.cli.main import main
from zerotrain.config.config import Config


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of the calls of place and route, which all reach 75 MHz and more."""
    calls: list[dict[str, Any]] = []

    def place_and_route(report: Any, **options: Any) -> RoutedReport:
        calls.append(options)
        path = TimingPath("engine.a", "engine.b", (), 13.0, 8.0, 5)
        runs = {s: Run(74e6 + 1e6 * s, {"DP16KD": (29, 208)}, path) for s in options["seeds"]}
        return RoutedReport(report.board, runs, options["target_hz"], "nextpnr 0", (), Path("away"))

    def synthesise(verilog: str, top: str, board: Any, **options: Any) -> Any:
        assert options["ignore_collisions"] and f"module {top}" in verilog
        return SimpleNamespace(board=board, netlist=Path("none"), check=lambda: None)

    # Amaranth warns of components that nobody elaborates.
    monkeypatch.setattr(route, "TrainingChip", lambda *a: None)
    monkeypatch.setattr(route, "component_ports", lambda chip: {})
    monkeypatch.setattr(route, "to_verilog", lambda *a, **k: "module top(); endmodule\n")
    monkeypatch.setattr(route, "harness", lambda *a: f"module {HARNESS}(); endmodule\n")
    monkeypatch.setattr(route, "synthesise", synthesise)
    monkeypatch.setattr(route, "place_and_route", place_and_route)
    return calls


def test_report(
    tools: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is one that the benchmark finds again; the table says seed, clock and path."""
    words = ["route", "--preset", "digits", "--board", "ulx3s-85f", "--seeds", "3"]
    words += [
        "--jobs",
        "2",
        "--nextpnr",
        "--quiet --threads 2",
        "--target-mhz",
        "90",
        "--output",
        str(tmp_path),
    ]
    assert main(words) == 0 and tools[0]["jobs"] == 2
    assert tools[0]["options"] == ["--quiet", "--threads", "2"]
    assert list(tools[0]["seeds"]) == [1, 2, 3] and tools[0]["target_hz"] == 90e6
    written = json.loads((tmp_path / "routing.json").read_text())
    assert written["seeds"]["3"]["mhz"] == 77.0
    assert written["seeds"]["2"]["slowest_path"]["end"] == "engine.b"
    config = Config.preset("digits")
    config_hash = f"{config.build_chip().config_hash:#010x}"
    found = find_routed(load_routing(tmp_path), "digits", "ulx3s-85f", 8, config_hash)
    assert found is not None and (found.hz, found.seeds, found.stale) == (76e6, 3, False)
    text = capsys.readouterr().out
    assert "Routing with 3 seeds at 90 MHz ..." in text
    assert "engine.a -> engine.b: 13.0 ns, of which 8.0 ns wires" in text
    assert "DP16KD 29 of 208" in text and "Not modelled: uncertainty of the clock" in text


def test_the_target_clock_is_the_board_s(
    tools: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["route", "--preset", "digits", "--board", "ulx3s-85f", "--seeds", "1"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    assert tools[0]["target_hz"] == 100e6
    assert "Routing with one seed at 100 MHz ..." in capsys.readouterr().out


def test_a_chip_that_cannot_fit_is_not_routed(
    tools: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["route", "--preset", "digits", "--board", "icebreaker", "--lanes", "64"]
    assert main([*words, "--output", str(tmp_path)]) == 2
    assert "A chip of 64 lanes does not fit icebreaker" in capsys.readouterr().err
    assert not tools and not list(tmp_path.iterdir())
