"""Runs that begin with given weights: they do, and say so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerotrain.api import Design
from zerotrain.config.changes import changed
from zerotrain.config.config import Config
from zerotrain.data import load
from zerotrain.exchange.export import describe, tt_arrays, write_export
from zerotrain.exchange.fit import Start
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.folder import RunFolder
from zerotrain.host.publish import publish
from zerotrain.host.results import Result
from zerotrain.host.run import Unsaved, beginning, conclude, conduct
from zerotrain.host.session import ChipKind, Session
from zerotrain.host.start import load_start, start_sentences
from zerotrain.host.table import table

from . import small

FORMATS = small.config().chip.formats


def given(path: Path, seed: int = 1) -> Path:
    """A file of weights for the small network."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Any] = {
        "a.weight": 0.5 * rng.normal(size=(6, 6)), "b.weight": rng.normal(size=(3, 6))
    }  # fmt: skip
    np.savez(path, **weights)
    return path


def warm(source: Path) -> Config:
    return changed(small.config(), {"training.initial": str(source)})


def run(
    config: Config, folder: RunFolder | None = None
) -> tuple[Unsaved | RunFolder, Start | None]:
    """A whole run, with or without a folder."""
    session, start = Session.of(config), load_start(config, FORMATS)
    log = folder or Unsaved()
    with session.trainer(ChipKind.GOLDEN, small.dataset(), start=start) as trainer:
        if isinstance(log, RunFolder):
            with beginning(log, config):
                _, health = conduct(session, trainer, log)
                conclude(session, trainer, log, ChipKind.GOLDEN, health=health)
        else:
            conduct(session, trainer, log)
    return log, start


def test_a_run_begins_with_the_weights(tmp_path: Path) -> None:
    config = warm(given(tmp_path / "w.npz"))
    session, start = Session.of(config), load_start(config, FORMATS)
    assert start is not None
    with session.trainer(ChipKind.GOLDEN, small.dataset(), start=start) as trainer:
        row = trainer.begin()
        assert (trainer.driver.parameters == start.theta).all()
        assert not trainer.driver.momentum.any()
    assert (row.step, row.phase) == (0, "warm start")
    assert load_start(small.config(), FORMATS) is None


def test_it_does_not_begin_without_them(tmp_path: Path) -> None:
    config = warm(given(tmp_path / "w.npz"))
    with Session.of(config).trainer(ChipKind.GOLDEN, small.dataset()) as trainer:
        with pytest.raises(ValueError) as caught:
            trainer.begin()
    assert str(caught.value) == (
        f"The training begins with the weights of {tmp_path / 'w.npz'}: expected them, got none "
        "(zerotrain.host.start loads them)"
    )


def test_the_run_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    _, start = run(warm(given(tmp_path / "w.npz")), folder)
    assert start is not None
    mark = f"hash {start.fingerprint}"
    summary = json.loads(folder.summary_path.read_text())
    assert (summary["initial"], summary["initial_weights"]) == (str(tmp_path / "w.npz"), mark)
    assert folder.log_path.read_text().splitlines()[1].startswith("0,warm start,")
    assert Checkpoint.load(folder.checkpoint_path).identity["initial_weights"] == mark
    path = publish(folder, small.dataset(), tmp_path / "results")
    result = Result.load(path)
    assert (result.name, result.initial_weights) == ("small-warm, seed 1", mark)
    assert path.name == "small-warm-seed1.json"
    assert "| small-warm |" in table([result])
    # It cannot be passed off as one that began by chance.
    path.write_text(path.read_text().replace(f'"{mark}"', "null"))
    with pytest.raises(ValueError, match="is not a published result of this version$"):
        Result.load(path)


def test_a_run_that_began_by_chance_says_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(small.config(), folder)
    summary = json.loads(folder.summary_path.read_text())
    assert (summary["initial"], summary["initial_weights"]) == (None, None)
    assert "initial" not in folder.config_path.read_text()
    result = Result.load(publish(folder, small.dataset(), tmp_path / "results"))
    assert (result.title, result.initial_weights) == ("small", None)


def resumed(config: Config, checkpoint: Checkpoint, start: Start | None = None) -> Checkpoint:
    session = Session.of(config)
    with session.trainer(ChipKind.GOLDEN, small.dataset(), start=start) as trainer:
        trainer.restore(checkpoint)
        while trainer.advance():
            pass
        return trainer.checkpoint()


def test_resuming_needs_no_weights_and_forgets_none(tmp_path: Path) -> None:
    config = warm(given(tmp_path / "w.npz"))
    session, start = Session.of(config), load_start(config, FORMATS)
    whole, _ = run(config)
    assert isinstance(whole, Unsaved) and whole.checkpoint is not None
    with session.trainer(ChipKind.GOLDEN, small.dataset(), start=start) as trainer:
        trainer.begin()
        for _ in range(5):
            trainer.advance()
        stopped = trainer.checkpoint()
    (tmp_path / "w.npz").unlink()
    again = resumed(config, stopped)
    assert again.digest == whole.checkpoint.digest
    assert again.identity == whole.checkpoint.identity
    # Other weights of that name are refused where they are read.
    given(tmp_path / "w.npz", seed=2)
    other = load_start(config, FORMATS)
    assert other is not None and start is not None
    with pytest.raises(ValueError) as caught:
        resumed(config, stopped, other)
    assert str(caught.value) == (
        f'The checkpoint is of a run with initial_weights = "hash {start.fingerprint}", this one '
        f'has initial_weights = "hash {other.fingerprint}": put it back as it was, or start a new '
        "run"
    )


def test_a_run_goes_on_from_another_one(tmp_path: Path) -> None:
    """A folder and its export are the same weights, bit for bit; also in other ranks."""
    folder = RunFolder(tmp_path / "first")
    run(small.config(), folder)
    config, checkpoint = folder.state()
    path = tmp_path / "first.npz"
    arrays = tt_arrays(config.network, FORMATS, checkpoint.theta)
    write_export(path, arrays, describe(config.network, FORMATS, checkpoint.identity, 3))
    starts = [load_start(warm(source), FORMATS) for source in (folder.path, path)]
    assert starts[0] is not None and starts[1] is not None
    assert (starts[0].theta == checkpoint.theta).all()
    assert (starts[1].theta == checkpoint.theta).all()
    assert starts[0].fingerprint == starts[1].fingerprint
    wider = load_start(changed(warm(path), {"layers.1.ranks": 4}), FORMATS)
    assert wider is not None and wider.layers[0].truncation < 1e-12


def test_clamped_merges_are_said(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    weights: dict[str, Any] = {"0.weight": np.full((6, 6), 9.0), "1.weight": np.ones((3, 6))}
    np.savez(path, **weights)
    config = warm(path)
    session, start = Session.of(config), load_start(config, FORMATS)
    assert start is not None and not start.layers[0].clipped
    sentences = list(start_sentences(start, config, FORMATS, ((2,), (1,))))
    assert sentences[0] == str(start)
    assert sentences[1:] == [
        "Merged TT-cores of these weights are clamped to format Q2.13: more integer bits for "
        "chip.formats.weight would hold them."
    ]
    assert list(start_sentences(start, config, FORMATS, ((1, 1), (1,)))) == [str(start)]
    assert session.config is config


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no.npz", "There are no weights {}: expected a file, or a run's folder, of the name that "
         "training.initial has"),
        ("w.txt", "Weights are files named *.npz or *.safetensors, not 'w.txt'"),
        ("a\0.npz", "training.initial has a character that no file's name has"),
        ("empty", "There is no run in {}: expected checkpoint.ztc there, which every run has"),
    ],
)  # fmt: skip
def test_what_is_no_source(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "w.txt").write_text("")
    with pytest.raises((ValueError, OSError)) as caught:
        load_start(warm(tmp_path / name), FORMATS)
    assert str(caught.value) == sentence.format(tmp_path / name)


def test_homes_of_nobody() -> None:
    with pytest.raises(ValueError) as caught:
        load_start(warm(Path("~no-such-user/w.npz")), FORMATS)
    assert str(caught.value) == (
        "training.initial names the home of no known user: '~no-such-user/w.npz'"
    )


def test_a_dense_network_goes_on_as_tt_cores() -> None:
    """scikit-learn trains 64-32-10 densely. About half of so many parameters begin with what the
    truncation left, and learn what it lost."""
    from sklearn.neural_network import MLPClassifier

    data = load("digits")
    dense = MLPClassifier((32,), max_iter=500, tol=0.005, random_state=1)
    dense.fit(data.training.x, data.training.targets)
    weights: dict[str, Any] = {}
    for k, (matrix, bias) in enumerate(zip(dense.coefs_, dense.intercepts_, strict=True)):
        weights |= {f"{2 * k}.weight": matrix.T, f"{2 * k}.bias": bias}
    design = Design.preset(
        "digits",
        {
            "layers.1.ranks": [3, 10, 3], "layers.2.ranks": [2, 6, 4], "training.evaluate_every": 5,
            "training.cge.step_size": 0.01, "training.rge.steps": 1,
        },
    )  # fmt: skip
    assert design.network.n_parameters < 0.55 * (65 * 32 + 33 * 10)
    run = design.train(data, initial=weights, each=lambda row: row.step == 30)
    first, last = run.rows[0].metric, run.rows[-1].metric
    assert first is not None and last is not None
    assert first > 0.4 and last > 0.85, (first, last, run.notes)
