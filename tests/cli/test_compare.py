"""``compare`` and ``tensorboard``: curves of runs, finished or not; extensions; the best."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from zerotrain.cli.main import main
from zerotrain.host.session import train as honest

from .test_runs import SHORT, failure

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupted(*arguments: Any, **options: Any) -> bool:
    os.kill(os.getpid(), signal.SIGINT)
    return honest(*arguments, **options)


def test_compare(capsys: Capture, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that differ in a key, several seeds, and an interrupted one, whose curves are there."""
    assert main([*SHORT, "--seeds", "1", "2"]) == 0
    monkeypatch.setattr("zerotrain.host.run.train", interrupted)
    assert main([*SHORT, "--batch", "16"]) == 130
    picture = place / "runs/diabetes-1/curves.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    folders = sorted(str(path) for path in Path("runs").iterdir())
    assert folders == ["runs/diabetes-1", "runs/diabetes-seeds-1", "runs/latest"]
    assert main(["compare", *folders]) == 0
    printed = capsys.readouterr().out
    # What `latest` leads to is there once.
    assert re.search(r"│ training.batch = 16 +│ \(1\) +│ 0 +│ 0 +│ +│ \d", printed)
    assert re.search(r"│ training.batch = 32 +│ 1, 2 +│ 10 +│ 352 +│ \S+ to \S+ +│ \S+ ± ", printed)
    assert printed.endswith(
        "Seeds in parentheses: the run is not finished.\nCurves: runs/compare.png\n"
    )
    assert (place / "runs/compare.png").read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    assert main(["compare", "runs/diabetes-1"]) == 0
    assert picture.exists()
    assert main(["compare", "runs/diabetes-1", "--output", "deep/er/x.png"]) == 0
    assert (place / "deep/er/x.png").exists()
    assert failure(capsys, ["compare", "runs/diabetes-1", "--output", "x.jpg"], 2) == (
        "The picture is a PNG file: expected a name like curves.png, got x.jpg"
    )
    # The glob that took the runs now has the picture, too.
    capsys.readouterr()
    assert main(["compare", *map(str, sorted(Path("runs").iterdir()))]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Left out, since they hold no run: runs/compare.png\n")
    assert re.search(r"│ diabetes-1 +│ training.batch = 16 +│ \(1\) ", printed)
    assert re.search(r"│ diabetes-seeds-1 +│ training.batch = 32 +│ 1, 2 ", printed)
    alone = failure(capsys, ["compare", "runs/compare.png"], 1)
    assert alone.startswith("There is no run in runs/compare.png: ")
    assert failure(capsys, ["compare", "runs/diabetes-3"], 1) == (
        "There is no run in runs/diabetes-3: expected checkpoint.ztc there, which every run has"
    )
    assert "Missing argument" in failure(capsys, ["compare"], 2)


def test_events_of_a_run(capsys: Capture, place: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the extra 'tensorboard' is not installed")
    assert main([*SHORT, "--tensorboard"]) == 0
    (first,) = (place / "runs/diabetes-1/tensorboard").iterdir()
    assert first.stat().st_size > 1000
    assert main(["train", "--resume", "--extend", "2", "--chip", "golden"]) == 0
    assert main(["tensorboard", "runs/latest"]) == 0
    assert capsys.readouterr().out.endswith("Events of 12 steps: runs/latest/tensorboard\n")
    # Events of a run that was overwritten are gone.
    assert main([*SHORT, "--force", "--run-folder", "runs/diabetes-1"]) == 0
    assert not list((place / "runs/diabetes-1/tensorboard").iterdir())


def test_event_files_that_cannot_be_written_are_refused_first(
    capsys: Capture, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    assert failure(capsys, [*SHORT, "--tensorboard"], 2).startswith("Event files need the package ")
    assert not (place / "runs").exists()


def test_an_extended_run(capsys: Capture, place: Path) -> None:
    """It says what it is: when it begins, in its summary, and when it is published."""
    assert main(SHORT) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "--chip", "golden", "--extend", "5", "--verify"]) == 0
    printed = capsys.readouterr().out
    assert (
        "Extending runs/diabetes-1 after step 10 by 5 steps at its final step size, 0.0005: not "
        "the run that a longer schedule gives.\n"
    ) in printed
    assert "The golden model holds the same losses at every one of 15 steps" in printed
    summary = json.loads((place / "runs/latest/summary.json").read_text())
    assert summary["extensions"] == [5] and summary["steps"] == 15
    assert main(["publish"]) == 0
    assert re.fullmatch(
        r"runs/diabetes-1, diabetes-extended, seed 1: test RMSE \S+, R² \S+ with the last "
        r"checkpoint, extended by 5 steps at the final step size, measured again\. Result: "
        r"docs/results/diabetes-extended-seed1\.json\n",
        capsys.readouterr().out,
    )
    assert main(["results", "--check"]) == 0


def test_extension_of_an_unfinished_run(
    capsys: Capture, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerotrain.host.run.train", interrupted)
    assert main(SHORT) == 130
    before = {p.name: p.read_bytes() for p in (place / "runs/latest").iterdir()}
    assert failure(capsys, ["train", "--resume", "--chip", "golden", "--extend", "5"], 2) == (
        "Only a finished run can be extended, this one stands after step 0 of up to 10: finish it "
        "first, with --resume alone"
    )
    assert {p.name: p.read_bytes() for p in (place / "runs/latest").iterdir()} == before


def test_the_best(capsys: Capture, place: Path) -> None:
    assert main([*SHORT, "--hold-out-validation"]) == 0
    printed = capsys.readouterr().out
    best = re.search(r"^Best validation RMSE (\S+), after step (\d+); zerotrain evaluate --best "
                     r"measures it\.$", printed, re.M)  # fmt: skip
    assert best is not None
    summary = json.loads((place / "runs/latest/summary.json").read_text())
    assert summary["best"]["step"] == int(best[2]) and summary["checkpoint"] == "last"
    assert main(["evaluate", "--chip", "golden", "--best"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        f"runs/diabetes-1: diabetes, seed 1, after step {best[2]}, the best on the validation "
        "part; trained on the training part\n"
    )
    found = re.search(r"^validation  RMSE (\S+), ", printed, re.M)
    assert found is not None
    assert float(found[1]) == pytest.approx(summary["best"]["validation_rmse"], rel=1e-4)
    assert main(SHORT) == 0
    assert json.loads((place / "runs/latest/summary.json").read_text())["best"] is None
    assert failure(capsys, ["evaluate", "--chip", "golden", "--best"], 2).startswith(
        "The run in runs/diabetes-2 has no best checkpoint: it held no validation part out, "
    )
