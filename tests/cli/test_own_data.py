"""Data of one's own from the command line: the page that explains them, runs that know their data,
files that move."""

import re
import shlex
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from zerotrain.cli.main import main
from zerotrain.config.data import DataOptions

Capture = pytest.CaptureFixture[str]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")

TOML = """
name = "own"
[[layers]]
type = "dense"
inputs = 2
outputs = 2
[training]
dataset = "own.csv"
batch = 8
[training.cge]
steps = 3
step_size = 0.1
final_step_size = 0.1
"""


def test_the_page_to_the_letter(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks in their order: Python that writes data, configurations, commands, and what these
    print."""
    monkeypatch.chdir(tmp_path)
    printed, checked = "", 0
    for match in re.finditer(r"```(\w*)\n(.*?)```|^    zerotrain ([^\n]*)$", PAGE, re.M | re.S):
        kind, block, command = match.groups()
        if command is not None:
            capsys.readouterr()
            assert main(shlex.split(command)) == 0, command
            printed = capsys.readouterr().out
        elif kind == "python":
            exec(compile(block, "docs/data.md", "exec"), {})
        elif kind == "toml":
            named = re.search(r'^name = "(\w+)"', block)
            assert named is not None
            (tmp_path / f"{named[1]}.toml").write_text(block)
        else:
            assert printed == block
            checked += 1
    assert checked == 2


def test_the_page_has_all_keys() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.M))
    assert list(rows) == [f.name for f in fields(DataOptions)]
    for field in fields(DataOptions):
        assert field.default is not MISSING
        shown = {(): "`[]`", None: "found out", "": '`""`'}
        value = field.default
        assert rows[field.name] == shown.get(
            value, f'`"{value}"`' if isinstance(value, str) else f"`{value}`"
        )


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and configuration; the current folder is another one."""
    folder, other = tmp_path / "here", tmp_path / "there"
    folder.mkdir()
    other.mkdir()
    rows = [f"{k % 7},{-k % 5},{'up' if k % 7 > -k % 5 else 'down'}" for k in range(60)]
    (folder / "own.csv").write_text("a,b,way\n" + "\n".join(rows))
    (folder / "own.toml").write_text(TOML)
    monkeypatch.chdir(other)
    return folder


TRAIN = ["train", "--chip", "golden", "--run-folder"]
RESUME = [*TRAIN[:-1], "--resume", "--run-folder"]


def test_a_run_finds_its_data_from_anywhere(
    own: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(own / "run")
    monkeypatch.chdir(own)
    assert main([*TRAIN, "run", "--config", "own.toml"]) == 0
    log = (own / "run" / "log.csv").read_bytes()
    monkeypatch.chdir("/")
    assert main([*RESUME, run]) == 0
    assert (own / "run" / "log.csv").read_bytes() == log
    capsys.readouterr()
    assert main(["evaluate", "--chip", "golden", "--run-folder", run]) == 0
    assert "\nclasses: 0 down, 1 up\n" in capsys.readouterr().out
    # The file has moved.
    (own / "moved").mkdir()
    (own / "own.csv").rename(own / "moved" / "own.csv")
    assert main(["evaluate", "--chip", "golden", "--run-folder", run]) == 1
    assert capsys.readouterr().err == (
        f"zerotrain: There is no file {own}/own.csv: expected the data set there; correct the name "
        "in the configuration, or name the folder with --data\n"
    )
    data = ["--data", str(own / "moved")]
    assert main([*RESUME, run, *data]) == 0
    assert main(["publish", "--run-folder", run, "--results", str(own / "results"), *data]) == 0
    assert main(["results", "--check", "--results", str(own / "results"), *data]) == 0


@pytest.mark.parametrize("change", [("6,4,up", "6,3,up"), ("up", "over")])
def test_other_data_are_refused(own: Path, capsys: Capture, change: tuple[str, str]) -> None:
    """A value that differs, or only the names of the labels."""
    run = str(own / "run")
    assert main([*TRAIN, run, "--config", str(own / "own.toml")]) == 0
    path = own / "own.csv"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    capsys.readouterr()
    for command in (
        [*RESUME, run],
        ["evaluate", "--chip", "golden", "--run-folder", run],
        ["publish", "--run-folder", run, "--results", str(own / "results")],
    ):
        assert main(command) == 2
        assert re.fullmatch(
            r"zerotrain: .*[Cc]heckpoint is of a run with data\.(training|validation|test|classes)"
            r" = .*, this one has data\..*: put it back as it was, or start a new run\n",
            capsys.readouterr().err,
        )


def test_a_network_of_another_size_is_refused(own: Path, capsys: Capture) -> None:
    command = [*TRAIN, str(own / "run"), "--config", str(own / "own.toml")]
    assert main([*command, "--set", "training.data.ignore=1"]) == 2
    assert capsys.readouterr().err == (
        "zerotrain: Data set own.csv has 1 inputs and 2 classes, network own has 2 inputs and 2 "
        "outputs: let inputs of layer 1 be 1\n"
    )
    layers = TOML.replace('type = "dense"\ninputs = 2\noutputs = 2',
                          "in_modes = [2, 2]\nout_modes = [3, 2]\nranks = 2")  # fmt: skip
    (own / "own.toml").write_text(layers)
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "zerotrain: Data set own.csv has 2 inputs and 2 classes, network own has 4 inputs and 6 "
        "outputs: let in_modes of layer 1 multiply to 2, as [2, 1] do and let out_modes of layer 1 "
        "multiply to 2, as [2, 1] do\n"
    )
    assert not (own / "run").exists()


def test_files_that_are_no_data(own: Path, capsys: Capture) -> None:
    command = [*TRAIN, str(own / "run"), "--config", str(own / "own.toml"), "--set"]
    (own / "a.xlsx").write_bytes(b"PK")
    assert main([*command, f"training.dataset={own}/a.xlsx"]) == 2
    assert capsys.readouterr().err == (
        f"zerotrain: {own}/a.xlsx is no data set that can be read: expected a file ending in .csv, "
        ".tsv, .txt, .npz; export it as CSV in UTF-8\n"
    )
    (own / "folder.csv").mkdir()
    assert main([*command, f"training.dataset={own}/folder.csv"]) == 1
    assert "There is no file" in capsys.readouterr().err
    assert main([*command, f"training.dataset={'x' * 300}.csv"]) == 1
    assert re.fullmatch(r"zerotrain: Cannot read /.*\.\.\.: File name too long\n",
                        capsys.readouterr().err)  # fmt: skip
    (own / "test.csv").write_text("b,a,way\n1,2,up\n2,1,down\n")
    assert main([*command, f'training.data.test="{own}/test.csv"']) == 2
    assert capsys.readouterr().err == (
        f"zerotrain: {own}/test.csv has column b where {own}/own.csv has column a: expected the "
        "same columns in the same order\n"
    )
