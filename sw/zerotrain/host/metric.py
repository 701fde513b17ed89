"""How well a network does: figures for people, from what the chip counts.

The chip says how many predictions were correct, or the sum of its losses. What a network is judged
by follows from its loss (:class:`~zerotrain.spec.losses.LossRecord`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.dataset import Samples, TargetScale
from zerotrain.host.driver import Driver, Evaluation
from zerotrain.spec.losses import Loss
from zerotrain.spec.registers import Saturation

__all__ = ["Measurement", "Metric", "measure", "metrics_of", "spread"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """A figure of how well a network does on some samples.

    Attributes
    ----------
    name : str
        What people call it.
    higher_is_better : bool
    format, exact : str
        How it is shown, in passing and where it is the result.
    compute : callable
        The figure, from the chip's evaluation of samples, these samples, and ``factor`` of
        :class:`~zerotrain.data.dataset.TargetScale`.
    unit : str
        Of the figure.
    """

    name: str
    higher_is_better: bool
    format: str
    exact: str
    compute: Callable[[Evaluation, Samples, float], float]
    unit: str = ""

    @property
    def key(self) -> str:
        """Its name in files."""
        return self.name.lower().replace("²", "2")

    @property
    def percent(self) -> bool:
        """Whether it is a share of the samples."""
        return self.format.endswith("%")

    @property
    def head(self) -> str:
        """Name and unit, over a column of :meth:`cell`, which has percent signs itself."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    @property
    def label(self) -> str:
        """Name and unit, for an axis."""
        unit = "%" if self.percent else self.unit
        return f"{self.name}, {unit}" if unit else self.name

    def show(self, value: float, *, exact: bool = False) -> str:
        """Name, value and unit."""
        text = f"{self.name} {value:{self.exact if exact else self.format}}"
        return f"{text} {self.unit}" if self.unit else text

    def cell(self, values: Sequence[float]) -> str:
        """Mean of several values, and their standard deviation, for a table."""
        scale, unit, digits = (100, " %", 2) if self.percent else (1, "", 3)
        mean = f"{scale * fmean(values):.{digits}f}{unit}"
        return mean + (f" ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else "")

    def worst(self, values: Sequence[float]) -> float:
        """The worst of several values."""
        return min(values) if self.higher_is_better else max(values)


def _accuracy(evaluation: Evaluation, samples: Samples, factor: float) -> float:
    return evaluation.correct / evaluation.count


def _mean_error(power: int) -> Callable[[Evaluation, Samples, float], float]:
    """The root of the mean loss of an output. The chip rounds each output's loss down to
    ``2**-20`` (docs/numerics.md, section 5)."""

    def compute(evaluation: Evaluation, samples: Samples, factor: float) -> float:
        mean: float = evaluation.mean_loss / (samples.targets.size / len(samples))
        return mean ** (1 / power) * factor

    return compute


def spread(targets: Ints) -> float:
    """Sum of the squared distances of raw target values from their output's mean, in LSB²."""
    count = len(targets)
    # Exact in Python's integers: n sum(t²) - (sum t)².
    scaled = sum(
        count * int((column * column).sum()) - int(column.sum()) ** 2 for column in targets.T
    )
    return scaled / count


def _r2(evaluation: Evaluation, samples: Samples, factor: float) -> float:
    """The share of the targets' squared deviations that the network explains: 0 is a network that
    always says their mean. Where they do not deviate, 1 without any loss, else 0."""
    total = spread(samples.targets) * samples.formats.logit.resolution**2
    lost = evaluation.mean_loss * evaluation.count
    return 1.0 - lost / total if total else float(not lost)


def metrics_of(loss: Loss, unit: str = "") -> tuple[Metric, ...]:
    """What networks trained with a loss are judged by, the first of them above all.

    ``unit`` is that of target values.
    """
    record = loss.record
    if record.counts_correct:
        return (Metric(record.metric, True, ".1%", ".2%", _accuracy),)
    error = Metric(record.metric, False, ".4g", ".5g", _mean_error(record.error_power), unit)
    r2 = Metric("R²", True, ".3f", ".4f", _r2)
    return (error, r2) if record.error_power == 2 else (error,)


@dataclass(frozen=True)
class Measurement:
    """What a chip found on some samples, and the figures computed from that.

    ``values`` are in the order of the metrics.
    """

    evaluation: Evaluation
    metrics: tuple[Metric, ...]
    values: tuple[float, ...]

    @property
    def main(self) -> float:
        """The value of the first metric."""
        return self.values[0]

    @property
    def by_key(self) -> dict[str, float]:
        """The values by their names in files."""
        return dict(zip((m.key for m in self.metrics), self.values, strict=True))

    @property
    def clamped(self) -> str:
        """A remark on values that the chip clamped, empty if there were none: a clamped loss is
        less than the real one, and so is what is computed from it."""
        seen = self.evaluation.saturation
        names = [str(f.name).lower() for f in Saturation if f in seen]
        return f" (clamped: {', '.join(names)})" if names else ""

    def show(self, *, exact: bool = False) -> str:
        """All figures, and what was clamped."""
        figures = zip(self.metrics, self.values, strict=True)
        return ", ".join(m.show(v, exact=exact) for m, v in figures) + self.clamped


def measure(driver: Driver, samples: Samples, scale: TargetScale) -> Measurement:
    """Evaluate samples on a chip with its present parameters; all its banks are overwritten."""
    evaluation = driver.evaluate(samples.x, samples.targets)
    metrics = metrics_of(driver.network.loss, scale.unit)
    values = tuple(m.compute(evaluation, samples, scale.factor) for m in metrics)
    return Measurement(evaluation, metrics, values)
