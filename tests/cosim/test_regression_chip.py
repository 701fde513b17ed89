"""The chip of the regression preset, simulated over its bus, is the golden model."""

import csv
import json
from pathlib import Path

import pytest

from zerotrain.cli.main import main
from zerotrain.config.changes import changed
from zerotrain.config.config import Config
from zerotrain.host.session import Session
from zerotrain.spec.registers import Baseline

#: The preset with other activations.
SINES = {"layers.1.activation": "sine", "chip.cge": "forward"}


@pytest.mark.parametrize("changes", [{}, SINES], ids=["relu", "sine"])
def test_diabetes(changes: dict[str, str], tmp_path: Path) -> None:
    """Step by step, and in as many cycles as planned."""
    sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "--preset", "diabetes", "--chip", "verilated", "--verify",
               "--rge-steps", "6", "--cge-steps", "6", "--set", "training.evaluate_every=4",
               "--run-folder", str(tmp_path), *sets]  # fmt: skip
    assert main(command) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["golden_equal"] is True and summary["cycles"] > 0
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [int(row["step"]) for row in rows if row["rmse"]]
    assert measured == [0, 4, 8, 12]

    config = changed(Config.preset("diabetes"), changes)
    plan = Session.of(config).plan
    cost = plan.step_cost("rge", batch=32, queries=config.queries, baseline=Baseline.MEAN)
    first = next(row for row in rows if row["phase"] == "sign-rge")
    assert abs(int(first["cycles"]) / cost.cycles - 1) < 0.06
