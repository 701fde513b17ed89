"""``train --seeds``: several runs as one command."""

import json
import os
import re
import shlex
import signal
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from zerotrain.cli.main import main
from zerotrain.cli.train import run_training
from zerotrain.host.session import train as honest
from zerotrain.host.table import END, marker

from .test_runs import SHORT, content, failure

Capture = pytest.CaptureFixture[str]
LASTING = ("config.toml", "log.csv", "curves.png")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_mean_and_spread(capsys: Capture, place: Path) -> None:
    assert main([*SHORT, "--seeds", "3", "1", "--set", "name=some net"]) == 0
    printed = capsys.readouterr().out
    folder = place / "runs" / "some-net-seeds-1"
    assert (place / "runs" / "latest").readlink() == Path(folder.name)
    assert {p.name for p in folder.iterdir()} == {
        "seed-1", "seed-3", "seeds.json", "curves.png", ".lock",
    }  # fmt: skip
    rmse = [
        json.loads((folder / f"seed-{seed}" / "summary.json").read_text())["test_rmse"]
        for seed in (3, 1)
    ]
    found = json.loads((folder / "seeds.json").read_text())["results"]
    assert found["finished"] == [3, 1] and found["rmse"]["values"] == rmse
    assert found["rmse"]["mean"] == fmean(rmse)
    assert found["rmse"]["standard_deviation"] == stdev(rmse)
    assert f"{fmean(rmse):.3f} ± {stdev(rmse):.3f}" in printed
    best = min(rmse)
    assert re.search(rf"best .* {best:.3f} \(seed {(3, 1)[rmse.index(best)]}\)", printed)
    assert printed.rstrip().splitlines()[-1] == (
        "2 of 2 runs finished; ± is the standard deviation of a sample. Figures: "
        "runs/some-net-seeds-1/seeds.json. Curves: runs/some-net-seeds-1/curves.png"
    )
    # A seed's run is that of the seed alone.
    assert main([*SHORT, "--seed", "3", "--set", "name=some net"]) == 0
    alone = content(place / "runs" / "some-net-1")
    assert {name: alone[name] for name in LASTING} == {
        name: content(folder / "seed-3")[name] for name in LASTING
    }
    # Other commands take all of its runs.
    capsys.readouterr()
    assert main(["evaluate", "--chip", "golden", "--run-folder", str(folder)]) == 0
    assert re.findall(r"seed (\d), after step 10", capsys.readouterr().out) == ["3", "1"]
    assert main(["publish", "--run-folder", str(folder)]) == 0
    assert {p.name for p in (place / "docs/results").glob("*.json")} == {
        "some-net-seed1.json", "some-net-seed3.json",
    }  # fmt: skip


def test_an_interrupted_series_goes_on(
    capsys: Capture, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished seeds are not repeated, and all ends as without the interruption."""
    seeds = ["--seeds", "1-3"]
    assert main([*SHORT, *seeds, "--run-folder", "whole"]) == 0
    count = 0

    def interrupted(*arguments: Any, **options: Any) -> bool:
        nonlocal count
        count += 1
        if count == 2:
            stop = options.pop("stop")
            step = arguments[1]
            seen: list[int] = []

            def cut() -> bool:
                if step.step == 7 and not seen:
                    seen.append(1)
                    os.kill(os.getpid(), signal.SIGINT)
                return bool(stop())

            return honest(*arguments, stop=cut, **options)
        return honest(*arguments, **options)

    monkeypatch.setattr("zerotrain.host.run.train", interrupted)
    capsys.readouterr()
    assert main([*SHORT, *seeds, "--run-folder", "cut"]) == 130
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "Interrupted after step 7; continue with: zerotrain train --resume --chip golden "
        "--run-folder cut"
    )
    assert not (place / "cut" / "seed-3").exists()
    assert json.loads((place / "cut/seeds.json").read_text())["results"] is None
    first = (place / "cut/seed-1/summary.json").stat()
    assert main(shlex.split(last.partition("zerotrain ")[2])) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^Seed (\d), (\d) of 3:$", printed, re.M) == [("2", "2"), ("3", "3")]
    assert (place / "cut/seed-1/summary.json").stat().st_mtime_ns == first.st_mtime_ns
    for seed in (1, 2, 3):
        parts, whole = (content(place / name / f"seed-{seed}") for name in ("cut", "whole"))
        assert {n: parts[n] for n in LASTING} == {n: whole[n] for n in LASTING}
    parts_file, whole_file = (place / name / "seeds.json" for name in ("cut", "whole"))
    assert parts_file.read_bytes() == whole_file.read_bytes()


def test_a_seed_that_diverges_does_not_stop_the_others(capsys: Capture, place: Path) -> None:
    wild = ["train", "--preset", "diabetes", "--chip", "golden", "--schedule", "cge",
            "--cge-steps", "101", "--set", "training.cge.step_size=30",
            "--set", "training.cge.final_step_size=30", "--run-folder", "wild"]  # fmt: skip
    assert main([*wild, "--seeds", "1", "2"]) == 3
    printed = capsys.readouterr().out
    for seed in (1, 2):
        assert f"The training with seed {seed} diverged: it counts for nothing here.\n" in printed
    assert printed.count("\nStopped after step 100.\n") == 2
    assert printed.endswith(
        "\nContinue nevertheless with: zerotrain train --resume --chip golden --run-folder wild "
        "--keep-going\n"
    )
    assert json.loads((place / "wild/seeds.json").read_text())["results"]["finished"] == []
    resume = ["train", "--resume", "--chip", "golden", "--run-folder", "wild"]
    assert main([*resume, "--keep-going"]) == 0
    assert json.loads((place / "wild/seeds.json").read_text())["results"]["finished"] == [1, 2]


def test_seeds_that_do_not_diverge_count_without_the_others(capsys: Capture, place: Path) -> None:
    rough = ["train", "--preset", "diabetes", "--chip", "golden", "--schedule", "cge",
             "--cge-steps", "101", "--set", "training.cge.step_size=0.11",
             "--set", "training.cge.final_step_size=0.11"]  # fmt: skip
    assert main([*rough, "--seeds", "3", "4", "--run-folder", "rough"]) == 3
    assert "\n1 of 2 runs finished; " in capsys.readouterr().out
    found = json.loads((place / "rough/seeds.json").read_text())["results"]
    assert found["finished"] == [4] and found["rmse"]["standard_deviation"] is None


def test_another_run_among_the_seeds_is_refused(capsys: Capture, place: Path) -> None:
    assert main([*SHORT, "--seeds", "1,2", "--run-folder", "all"]) == 0
    one = ["--run-folder", "all/seed-2"]
    assert main([*SHORT, *one, "--seed", "5", "--force"]) == 0
    assert failure(capsys, ["train", "--resume", "--chip", "golden", "--run-folder", "all"], 2) == (
        "all/seed-2: The checkpoint is of a run with training.seed = 5, this one has training.seed "
        "= 2: put it back as it was, or start a new run"
    )


def test_nothing_goes_before_everything_was_checked(capsys: Capture, place: Path) -> None:
    named = ["--seeds", "1", "2", "--run-folder", "all"]
    assert main([*SHORT, *named]) == 0
    files = sorted(path for path in (place / "all").rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    assert failure(capsys, [*SHORT, *named], 1) == (
        "There is a run in all already (curves.png): name another folder, go on with --resume, or "
        "overwrite it with --force"
    )
    for wrong in ("training.batch=5000", "training.cge.shift=1", "training.cge.momentum=0.01"):
        failure(capsys, [*SHORT, *named, "--force", "--set", wrong], 2)
    assert [path.read_bytes() for path in files] == before
    assert main([*SHORT, "--seeds", "1", "--run-folder", "all", "--force", "--batch", "8"]) == 0
    assert not (place / "all/seed-2/config.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SHORT, "--seeds", "1", "x"],
         "Seeds are written like 1 2 3, or 1-3, and are 0 to 2**32 - 1, got 'x'"),
        ([*SHORT, "--seeds", "1", "2", "--seed", "3"],
         "Name one seed (--seed) or several (--seeds), got both"),
        ([*SHORT, "--seeds"], "Option '--seeds' requires an argument. (zerotrain --help shows what "
         "is possible)"),
        ([*SHORT, "4"], "Got unexpected extra argument(s) (4) (zerotrain --help shows what is "
         "possible)"),
        ([*SHORT, "--extend", "3"],
         "Only a finished run is extended: expected --resume with --extend"),
        (["train", "--resume", "--seeds", "1", "2"],
         "A run is resumed with its own configuration: expected --resume with --run-folder, got "
         "options that would change it (a finished run goes on with --extend)"),
    ],
)  # fmt: skip
def test_bad_requests(capsys: Capture, place: Path, arguments: list[str], message: str) -> None:
    assert failure(capsys, arguments, 2) == message
    assert not (place / "runs").exists()


def test_runs_of_several_seeds_are_extended_as_one(
    capsys: Capture, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Ctrl-C comes between two of them; the end is that of seeds with the entry."""
    assert main([*SHORT, "--seeds", "1,2", "--run-folder", "all"]) == 0
    resume = ["train", "--resume", "--chip", "golden", "--run-folder"]
    assert failure(capsys, [*resume, "all/seed-1", "--extend", "3"], 2) == (
        "all/seed-1 is one of several seeds' runs: extend all of them, with --run-folder all"
    )
    monkeypatch.setattr("zerotrain.cli.seeds.run_training", interrupted_at_seed_2)
    assert main([*resume, "all", "--extend", "3"]) == 130
    assert capsys.readouterr().out.endswith(
        "\nInterrupted; continue with: zerotrain train --resume --chip golden --run-folder all\n"
    )
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert failure(capsys, [*resume, "all", "--extend", "3"], 2) == (
        "Only finished runs can be extended, and that of seed 2 in all is not: finish it first, "
        "with --resume alone"
    )
    assert main([*resume, "all"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^Seed (\d), (\d) of 2:$", printed, re.M) == [("2", "2")]
    assert "Extending all/seed-2 after step 10 by 3 steps at its final step size, " in printed
    again = [*SHORT, "--set", "training.extensions=[3]", "--seeds", "1,2", "--run-folder", "again"]
    assert main(again) == 0
    for seed in (1, 2):
        parts, whole = (content(place / name / f"seed-{seed}") for name in ("all", "again"))
        assert {n: parts[n] for n in LASTING} == {n: whole[n] for n in LASTING}
    parts_file, whole_file = (place / name / "seeds.json" for name in ("all", "again"))
    assert parts_file.read_bytes() == whole_file.read_bytes()


def interrupted_at_seed_2(*arguments: Any, **options: Any) -> int:
    if arguments[2].path.name == "seed-2":
        raise KeyboardInterrupt
    return run_training(*arguments, **options)


def test_a_command_for_one_run_names_them(capsys: Capture, place: Path) -> None:
    assert main([*SHORT, "--seeds", "1,2", "--run-folder", "all"]) == 0
    assert failure(capsys, ["export", "--run-folder", "all"], 1) == (
        "all holds the runs of several seeds: name the folder of one, as in all/seed-1"
    )


def test_a_file_of_ones_own_with_given_weights(capsys: Capture, place: Path) -> None:
    """The configuration's file may lack what options give; every seed begins with the weights."""
    rows = [f"{k},{k * k % 7},{k % 5},{'odd' if k % 2 else 'even'}" for k in range(40)]
    (place / "own.csv").write_text("\n".join(["a,b,c,kind", *rows]))
    (place / "sub").mkdir()
    (place / "sub" / "net.toml").write_text(
        'name = "net"\n[[layers]]\nin_modes = [3]\nout_modes = [2]\nranks = []\n[training]\n'
        "batch = 8\n"
    )
    options = ["training.dataset=own.csv", "training.cge.step_size=0.1",
               "training.cge.final_step_size=0.1"]  # fmt: skip
    command = ["train", "--config", "sub/net.toml", "--chip", "golden", "--cge-steps", "3"]
    command += [word for option in options for word in ("--set", option)]
    assert main([*command, "--run-folder", "first"]) == 0
    assert main(["export", "--run-folder", "first", "--output", "first.npz"]) == 0
    command += ["--set", "training.initial=first.npz", "--run-folder", "warm"]
    assert main([*command, "--seeds", "5", "6"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Begins with the weights of first.npz") == 1
    assert printed.count("step 0/3  warm start") == 2
    assert main(["evaluate", "--run-folder", "warm", "--chip", "golden"]) == 0
    assert capsys.readouterr().out.count("classes: 0 even, 1 odd\n") == 2
    assert main(["publish", "--run-folder", "warm", "--results", "results"]) == 0
    (place / "page.md").write_text(f"{marker('own.csv')}\n{END}\n")
    assert main(["results", "--results", "results", "--page", "page.md"]) == 0
    assert "| net-fine-warm | 8 | 5, 6 |" in (place / "page.md").read_text()
