"""Runs side by side: grouped by configuration, with the entries by which the groups differ."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from zerotrain.config.config import Config
from zerotrain.config.training import Training
from zerotrain.host.extension import is_finished
from zerotrain.host.folder import RunFolder
from zerotrain.host.identity import differences
from zerotrain.host.log import loss_counts
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.trainer import Row

__all__ = ["Curve", "Group", "grouped"]

#: Differing entries that a label names.
_NAMED = 3
#: Steps of which the loss is averaged.
_LAST = 100


@dataclass(frozen=True)
class Curve:
    """A run as far as it has come.

    Attributes
    ----------
    losses : list of int
        Losses of a whole batch taken up to each row.
    metric : Metric
        What the run is judged by.
    finished : bool
        Whether the schedule is at its end.
    """

    folder: RunFolder
    config: Config
    rows: Sequence[Row]
    losses: Sequence[int]
    metric: Metric
    finished: bool

    @classmethod
    def of(cls, folder: RunFolder) -> "Curve":
        """Read a run, finished or not; another process may be training it."""
        config, checkpoint = folder.resume()
        if config.training is None:
            raise ValueError(f"{folder.config_path} has no [training] section: that is no run")
        losses = list(loss_counts(folder.rows, config.training, config.network.n_parameters))
        metric = metrics_of(config.network.loss, checkpoint.unit)[0]
        finished = is_finished(config, checkpoint)
        return cls(folder, config, folder.rows, losses, metric, finished)

    @property
    def training(self) -> Training:
        assert self.config.training is not None
        return self.config.training

    @property
    def measured(self) -> list[tuple[int, int, float]]:
        """Step, losses and metric of every row that has one."""
        rows = zip(self.rows, self.losses, strict=True)
        return [(row.step, n, row.metric) for row, n in rows if row.metric is not None]

    @property
    def last_loss(self) -> float | None:
        """Mean loss per sample of the last 100 steps, None before the first."""
        losses = [row.loss for row in self.rows[1:] if row.loss is not None]
        return fmean(losses[-_LAST:]) if losses else None


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed.

    Attributes
    ----------
    label : str
        The entries of the configuration that tell it from the other groups.
    """

    label: str
    curves: list[Curve]


def grouped(folders: Iterable[RunFolder]) -> list[Group]:
    """The runs of some folders, in groups.

    Raises
    ------
    ValueError
        If they are not all judged by the same metric.
    """
    curves = [Curve.of(folder) for folder in folders]
    first = curves[0]
    for curve in curves:
        if curve.metric.key != first.metric.key:
            raise ValueError(
                f"Runs of one metric can be compared: {first.folder.path} has "
                f"{first.metric.name}, {curve.folder.path} has {curve.metric.name}"
            )
    configs: list[dict[str, Any]] = []
    members: list[list[Curve]] = []
    for curve in curves:
        config = curve.config.to_dict()
        config["training"] = {k: v for k, v in config["training"].items() if k != "seed"}
        if config not in configs:
            configs.append(config)
            members.append([])
        members[configs.index(config)].append(curve)
    if len(members) == 1:
        return [Group(first.config.network.name, members[0])]
    labels = [_label(entries) for entries in differences(configs)]
    return [Group(label, curves) for label, curves in zip(labels, members, strict=True)]


def _label(entries: Sequence[str]) -> str:
    more = len(entries) - _NAMED
    return ", ".join(entries[:_NAMED]) + (f" and {more} more" if more > 0 else "")
