"""Tables of numbers as data sets: split, then standardised by their training part."""

from dataclasses import replace
from math import fsum, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.dataset import Dataset, Split, TargetScale

__all__ = ["tabular"]


def _moments(column: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation, summed exactly: the same on every machine.

    A column that is constant has the deviation 1: it stays 0.
    """
    values = column.tolist()
    mean = fsum(values) / len(values)
    variance = fsum((v - mean) ** 2 for v in values) / len(values)
    return mean, sqrt(variance) or 1.0


def tabular(
    name: str,
    x: NDArray[np.float64],
    targets: NDArray[Any],
    *,
    test: int,
    validation: int,
    seed: int,
    unit: str = "",
) -> Dataset:
    """A data set from a table: every table, whatever file it is from, comes in here.

    Every input has mean 0 and standard deviation 1 on the training part; so have target values,
    but with one deviation for all outputs, that of the output that deviates most.

    Parameters
    ----------
    x : float64[n, n_inputs]
    targets : int64[n] or float64[n, n_outputs]
        Labels 0, 1, ..., or values.
    test, validation : int
        Samples of these parts; the others are for training.
    seed : int
        Of the split.
    unit : str
        Of the values.
    """
    samples = Split(x, targets)
    n_outputs = int(targets.max()) + 1 if samples.labelled else targets.shape[1]
    parts = Dataset.split(name, samples, n_outputs, test=test, validation=validation, seed=seed)

    mean, deviation = np.transpose([_moments(column) for column in parts.training.x.T])
    scale = TargetScale()
    if not samples.labelled:
        offsets, deviations = zip(*(_moments(c) for c in parts.training.targets.T), strict=True)
        scale = TargetScale(max(deviations), offsets, unit)

    def standard(part: Split) -> Split:
        values = part.targets
        if not samples.labelled:
            values = (values - np.array(scale.offset)) / scale.factor
        return Split((part.x - mean) / deviation, values)

    return replace(
        parts, training=standard(parts.training), validation=standard(parts.validation),
        test=standard(parts.test), scale=scale,
    )  # fmt: skip
