"""The log of a run, and what is read off it."""

from pathlib import Path

import pytest

from zerotrain.cli.options import override
from zerotrain.config.training import CgeStage, Training
from zerotrain.host.log import best_row, log_text, loss_counts, read_log
from zerotrain.host.metric import metrics_of
from zerotrain.host.trainer import Row
from zerotrain.spec.losses import Loss

from . import small

ACCURACY, RMSE = (
    metrics_of(loss)[0] for loss in (Loss.SOFTMAX_CROSS_ENTROPY, Loss.MEAN_SQUARED_ERROR)
)


def row(step: int, phase: str, metric: float | None = None) -> Row:
    return Row(step, phase, 1.5, 0.25, metric, "loss", 3, 2, 1, "ab")


def test_the_first_of_the_best_is_the_best() -> None:
    values = [0.5, None, 0.75, 0.25, 0.75, 0.25]
    rows = [row(step, "cge", value) for step, value in enumerate(values)]
    held_out, learned = (
        Training("digits", hold_out_validation=held_out, cge=CgeStage(10, 0.1, 0.1))
        for held_out in (True, False)
    )
    assert best_row(rows, held_out, ACCURACY) is rows[2]
    assert best_row(rows, held_out, RMSE) is rows[3]
    assert best_row(rows[:2], held_out, RMSE) is rows[0]
    assert best_row(rows, learned, RMSE) is None


@pytest.mark.parametrize(
    ("start", "baseline", "per_step"), [("start", "mean", 4), ("warm start", "base", 5)]
)
def test_losses_are_counted(start: str, baseline: str, per_step: int) -> None:
    config = override(small.config(), [f"training.rge.baseline={baseline}"])
    assert config.training is not None
    rows = [row(0, start), row(1, "sign-rge"), row(2, "sign-rge"), row(3, "cge")]
    counts = list(loss_counts(rows, config.training, 10))
    assert counts == [0, per_step, 2 * per_step, 2 * per_step + 11]


def test_round_trip(tmp_path: Path) -> None:
    rows, path = [row(0, "start", 0.125), row(1, "cge")], tmp_path / "log.csv"
    path.write_text(log_text(rows, ACCURACY))
    assert read_log(path, ACCURACY) == rows
    with pytest.raises(ValueError) as caught:
        read_log(path, RMSE)
    assert str(caught.value) == f"{path} is not a log of this version of Zerotrain"
