"""Runs from the command line: nothing is lost, and nothing is mixed up."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from zerotrain.cli.main import main
from zerotrain.cli.train import DIVERGED
from zerotrain.host.folder import RunFolder
from zerotrain.host.session import train as honest

Capture = pytest.CaptureFixture[str]
SHORT = [
    "train", "--preset", "diabetes", "--chip", "golden", "--rge-steps", "6", "--cge-steps", "4",
    "--set", "training.evaluate_every=5",
]  # fmt: skip
FILES = {"config.toml", "log.csv", "checkpoint.ztc", "curves.png", "summary.json", ".lock"}


def failure(capture: Capture, arguments: list[str], code: int) -> str:
    """The one sentence with which a command fails."""
    capture.readouterr()
    assert main(arguments) == code
    text = capture.readouterr().err
    assert text.startswith("zerotrain: ") and text.count("\n") == 1
    return text.removeprefix("zerotrain: ").rstrip("\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_every_training_has_its_folder(capsys: Capture, place: Path) -> None:
    assert main(SHORT) == 0
    first = content(place / "runs" / "diabetes-1")
    assert set(first) == FILES
    assert main([*SHORT, "--seed", "2"]) == 0
    assert "Run folder: runs/diabetes-2\n" in capsys.readouterr().out
    assert content(place / "runs" / "diabetes-1") == first
    assert (place / "runs" / "latest").readlink() == Path("diabetes-2")
    # Later commands take the latest, and say which that is.
    assert main(["evaluate", "--chip", "golden"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "runs/diabetes-2: diabetes, seed 2, after step 10; trained on the training and validation "
        "part"
    )
    assert main(["train", "--resume", "--chip", "golden"]) == 0
    assert "Resuming runs/diabetes-2 after step 10.\n" in capsys.readouterr().out
    assert main(["publish"]) == 0
    pattern = (
        r"runs/diabetes-2, diabetes, seed 2: test RMSE \S+, R² \S+ with the last "
        r"checkpoint, measured again\. Result: "
        r"docs/results/diabetes-seed2\.json\n"
    )
    assert re.fullmatch(pattern, capsys.readouterr().out)


def test_a_named_folder_is_overwritten_with_force_alone(capsys: Capture, place: Path) -> None:
    named = ["--run-folder", "mine"]
    assert main([*SHORT, *named]) == 0
    before = content(place / "mine")
    assert failure(capsys, [*SHORT, *named, "--seed", "2"], 1) == (
        "There is a run in mine already (checkpoint.ztc): name another folder, go on with "
        "--resume, or overwrite it with --force"
    )
    # Not even with force before everything was checked.
    for wrong in ("training.batch=5000", "training.cge.shift=1", "training.cge.momentum=0.01"):
        failure(capsys, [*SHORT, *named, "--force", "--set", wrong], 2)
        assert content(place / "mine") == before
    assert main([*SHORT, *named, "--seed", "2", "--force"]) == 0
    assert content(place / "mine")["log.csv"] != before["log.csv"]
    assert "resumed with its own" in failure(capsys, ["train", "--resume", "--force"], 2)


@pytest.mark.parametrize("name", ["runs/[/data]", "[bold]x", "a b", ":smile:"])
def test_folders_of_any_name(capsys: Capture, place: Path, name: str) -> None:
    assert main([*SHORT, "--run-folder", name]) == 0
    assert f"Run folder: {name}\n" in capsys.readouterr().out
    assert set(content(place / name)) == FILES


def test_one_training_in_a_folder(capsys: Capture, place: Path) -> None:
    folder = RunFolder(place / "run")
    folder.make()
    message = f"Another process ({os.getpid()}) trains in {folder.path}: wait for its end, or name "
    with folder.locked():
        command = [*SHORT, "--run-folder", str(folder.path)]
        assert failure(capsys, command, 1) == f"{message}another folder"
        assert set(content(folder.path)) == {".lock"}
    assert main(command) == 0
    with folder.locked():
        command = ["train", "--resume", "--chip", "golden", "--run-folder", str(folder.path)]
        assert failure(capsys, command, 1) == f"{message}another folder"


def test_what_does_not_belong_together_is_refused(capsys: Capture, place: Path) -> None:
    """Files of two trainings in one folder, and an edited configuration."""
    for seed in ("1", "2"):
        assert main([*SHORT, "--seed", seed, "--run-folder", f"run{seed}"]) == 0
    commands = [["publish"], ["evaluate", "--chip", "golden"], ["train", "--resume", "--chip",
                "golden", "--verify"]]  # fmt: skip
    sentence = (
        "mixed/config.toml: The checkpoint is of a run with training.seed = 1, this one has "
        "training.seed = 2: put it back as it was, or start a new run"
    )
    for names in (["config.toml"], ["config.toml", "log.csv"], ["config.toml", "summary.json"]):
        shutil.copytree("run1", "mixed")
        for name in names:
            shutil.copy(f"run2/{name}", "mixed")
        for command in commands:
            assert failure(capsys, [*command, "--run-folder", "mixed"], 2) == sentence
        shutil.rmtree("mixed")
    shutil.copytree("run1", "mixed")
    shutil.copy("run2/log.csv", "mixed")
    assert failure(capsys, ["publish", "--run-folder", "mixed"], 2) == (
        "mixed/log.csv does not belong to the checkpoint beside it: expected the 10 steps that led "
        "to it; start the run again"
    )
    shutil.copy("run1/log.csv", "mixed")
    shutil.copy("run2/summary.json", "mixed")
    assert failure(capsys, ["publish", "--run-folder", "mixed"], 2).startswith(
        "mixed/summary.json does not belong to the checkpoint beside it: expected the running_hash "
    )
    assert not (place / "docs").exists()


def test_what_was_measured_is_said(capsys: Capture, place: Path) -> None:
    assert main([*SHORT, "--hold-out-validation"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^Validation RMSE \S+, R² \S+ on 71 samples after 10 steps", printed, re.M)
    assert "est RMSE" not in printed
    summary = json.loads((place / "runs/latest/summary.json").read_text())
    assert summary["measured"] == "validation" and summary["validation_samples"] == 71
    assert not any(key.startswith("test") for key in summary)


def test_rounded_values_are_said_once_and_logged(capsys: Capture, place: Path) -> None:
    changes = ["--set", "training.cge.momentum=0.9", "--set", "training.rge.mu=0.0003"]
    assert main([*SHORT, *changes]) == 0
    printed = capsys.readouterr().out
    assert printed.count("momentum 0.9 is 0.875") == 1
    # The first step size is rounded by less than a hundredth.
    assert (
        "Rounded to what the chip has, [training.rge]: final_step_size 0.001 is 0.0009766, mu "
        "0.0003 is 0.0002441.\n"
    ) in printed
    values = json.loads((place / "runs/latest/summary.json").read_text())["chip_values"]
    assert values["cge"]["momentum"] == 0.875 and values["rge"]["mu"] == 2 / 2**13
    with (place / "runs/latest/log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["step_size"]) == values["rge"]["step_size"] == 33 / 2**13
    assert float(rows[10]["step_size"]) == values["cge"]["final_step_size"]
    assert failure(capsys, [*SHORT, "--set", "training.cge.momentum=0.01"], 2) == (
        "[training.cge] momentum 0.01 would be 0 on this chip, which has sixteenths: expected 0 or "
        "0.0625 to 0.9375"
    )


def test_divergence_stops_and_keeps_a_checkpoint(capsys: Capture, place: Path) -> None:
    wild = ["train", "--preset", "diabetes", "--chip", "golden", "--schedule", "cge",
            "--cge-steps", "130", "--set", "training.cge.step_size=30",
            "--set", "training.cge.final_step_size=30"]  # fmt: skip
    assert main(wild) == DIVERGED == 3
    printed = capsys.readouterr().out
    assert printed.count("The training diverges: ") == 1
    assert re.search(r"^Parameters were clamped in \d+ of the last \d+ steps: ", printed, re.M)
    assert printed.endswith(
        "Stopped after step 100; continue with: zerotrain train --resume --chip golden "
        "--run-folder runs/diabetes-1 --keep-going\n"
    )
    assert not (place / "runs/latest/summary.json").exists()
    resume = ["train", "--resume", "--chip", "golden"]
    assert main(resume) == 3  # without a further step
    printed = capsys.readouterr().out
    assert printed.count("The training diverges: ") == 1 and "Stopped after step 100" in printed
    assert main([*resume, "--keep-going"]) == 0
    assert main([*wild, "--keep-going"]) == 0
    whole, cut = (place / f"runs/diabetes-{k}" / "log.csv" for k in (2, 1))
    assert whole.read_bytes() == cut.read_bytes()
    summary = json.loads((place / "runs/latest/summary.json").read_text())
    assert summary["divergence"].startswith("The training diverges: ")
    assert summary["clamped_steps"]["parameter"] > 100


def test_ctrl_c_says_how_to_go_on(
    capsys: Capture, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return honest(*arguments, **options)

    monkeypatch.setattr("zerotrain.host.run.train", interrupted)
    assert main([*SHORT, "--run-folder", "a b", "--data", "my data"]) == 130
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "Interrupted after step 0; continue with: zerotrain train --resume --chip golden "
        "--run-folder 'a b' --data 'my data'"
    )
    monkeypatch.setattr("zerotrain.host.run.train", honest)
    assert main(shlex.split(last.partition("zerotrain ")[2])) == 0


def test_ctrl_c_while_modules_load(place: Path) -> None:
    """From our first line on: one sentence, no traceback."""
    program = """
import sys
from zerotrain.cli.__main__ import main

class Announce:
    def find_spec(self, name, path=None, target=None):
        if name == "zerotrain.cli.main":
            print("loading", flush=True)

sys.meta_path.insert(0, Announce())
sys.exit(main())
"""
    for delay in (0.0, 0.01, 0.03, 0.1, 0.2, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *SHORT],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        # Once training is under way, it says so on standard output.
        assert (process.returncode, errors) in ((130, "zerotrain: Interrupted\n"), (130, ""))


def test_an_interrupted_command_is_no_traceback(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zerotrain.cli.results.publish_run", interrupt)
    assert main(["publish"]) == 130
    assert "Traceback" not in capsys.readouterr().err
