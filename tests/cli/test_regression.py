"""A regression from the command line: mean squared error, from training to a published result."""

import csv
import json
import re
from pathlib import Path

import pytest

from zerotrain.cli.main import main
from zerotrain.data import load
from zerotrain.host.metric import spread
from zerotrain.spec.formats import Formats

Capture = pytest.CaptureFixture[str]


def test_diabetes_on_the_golden_model(capsys: Capture, tmp_path: Path) -> None:
    """The whole preset: better than the mean, and nearly as good as linear regression."""
    run, results = str(tmp_path / "run"), tmp_path / "results"
    train = ["train", "--preset", "diabetes", "--chip", "golden", "--run-folder", run]
    assert main(train) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^step 50/\d+ +sign-rge  loss \d\.\d{4}  test RMSE \d+\.\d+ ", printed, re.M)
    found = re.search(r"^Test RMSE (\d+\.\d+), R² (0\.\d+) on 88 samples after ", printed, re.M)
    assert found is not None and float(found[2]) > 0.4

    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_correct"] == 0 and "test_accuracy" not in summary
    data = load("diabetes")
    mean_square = summary["test_loss"] / 2**20 / len(data.test)
    assert summary["test_rmse"] == pytest.approx(data.scale.factor * mean_square**0.5)
    raw = data.test.quantize(Formats()).targets
    deviation = spread(raw) / len(raw) * Formats().logit.resolution ** 2
    assert summary["test_r2"] == pytest.approx(1 - mean_square / deviation)
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["rmse"]) == summary["test_rmse"] and not rows[1]["rmse"]
    assert float(rows[0]["rmse"]) > summary["test_rmse"]

    log = (tmp_path / "run" / "log.csv").read_bytes()
    assert main(["train", "--resume", "--chip", "golden", "--run-folder", run]) == 0
    assert (tmp_path / "run" / "log.csv").read_bytes() == log
    capsys.readouterr()
    assert main(["evaluate", "--chip", "golden", "--run-folder", run]) == 0
    shown = re.search(r"^test +RMSE (\S+), R² (\S+) \(88 samples\)  loss (\S+)$",
                      capsys.readouterr().out, re.M)  # fmt: skip
    assert shown is not None
    assert float(shown[1]) == pytest.approx(summary["test_rmse"], rel=1e-4)
    assert float(shown[3]) == pytest.approx(mean_square, abs=1e-4)

    assert main(["publish", "--run-folder", run, "--results", str(results)]) == 0
    assert main(["results", "--results", str(results), "--check"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^diabetes, seed 1: test RMSE \S+, R² \S+ of 88 samples, as published$",
                     printed, re.M)  # fmt: skip
    assert "| network | parameters | seeds | test RMSE | worst | R² | CGE epochs |" in printed
    assert re.search(r"^\| diabetes \| \d+ \| 1 \| \d\d\.\d{3} \| \d\d\.\d{3} \| 0\.\d{3} \|",
                     printed, re.M)  # fmt: skip
    (path,) = results.glob("*.json")
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"test_loss": values["test_loss"] + 1}))
    assert main(["results", "--results", str(results), "--check"]) == 2
    assert "diabetes, seed 1: expected RMSE " in capsys.readouterr().err


def test_diabetes_with_sines(capsys: Capture, tmp_path: Path) -> None:
    """A network with sines trains by randomly perturbed copies, and by forward passes of CGE."""
    train = ["train", "--preset", "diabetes", "--chip", "golden", "--run-folder", str(tmp_path),
             "--set", "layers.1.activation=sine", "--set", "chip.cge=forward"]  # fmt: skip
    assert main([*train, "--schedule", "sign-rge"]) == 0
    coarse = re.search(r"R² (0\.\d+) on 88 samples", capsys.readouterr().out)
    assert coarse is not None and float(coarse[1]) > 0.4
    assert main([*train, "--force", "--schedule", "cge"]) == 0
    fine = re.search(r"R² (0\.\d+) on 88 samples", capsys.readouterr().out)
    assert fine is not None and float(fine[1]) > 0.4


def test_images_alone_are_moved(capsys: Capture, tmp_path: Path) -> None:
    command = ["train", "--preset", "diabetes", "--chip", "golden", "--set", "training.cge.shift=1"]
    assert main([*command, "--run-folder", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == (
        "zerotrain: [training.cge] shift moves images, and the samples of data set diabetes are "
        "none: expected 0, got 1\n"
    )


def test_clipped_outliers_are_reported(capsys: Capture, tmp_path: Path) -> None:
    command = ["train", "--preset", "diabetes", "--chip", "golden", "--rge-steps", "1",
               "--cge-steps", "1", "--set", "chip.formats.input=Q1.14",
               "--set", "chip.formats.delta=Q-1.16"]  # fmt: skip
    main([*command, "--run-folder", str(tmp_path / "run")])
    assert re.search(
        r"^\d+ of 4,420 inputs of diabetes are clipped to format Q1\.14, which holds -2 to "
        r"1\.99994\.$",
        capsys.readouterr().out, re.M,
    )  # fmt: skip
