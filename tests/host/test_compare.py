"""Runs side by side."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from zerotrain.cli.options import override
from zerotrain.host.compare import Curve, grouped
from zerotrain.host.folder import RunFolder
from zerotrain.host.log import loss_counts
from zerotrain.host.metric import metrics_of
from zerotrain.host.plots import comparison
from zerotrain.host.session import Session, train
from zerotrain.spec.losses import Loss

from . import small


def run(path: Path, *changes: str, until: int = 1000) -> RunFolder:
    folder = RunFolder(path)
    config = override(small.config(), list(changes))
    folder.begin(config)
    with small.trainer(configuration=config) as trainer:
        train(Session.of(config), trainer, folder, stop=lambda: trainer.step >= until)
    return RunFolder(path)


def test_runs_are_grouped_by_what_differs(tmp_path: Path) -> None:
    """Seeds do not count; an interrupted run is as good as its rows."""
    folders = [
        run(tmp_path / "a"),
        run(tmp_path / "b", "training.seed=2", until=7),
        run(tmp_path / "c", "training.cge.momentum=0.5", "training.cge.step_size=0.1"),
        run(tmp_path / "d", "training.batch=4"),
    ]
    groups = grouped(folders)
    assert [group.label for group in groups] == [
        "training.batch = 8, training.cge.step_size = 0.2, training.cge.momentum = 0.75",
        "training.batch = 8, training.cge.step_size = 0.1, training.cge.momentum = 0.5",
        "training.batch = 4, training.cge.step_size = 0.2, training.cge.momentum = 0.75",
    ]
    first, cut = groups[0].curves
    assert (first.finished, cut.finished, cut.training.seed) == (True, False, 2)
    assert [row.step for row in cut.rows] == list(range(8))
    assert [step for step, _, _ in cut.measured] == [0, 4]
    count = first.config.network.n_parameters
    assert list(first.losses) == list(loss_counts(first.rows, first.training, count))
    assert first.last_loss == fmean(row.loss or 0.0 for row in first.rows[1:])
    series = [(g.label, [(c.rows, c.losses) for c in g.curves]) for g in groups]
    assert comparison(series, "test", first.metric).startswith(b"\x89PNG")


def test_one_configuration_has_the_networks_name(tmp_path: Path) -> None:
    folders = [run(tmp_path / "a", until=0), run(tmp_path / "b", "training.seed=2", until=0)]
    (group,) = grouped(folders)
    assert group.label == "small"
    assert [curve.last_loss for curve in group.curves] == [None, None]
    assert comparison([("x", [(c.rows, c.losses) for c in group.curves])], "test",
                      group.curves[0].metric)  # fmt: skip


def test_long_labels_are_cut(tmp_path: Path) -> None:
    rge = ["queries=6", "mu=0.0625", "momentum=0.75", "gradient_limit=16.0"]
    folders = [
        run(tmp_path / "a", until=0),
        run(tmp_path / "b", *(f"training.rge.{change}" for change in rge), until=0),
    ]
    assert grouped(folders)[1].label == (
        "training.rge.momentum = 0.75, training.rge.gradient_limit = 16.0, training.rge.queries = "
        "6 and 1 more"
    )


def test_other_metrics_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [run(tmp_path / "a", until=0), run(tmp_path / "b", until=0)]
    honest = Curve.of

    def regression(folder: RunFolder) -> Curve:
        curve = honest(folder)
        if folder is folders[1]:
            config = override(curve.config, ["loss=mean_squared_error"])
            return replace(curve, config=config, metric=metrics_of(Loss.MEAN_SQUARED_ERROR)[0])
        return curve

    monkeypatch.setattr(Curve, "of", regression)
    with pytest.raises(ValueError) as caught:
        grouped(folders)
    assert str(caught.value) == (
        f"Runs of one metric can be compared: {tmp_path}/a has accuracy, {tmp_path}/b has RMSE"
    )
