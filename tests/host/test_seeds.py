"""Seeds as they are written, and what several runs found together."""

import json
from pathlib import Path
from statistics import stdev

import pytest

from zerotrain.host.folder import RunFolder
from zerotrain.host.metric import metrics_of
from zerotrain.host.seeds import SeedRuns, parse_seeds, runs_in, statistics
from zerotrain.spec.losses import Loss

from . import small


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1 2 3", (1, 2, 3)), ("3,1", (3, 1)), ("1-3", (1, 2, 3)), ("7", (7,)),
        ("0, 4294967295", (0, 2**32 - 1)), ("1-2 9 5-5", (1, 2, 9, 5)),
    ],
)  # fmt: skip
def test_seeds_as_they_are_written(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Seeds are written like 1 2 3, or 1-3, got none"),
        ("1 x", "Seeds are written like 1 2 3, or 1-3, and are 0 to 2**32 - 1, got 'x'"),
        ("3-1", "Seeds are written like 1 2 3, or 1-3, and are 0 to 2**32 - 1, got '3-1'"),
        ("4294967296",
         "Seeds are written like 1 2 3, or 1-3, and are 0 to 2**32 - 1, got '4294967296'"),
        ("0-4000000000", "Up to 1000 seeds are trained in one go, '0-4000000000' are more"),
        ("1 2 1", "Every seed is trained once: expected each one time, got 1 again"),
    ],
)  # fmt: skip
def test_wrong_seeds(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_seeds(text)
    assert str(caught.value) == message


def test_statistics() -> None:
    metrics = metrics_of(Loss.MEAN_SQUARED_ERROR)
    summaries = {
        seed: {"measured": "test", "test_rmse": rmse, "test_r2": 1 - rmse}
        for seed, rmse in ((4, 0.5), (2, 0.25), (9, 0.75))
    }
    found = statistics(summaries, metrics)
    assert (found["measured"], found["finished"]) == ("test", [4, 2, 9])
    assert found["rmse"] == {
        "values": [0.5, 0.25, 0.75], "mean": 0.5, "standard_deviation": stdev([0.5, 0.25, 0.75]),
        "best": 0.25, "best_seed": 2, "worst": 0.75, "worst_seed": 9,
    }  # fmt: skip
    assert (found["r2"]["best_seed"], found["r2"]["worst_seed"]) == (2, 9)
    single = statistics({4: summaries[4]}, metrics)
    assert single["rmse"]["standard_deviation"] is None
    assert statistics({}, metrics) == {"measured": None, "finished": []}


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    runs = SeedRuns(RunFolder(tmp_path))
    runs.begin(small.config(), [1, 2])
    whole = runs.folder.seeds_path.read_text()
    assert runs.load() == (small.config(), (1, 2))
    values = json.loads(whole)
    wrong = [values | {"seeds": ["x"]}, values | {"seeds": 3}, values | {"config": {}}, {}]
    for text in ("", "[]", "[" * 100_000, *map(json.dumps, wrong)):
        runs.folder.seeds_path.write_text(text)
        with pytest.raises(ValueError) as caught:
            runs.load()
        assert str(caught.value) == f"{tmp_path}/seeds.json is damaged: start the runs again"
    runs.folder.seeds_path.write_text(whole)
    with pytest.raises(FileNotFoundError) as missing:
        runs_in(runs.folder)
    assert str(missing.value) == f"No run of {tmp_path} has begun: train with --resume first"


def test_runs_of_several_seeds_are_not_overwritten(tmp_path: Path) -> None:
    runs = SeedRuns(RunFolder(tmp_path))
    runs.begin(small.config(), [1, 2])
    before = runs.folder.seeds_path.read_bytes()
    for begin in (lambda: runs.begin(small.config(), [3]), runs.folder.check_free):
        with pytest.raises(FileExistsError) as caught:
            begin()
        assert str(caught.value) == (
            f"There is a run in {tmp_path} already (seeds.json): name another folder, go on with "
            "--resume, or overwrite it with --force"
        )
    assert runs.folder.seeds_path.read_bytes() == before
    runs.run(2).begin(small.config())
    runs.begin(small.config(), [3], force=True)
    assert not list(runs.run(2).path.iterdir()) and runs.load()[1] == (3,)
