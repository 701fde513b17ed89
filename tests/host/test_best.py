"""The best checkpoint: chosen by the validation part, or not at all."""

import json
from pathlib import Path

import pytest

from zerotrain.cli.options import override
from zerotrain.config.config import Config
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.extension import extended
from zerotrain.host.folder import RunFolder
from zerotrain.host.log import best_row
from zerotrain.host.session import Session, train

from . import small

#: A step size that lets the metric rise and fall.
HELD_OUT = [
    "training.hold_out_validation=true", "training.evaluate_every=1",
    "training.cge.step_size=3.0", "training.cge.final_step_size=3.0",
]  # fmt: skip


def held_out() -> Config:
    return override(small.config(), HELD_OUT)


def go_on(folder: RunFolder, until: int = 1000) -> None:
    begun = folder.checkpoint_path.exists()
    config, checkpoint = folder.resume() if begun else (Config.load(folder.config_path), None)
    with small.trainer(configuration=config) as trainer:
        if checkpoint is not None:
            trainer.restore(checkpoint)
        train(Session.of(config), trainer, folder, stop=lambda: trainer.step >= until)


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin(held_out())
    go_on(folder)
    return folder


def test_the_best_checkpoint_has_the_best_metric(finished: RunFolder) -> None:
    """Measured again, its parameters give what the log says."""
    config, checkpoint = finished.best()
    with small.trainer(configuration=config) as trainer:
        row = best_row(finished.rows, trainer.training, trainer.metric)
        assert row is not None
        assert 0 < row.step < finished.rows[-1].step
        trainer.restore(checkpoint)
        assert trainer.step == row.step
        assert trainer.measure(small.dataset().validation).main == row.metric
        trainer.restore(finished.state()[1])
        assert trainer.measure(small.dataset().validation).main != row.metric


@pytest.mark.parametrize("cut", [0, 3, 9, 10, 12, 16])
def test_interruptions_change_nothing(cut: int, finished: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "cut")
    folder.begin(held_out())
    go_on(folder, cut)
    assert folder.best()[1].step <= cut
    go_on(folder)
    whole, parts = (Checkpoint.load(f.best_path) for f in (finished, folder))
    assert whole.theta.tolist() == parts.theta.tolist()
    assert (whole.step, whole.digest) == (parts.step, parts.digest)


def test_a_crash_before_the_best_is_written_is_no_loss(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(held_out())
    go_on(folder, 0)
    folder.best_path.unlink()
    assert folder.best()[1].step == 0
    go_on(folder, 0)
    assert folder.best_path.exists()


def test_nothing_is_chosen_by_the_test_part(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(small.config())
    go_on(folder)
    assert not folder.best_path.exists()
    with pytest.raises(ValueError) as caught:
        folder.best()
    assert str(caught.value) == (
        f"The run in {tmp_path} has no best checkpoint: it held no validation part out, and the "
        "test part chooses nothing; take the last one, or hold the validation part out of the "
        "training"
    )


def test_what_does_not_belong_together_is_refused(finished: RunFolder, tmp_path: Path) -> None:
    _, best = finished.best()
    last = finished.state()[1]
    last.save(finished.best_path)
    with pytest.raises(ValueError) as caught:
        finished.best()
    assert str(caught.value) == (
        f"{finished.best_path} does not belong to the log beside it: expected the state after step "
        f"{best.step}, got one after step {last.step}; start the run again"
    )
    other = json.loads(json.dumps(best.identity))
    other["config"]["training"]["seed"] = 2
    Checkpoint(**{**vars(best), "identity": other}).save(finished.best_path)
    with pytest.raises(ValueError) as caught:
        finished.best()
    assert str(caught.value) == (
        f"{finished.best_path} is of a run with training.seed = 2, this one has training.seed = 1: "
        "put it back as it was, or start a new run"
    )
    finished.best_path.unlink()
    with pytest.raises(FileNotFoundError) as missing:
        finished.best()
    assert str(missing.value) == (
        f"{finished.best_path} is missing: expected the state after step {best.step} there; "
        "start the run again"
    )


def test_the_best_outlives_an_extension(finished: RunFolder) -> None:
    """It is of the same run, which had a shorter configuration then."""
    before = finished.best()[1]
    config, checkpoint = extended(*finished.resume(), 1)
    finished.go_on(config, checkpoint)
    now, after = finished.best()
    assert now == config and after.theta.tolist() == before.theta.tolist()
    with small.trainer(configuration=config) as trainer:
        trainer.restore(after)
