"""Gauss-Newton in the span of a step's perturbations: the small problem that the host solves.

With the residuals ``r_0`` at theta and ``r_i`` at ``theta + mu xi_i``, and ``y_i = r_i - r_0``, the
coefficients solve ``(K + lambda tr(K)/N I) c = g`` with ``K_ij = y_i . y_j`` and
``g_i = y_i . r_0`` (random-subspace Gauss-Newton: Cartis, Fowkes, Shao, arXiv 2211.09873). All of
it is exact: integers, and Bareiss' elimination without fractions, so that every machine finds the
same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

__all__ = ["COEFFICIENT_WIDTH", "Coefficients", "coefficients", "solve"]

#: Bits of a coefficient, sign included.
COEFFICIENT_WIDTH = 12
#: Fraction bits of damping and step size.
_DAMPING_BITS, _SIZE_BITS = 24, 16
#: Largest shift of a step.
_MOST_SHIFT = 31

_Matrix = list[list[int]]


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients ``values[q] * 2**-shift`` of a step, in units of ``weight``."""

    values: tuple[int, ...]
    shift: int


def solve(matrix: Sequence[Sequence[int]], right: Sequence[int]) -> list[Fraction]:
    """The exact solution of a regular system of integers."""
    n = len(matrix)
    rows: _Matrix = [[*map(int, row), int(b)] for row, b in zip(matrix, right, strict=True)]
    before = 1
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k]), None)
        if pivot is None:
            raise ValueError("A singular system has no single solution")
        rows[k], rows[pivot] = rows[pivot], rows[k]
        top = rows[k]
        for row in rows[k + 1 :]:
            factor = row[k]
            for j in range(k + 1, n + 1):
                row[j] = (top[k] * row[j] - factor * top[j]) // before  # without remainder
            row[k] = 0
        before = top[k]
    found = [Fraction(0)] * n
    for k in range(n - 1, -1, -1):
        rest = sum((rows[k][j] * found[j] for j in range(k + 1, n)), Fraction(0))
        found[k] = (rows[k][n] - rest) / rows[k][k]
    return found


def coefficients(
    residuals: NDArray[np.int64], *, damping: float, step: float, limit: float
) -> Coefficients:
    """Coefficients of a step from the residuals of its evaluations.

    Parameters
    ----------
    residuals : int64[N + 1, n_residuals]
        At theta first.
    damping : float
        lambda; rounded to 24 fraction bits, and not to 0.
    step, limit : float
        Step size times mu, and the largest coefficient, in units of ``weight``; rounded to 16
        fraction bits. A step with a larger coefficient is shortened.
    """
    vectors = residuals.astype(object)
    moved = vectors[1:] - vectors[0]
    n = len(moved)
    gram, right = moved @ moved.T, moved @ vectors[0]
    trace = int(np.trace(gram))
    if not trace:
        return Coefficients((0,) * n, 0)
    added = max(1, round(damping * 2**_DAMPING_BITS))
    scale = n << _DAMPING_BITS
    matrix = [[scale * int(v) for v in row] for row in gram]
    for k in range(n):
        matrix[k][k] += added * trace
    found = solve(matrix, [scale * int(v) for v in right])
    size = Fraction(round(step * 2**_SIZE_BITS), 2**_SIZE_BITS)
    real = [size * c for c in found]
    most, largest = Fraction(round(limit * 2**_SIZE_BITS), 2**_SIZE_BITS), max(map(abs, real))
    if largest > most:
        real = [v * most / largest for v in real]
    top = (1 << (COEFFICIENT_WIDTH - 1)) - 1
    for shift in range(_MOST_SHIFT, -1, -1):
        values = tuple(floor(v * 2**shift + Fraction(1, 2)) for v in real)
        if max(map(abs, values)) <= top:
            return Coefficients(values, shift)
    return Coefficients(tuple(min(max(floor(v + Fraction(1, 2)), -top), top) for v in real), 0)
