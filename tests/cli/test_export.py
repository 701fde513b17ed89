"""``zerotrain export``, and trainings that begin with what it wrote."""

from pathlib import Path

import numpy as np
import pytest

from zerotrain.cli.main import main
from zerotrain.host.checkpoint import Checkpoint

Capture = pytest.CaptureFixture[str]
SHORT = [
    "train",
    "--preset",
    "diabetes",
    "--chip",
    "golden",
    "--rge-steps",
    "2",
    "--cge-steps",
    "2",
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_out_and_in(capsys: Capture, place: Path) -> None:
    assert main(SHORT) == 0
    theta = Checkpoint.load(Path("runs/diabetes-1/checkpoint.ztc")).theta
    capsys.readouterr()
    assert main(["export"]) == 0
    assert capsys.readouterr().out == (
        "runs/diabetes-1: diabetes after step 4, 7 arrays. Export: build/diabetes.npz\n"
    )
    with np.load("build/diabetes.npz") as file:
        assert (file["theta"] == theta).all()
    assert main(["export", "--dense", "--run-folder", "runs/diabetes-1"]) == 0
    assert Path("build/diabetes-dense.npz").exists()

    warm = [*SHORT, "--set", "training.initial=build/diabetes.npz", "--verify"]
    assert main(warm) == 0
    text = capsys.readouterr().out
    assert "Begins with the weights of build/diabetes.npz (hash " in text
    assert "step 0/4  warm start  loss " in text
    assert 'initial = "build/diabetes.npz"' in Path("runs/diabetes-2/config.toml").read_text()
    # What is there is kept; what is equal is no other file.
    assert main(["export", "--run-folder", "runs/diabetes-1"]) == 0
    assert main(["export"]) == 1
    assert capsys.readouterr().err == (
        "zerotrain: build/diabetes.npz is there already: name another file with --output, or "
        "overwrite it with --force\n"
    )
    assert main(["export", "--force"]) == 0


def test_a_run_is_repeated_with_its_own_weights_alone(capsys: Capture, place: Path) -> None:
    """And what is missing for that is said before the run goes on, not at its end."""
    assert main(SHORT) == 0
    for name, run in (("first.npz", "runs/diabetes-1"), ("w.npz", "runs/diabetes-1")):
        assert main(["export", "--run-folder", run, "--output", name]) == 0
    assert main([*SHORT, "--run-folder", "warm", "--set", "training.initial=w.npz"]) == 0
    assert main(["export", "--run-folder", "warm", "--output", "w.npz", "--force"]) == 0
    again = ["train", "--resume", "--run-folder", "warm", "--chip", "golden"]
    before = {path.name: path.read_bytes() for path in Path("warm").iterdir()}
    capsys.readouterr()
    assert main([*again, "--verify"]) == 2
    assert "has initial_weights" in capsys.readouterr().err
    Path("w.npz").unlink()
    assert main([*again, "--verify"]) == 1
    assert capsys.readouterr().err.startswith("zerotrain: There are no weights w.npz: expected")
    assert {path.name: path.read_bytes() for path in Path("warm").iterdir()} == before
    assert main(again) == 0
    Path("first.npz").rename("w.npz")
    assert main([*again, "--verify"]) == 0


def test_a_training_checks_its_weights_before_anything_goes(capsys: Capture, place: Path) -> None:
    assert main([*SHORT, "--run-folder", "a"]) == 0
    before = {path.name: path.read_bytes() for path in Path("a").iterdir()}
    for source in ("no.npz", "a/log.csv"):
        command = [*SHORT, "--run-folder", "a", "--force", "--set", f"training.initial={source}"]
        assert main(command) in (1, 2)
    assert {path.name: path.read_bytes() for path in Path("a").iterdir()} == before


def test_there_is_nothing_to_export(capsys: Capture, place: Path) -> None:
    assert main(["export"]) == 1
    assert capsys.readouterr().err == (
        "zerotrain: There is no latest run, runs/latest: name a run's folder with --run-folder\n"
    )
