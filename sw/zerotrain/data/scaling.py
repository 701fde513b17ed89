"""Columns of numbers scaled: by what is measured on one part, applied to all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.data import Scaling

__all__ = ["InputScale", "check_magnitudes", "measure_inputs", "moments"]

Floats = NDArray[np.float64]

#: Squares of larger numbers, or of smaller differences, do not fit in float64.
_LARGEST, _SMALLEST = 1e100, 1e-100


@dataclass(frozen=True)
class InputScale:
    """What was done to every input: ``(value - offset) / factor``.

    Attributes
    ----------
    offset, factor : float64[n_inputs]
        Both empty where inputs are as they came.
    """

    offset: Floats = field(default_factory=lambda: np.zeros(0))
    factor: Floats = field(default_factory=lambda: np.ones(0))

    def apply(self, x: Floats) -> Floats:
        """Inputs float64[n, n_inputs] as they come, scaled as the network takes them."""
        return (x - self.offset) / self.factor if len(self.offset) else x

    def scale(self, x: Floats) -> None:
        """The same in their place."""
        if len(self.offset):
            x -= self.offset
            x /= self.factor


def moments(column: Floats) -> tuple[float, float]:
    """Mean and standard deviation, summed exactly: the same on every machine.

    A column that is constant has the deviation 1: it stays 0.
    """
    mean = fsum(column.tolist()) / len(column)
    distance = column - mean
    distance *= distance
    return mean, sqrt(fsum(distance.tolist()) / len(column)) or 1.0


def _range(column: Floats) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    return low, high - low or 1.0


def _symmetric(column: Floats) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    return (low + high) / 2, (high - low) / 2 or 1.0


_MEASURES: dict[Scaling, Callable[[Floats], tuple[float, float]]] = {
    Scaling.STANDARD: moments,
    Scaling.RANGE: _range,
    Scaling.SYMMETRIC: _symmetric,
}


def measure_inputs(x: Floats, scaling: Scaling) -> InputScale:
    """The scale of inputs float64[n, n_inputs] of a training part."""
    if scaling == Scaling.NONE:
        return InputScale()
    pairs = [_MEASURES[scaling](np.ascontiguousarray(column)) for column in x.T]
    offset, factor = np.array(pairs).T
    return InputScale(offset.copy(), factor.copy())


def check_magnitudes(values: Floats, names: Sequence[str]) -> None:
    """Raise ``ValueError`` for a column that cannot be scaled; ``names`` begin the sentence."""
    lows, highs = values.min(axis=0), values.max(axis=0)
    for name, low, high in zip(names, lows.tolist(), highs.tolist(), strict=True):
        if max(-low, high) > _LARGEST or 0 < high - low < _SMALLEST:
            raise ValueError(
                f"{name} reaches from {low:g} to {high:g}: expected numbers up to {_LARGEST:g} "
                f"that differ by {_SMALLEST:g} or not at all; give it in another unit"
            )
