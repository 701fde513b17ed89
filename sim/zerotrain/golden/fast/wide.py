"""Rounded products in exact ``float64``, for words or sums too wide for :mod:`.pairs`."""

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.words import Words

__all__ = ["pad_rows", "round_row", "sum_rows"]

Floats = NDArray[np.float64]


def pad_rows(w: Words) -> Floats:
    """Matrices ``[i, m, k]`` as :func:`sum_rows` reads them, m and k made up to multiples of 4."""
    count, rows, terms = w.shape
    out = np.zeros((count, rows + -rows % 4, terms + -terms % 4))
    out[:, :rows, :terms] = w
    return out


@kernel
def sum_rows(w: Floats, r: int, x: Floats, start: Floats, a: Floats, b: Floats) -> None:
    """``start[r] + sum_k w[r, k] * x[k, n]`` into a, and row r + 1 into b.

    ``w`` is of :func:`pad_rows`; the rows of ``x`` that make up its number of terms are finite.
    """
    a[:], b[:] = start[r], start[r + 1]
    for k in range(0, len(x), 4):
        # Each sum is loaded and stored once for four products, each operand used twice.
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        a0, a1, a2, a3 = w[r, k], w[r, k + 1], w[r, k + 2], w[r, k + 3]
        b0, b1, b2, b3 = w[r + 1, k], w[r + 1, k + 1], w[r + 1, k + 2], w[r + 1, k + 3]
        for n in range(len(a)):
            y0, y1, y2, y3 = x0[n], x1[n], x2[n], x3[n]
            a[n] += a0 * y0 + a1 * y1 + a2 * y2 + a3 * y3
            b[n] += b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3


@kernel
def round_row(acc: Floats, shift: int, low: int, high: int, out: Words, first: int) -> bool:
    """``out[first ..] = requantize(acc, shift)``; whether anything was clamped.

    Sums have magnitudes of at most 2**52.
    """
    clamped, scale = False, 0.5**shift
    for n in range(len(acc)):
        rounded = np.floor(acc[n] * scale + 0.5)
        held = min(max(rounded, float(low)), float(high))
        clamped |= held != rounded
        out[first + n] = np.int32(held)
    return clamped
