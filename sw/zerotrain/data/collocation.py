"""Points of a differential equation: fresh ones for every step, fixed ones to measure with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.config import Config
from zerotrain.config.equation import EquationOptions
from zerotrain.data.dataset import Dataset, Split, TargetScale
from zerotrain.data.mixing import words
from zerotrain.physics.text import formula
from zerotrain.spec.equation import Problem
from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Kind, Polynomial

__all__ = ["Collocation", "load_equation"]

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

#: Fixed points of each part of the data.
_FIXED = 10_000
#: First part of the keys of their random streams.
_TRAINING, _VALIDATION, _TEST = 0x7E57, 0x7E58, 0x7E59


@dataclass(frozen=True)
class Collocation:
    """Draws points of an equation, uniform on the grid of the inputs.

    Attributes
    ----------
    options : EquationOptions
    problem : Problem
    """

    options: EquationOptions
    problem: Problem

    def _uniform(self, count: int, *key: int) -> Ints:
        """Points in the whole domain: int64[count, n]."""
        grid = self.problem.input.resolution
        low = np.array([round(a / grid) for a, _ in self.options.ranges], np.int64)
        high = np.array([round(b / grid) for _, b in self.options.ranges], np.int64)
        drawn = words(count * low.size, *key).reshape(count, -1)
        steps = (high - low + 1).astype(np.uint64)
        # 32 random bits, scaled: integers alone, and fair to 2**-18 or better.
        return low + ((drawn >> np.uint64(32)) * steps >> np.uint64(32)).astype(np.int64)

    def batch(self, *key: int) -> tuple[Ints, Ints]:
        """Points of a step, group by group, and their data words, for the key of a stream."""
        found = []
        for group, count in enumerate(self.problem.points):
            x = self._uniform(count, *key, 2 * group)
            if group:
                faces = [self.options.face(text) for text in self.options.conditions[group - 1].at]
                which = words(count, *key, 2 * group + 1) % np.uint64(len(faces))
                for k, (coordinate, value) in enumerate(faces):
                    x[which == k, coordinate] = round(value / self.problem.input.resolution)
            found.append(x)
        x = np.concatenate(found)
        return x, self.data(x)

    def data(self, x: Ints) -> Ints:
        """Data words of points: int64[count, max(1, words)], raw in ``word``."""
        real = np.ldexp(x.astype(np.float64), -self.problem.input.frac_bits)
        columns = [formula(text, self.options.space, real) for text in self.options.data.values()]
        if not columns:
            return np.zeros((len(x), 1), np.int64)
        return _words(np.stack(columns, axis=1), self.problem.formats.word)

    def fixed(self, *key: int) -> Split:
        """Points with the exact solution less b as their target, and zeros for other words."""
        raw = self._uniform(_FIXED, *key).astype(np.float64)
        x = np.ldexp(raw, -self.problem.input.frac_bits)
        targets = np.zeros((len(x), max(1, len(self.options.data))))
        targets[:, 0] = self.exact(x) - self.offset(x)
        return Split(x, targets, self.problem.formats.word)

    def exact(self, x: Reals) -> Reals:
        """The exact solution at points."""
        return formula(self.options.exact, self.options.space, x)

    def offset(self, x: Reals) -> Reals:
        """b at points."""
        return values_of(self.options.equation.offset, x)


def values_of(value: Polynomial, x: Reals) -> Reals:
    """A polynomial in the coordinates at points ``[n, coordinates]``."""
    total = np.zeros(len(x))
    for monomial, c in value.terms:
        assert all(v.kind == Kind.COORDINATE for v in monomial)
        term = np.full(len(x), float(c))
        for variable in monomial:
            term *= x[:, variable.at[0]]
        total += term
    return total


def _words(values: NDArray[np.float64], fmt: QFormat) -> Ints:
    raw = np.rint(np.ldexp(values, fmt.frac_bits))
    if values.size and (raw.min() < fmt.raw_min or raw.max() > fmt.raw_max):
        raise ValueError(
            f"Data of the equation reach from {values.min():.4g} to {values.max():.4g}, its words "
            f"({fmt}) hold {fmt.raw_min * fmt.resolution:g} to {fmt.raw_max * fmt.resolution:g}: "
            "scale the equation"
        )
    return raw.astype(np.int64)


def load_equation(config: Config) -> Dataset:
    """The equation of a configuration as a data set: fixed points in three parts, and fresh ones
    for every step."""
    options, problem = config.equation, config.network.problem
    assert options is not None and problem is not None
    points = Collocation(options, problem)
    training, validation, test = (points.fixed(key) for key in (_TRAINING, _VALIDATION, _TEST))
    exact = points.exact(test.x)
    scale = TargetScale(1.0 / max(float(np.sqrt((exact**2).mean())), 1e-12))
    points.batch(0, 0)  # refuses formulas that are not finite
    remarks = (
        (
            "Neither the ansatz nor a condition says what the solution is at the boundary: it may "
            "not be unique.",
        )
        if options.unbounded
        else ()
    )
    return Dataset(
        config.network.name, training, validation, test, 1, scale=scale, remarks=remarks,
        points=points,
    )  # fmt: skip
