"""The benchmark: what it reports, on the smallest preset and with the least effort."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from zerotrain.bench import __main__ as bench
from zerotrain.bench.chips import chip_report
from zerotrain.bench.golden import step_bytes
from zerotrain.bench.milestone import find_milestones
from zerotrain.bench.report import Options, measure
from zerotrain.bench.show import show
from zerotrain.bench.targets import Target
from zerotrain.bench.workload import Workload
from zerotrain.boards.catalogue import find_board
from zerotrain.boards.routed import find_routed, load_routing
from zerotrain.config.config import Config


@pytest.fixture(scope="module")
def work() -> Workload:
    return Workload.of(Config.preset("digits"))


@pytest.mark.cosim
def test_smallest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no results
    options = Options(presets=("digits",), lanes=(8, 16), turns=1, torch_seconds=0.0)
    report = json.loads(json.dumps(measure(options, lambda text: None)))
    assert [(c["board"], c["lanes"]) for c in report["chips"]] == [
        ("ulx3s-85f", 8), ("ulx3s-85f", 16), ("icebreaker", 8),
    ]  # fmt: skip
    counted, estimated, too_large = report["chips"]
    for kind, step in counted["steps"].items():
        other = estimated["steps"][kind]
        assert (step["source"], other["source"]) == ("counters", "estimate")
        assert step["multiplier_use"] == pytest.approx(step["macs"] / step["cycles"] / 8, abs=1e-4)
        assert 0.5 < step["multiplier_use"] < 1
        assert other["cycles"] < 0.8 * step["cycles"]
        assert step["seconds"] == step["cycles"] / counted["clock"]["hz"]
        assert step["epoch_seconds"] == pytest.approx(1437 // 32 * step["seconds"])
    assert too_large["does_not_fit"] and "seconds" not in too_large["steps"]["rge"]
    assert {s["kind"]: s["losses"] for s in report["simulated"]} == {
        "evaluate": 1, "rge": 8, "cge": 511,
    }  # fmt: skip

    def text(found: Any) -> str:
        console = Console(file=io.StringIO(), width=200)
        show(console, found, "PyTorch is left out")
        output = console.file.getvalue()  # type: ignore[attr-defined]
        assert isinstance(output, str)
        return output

    assert "100 target" in text(report)
    report["presets"]["digits"]["pytorch"] = None
    assert "PyTorch is left out" in text(report)


def test_bytes_of_a_step(work: Workload) -> None:
    found = step_bytes(work)
    # Samples and labels, then at least the losses, one word each.
    batch = 4 * work.batch * (64 + 1)
    assert batch + 4 * 511 < found["cge"] < batch + 4 * (511 + 50)
    assert batch < found["evaluate"] < found["rge"] < found["cge"]


SITES = {"DP16KD": {"used": 1, "available": 2}}
ROW = {
    "network": "digits", "board": "ulx3s-85f", "lanes": 8, "config_hash": "0x1",
    "median_mhz": 100.0, "seeds": {str(n): {"mhz": 100.0, "sites": SITES} for n in (1, 2)},
}  # fmt: skip


def test_routed_clocks(work: Workload, tmp_path: Path) -> None:
    assert load_routing(tmp_path / "none") == []
    config_hash = f"{work.session.chip.config_hash:#010x}"
    today = ROW | {"config_hash": config_hash, "median_mhz": 80.0}
    for name, row in (("a", ROW), ("b", today)):
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
    rows = load_routing(tmp_path)
    assert find_routed(rows, "digits", "ulx3s-85f", 64, config_hash) is None
    stale = find_routed(rows, "digits", "ulx3s-85f", 8, "0x2")
    assert stale is not None and (stale.hz, stale.seeds, stale.stale) == (1e8, 2, True)
    fresh = find_routed(rows, "digits", "ulx3s-85f", 8, config_hash)
    assert fresh is not None and (fresh.hz, fresh.stale) == (8e7, False)

    board, sizes = find_board("ulx3s-85f"), step_bytes(work)
    for routing, source, hz in (
        ([], "target", 1e8), ([ROW], "stale", 1e8), (rows, "routed", 8e7),
    ):  # fmt: skip
        chip = chip_report(work, board, simulated=[], routing=routing, step_bytes=sizes)
        step = chip["steps"]["rge"]
        assert (chip["clock"]["source"], chip["clock"]["hz"]) == (source, hz)
        assert step["seconds"] == step["cycles"] / hz
        assert step["link_bytes_per_second"] == round(sizes["rge"] / step["seconds"])
        assert chip["resources"]["source"].startswith("routed" if source == "routed" else "estim")


@pytest.mark.parametrize("content", ["{", "{}", "[1]", json.dumps(ROW | {"seeds": {}})])
def test_damaged_routing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    message = (
        f"{path} is not a routing report with board, config_hash, lanes, median_mhz, network, "
        "seeds: make it again with zerotrain route"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_routing(tmp_path)


def write_run(folder: Path, losses: int) -> None:
    """A run of 300 RGE steps of 8 losses and some CGE steps of 511."""
    config = Config.preset("digits").to_dict() | {"name": "digits-quick"}
    (folder / "digits.json").write_text(json.dumps({"config": config}))
    with (folder / "digits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "phase", "loss_evaluations", "loss", "test_accuracy"])
        writer.writerows(
            [
                [0, "start", 0, "", 0.1],
                [300, "sign-rge", 2400, 1.5, 0.8],
                [350, "cge", losses, 1, 0.97],
            ]
        )


def test_milestones(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    write_run(tmp_path, 300 * 8 + 50 * 511)
    # A regression has no accuracy.
    config = Config.preset("diabetes").to_dict()
    (tmp_path / "diabetes.json").write_text(json.dumps({"config": config}))
    columns = "step,phase,loss_evaluations,loss,test_rmse"
    (tmp_path / "diabetes.csv").write_text(f"{columns}\n0,start,0,2.4,121.5\n")
    found = list(find_milestones(tmp_path))
    assert [(m.name, m.rge_steps, m.cge_steps, m.accuracy) for m in found] == [
        ("digits", 300, 50, 0.97)
    ]
    assert found[0].config.network.name == "digits"
    assert list(find_milestones(tmp_path, 0.98)) == []
    assert [(m.rge_steps, m.cge_steps) for m in find_milestones(tmp_path, 0.8)] == [(300, 0)]
    assert list(find_milestones(tmp_path / "none")) == []
    write_run(tmp_path, 300 * 8 + 50 * 511 + 1)
    with pytest.raises(ValueError, match=r"csv: 27951 losses in 350 steps are no number of RGE"):
        list(find_milestones(tmp_path))


def test_targets() -> None:
    assert Target("use", 0.95, 0.95, False, "counters").met
    assert not Target("use", 0.94, 0.95, False, "counters").met
    assert Target("cycles", 5e6, 6e6, True, "counters").met
    assert not Target("cycles", 7e6, 6e6, True, "counters").met


def test_bad_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    assert bench.main(["--turns", "0", "--output", str(output)]) == 1
    assert capsys.readouterr().err == "bench: --turns is at least 1, not 0\n"
    assert bench.main(["--lanes", "65", "--output", str(output)]) == 1
    assert capsys.readouterr().err == "bench: A chip has 1 to 64 lanes, not 65\n"
    assert not output.exists()
