"""The chip of the regression preset, simulated over its bus, is the golden model."""

import csv
import json
from pathlib import Path

from zerotrain.cli.main import main


def test_diabetes(tmp_path: Path) -> None:
    command = ["train", "--preset", "diabetes", "--chip", "verilated", "--verify",
               "--rge-steps", "6", "--cge-steps", "6", "--set", "training.evaluate_every=4",
               "--run-folder", str(tmp_path)]  # fmt: skip
    assert main(command) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["golden_equal"] is True and summary["cycles"] > 0
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [int(row["step"]) for row in rows if row["rmse"]]
    assert measured == [0, 4, 8, 12]
