"""Rounded products of a matrix with words of many samples: what every contraction comes down to."""

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.rounding import fits_int32, requantize_row
from zerotrain.spec.formats import QFormat

__all__ = ["Carried", "add_products", "contract", "largest"]

Ints = NDArray[np.int64]
Words = NDArray[np.int32]
#: Words or sums as a task carries them: int32, or float64 where that might not hold the sums.
Carried = NDArray[np.int32] | NDArray[np.float64]

#: Words of the right-hand side that all rows of the matrix read in turn, from the first cache.
_TILE_WORDS = 6144


@kernel
def largest(values: Words) -> int:
    """The largest magnitude of a row."""
    low, high = np.int32(0), np.int32(0)
    for n in range(len(values)):
        low, high = min(low, values[n]), max(high, values[n])
    return int(max(-np.int64(low), np.int64(high)))


def contract(
    w: Words, x: Words, shift: int, target: QFormat, *, bias: Ints | None = None
) -> tuple[Words, bool]:
    """``requantize(bias[m, n // repeat] + sum_k w[m, k] * x[g, k, n], shift)``.

    Parameters
    ----------
    w : int32[m, k]
    x : int32[g, k, n]
    shift : int
    target : QFormat
        Format of the results.
    bias : int64[m, n // repeat], optional
        In units of the products.

    Returns
    -------
    int32[g, m, n]
    clamped : bool
    """
    rows, terms = w.shape
    x = np.ascontiguousarray(x)
    bound = int(np.abs(w).sum(axis=1, dtype=np.int64).max()) * largest(x.reshape(-1))
    if bias is not None:
        bound += int(np.abs(bias).max())
    carrier = np.int32 if fits_int32(bound) else np.float64
    # Rows are taken by twos, terms by fours: zeros make up the numbers.
    matrix = np.zeros((rows + rows % 2, terms + -terms % 4), carrier)
    matrix[:rows, :terms] = w
    columns = x.shape[2]
    start = np.zeros((len(matrix), 1 if bias is None else bias.shape[1]), carrier)
    if bias is not None:
        start[:rows] = bias
    repeat = columns // start.shape[1]
    tile = max(64, _TILE_WORDS // terms)
    if columns < tile:
        tile -= tile % columns
    elif bias is not None:
        tile = max(tile // repeat, 1) * repeat
    out = np.empty((len(x), rows, columns), np.int32)
    part = np.zeros((matrix.shape[1], tile), carrier)
    acc = np.empty((2, tile), carrier)
    low, high = float(target.raw_min), float(target.raw_max)
    clamped = _contract(matrix, start, repeat, x, 0.5**shift, low, high, part, acc, out)
    return out, clamped


@kernel
def add_products(
    w: Carried, r: int, k: int, x: Carried, first: int, a: Carried, b: Carried
) -> None:
    """Terms k to k + 3 of rows r and r + 1, with rows ``first ..`` of x, into sums a and b.

    Each sum is loaded and stored once for four products, each operand used twice.
    """
    x0, x1, x2, x3 = x[first], x[first + 1], x[first + 2], x[first + 3]
    a0, a1, a2, a3 = w[r, k], w[r, k + 1], w[r, k + 2], w[r, k + 3]
    b0, b1, b2, b3 = w[r + 1, k], w[r + 1, k + 1], w[r + 1, k + 2], w[r + 1, k + 3]
    for n in range(len(a)):
        y0, y1, y2, y3 = x0[n], x1[n], x2[n], x3[n]
        a[n] += a0 * y0 + a1 * y1 + a2 * y2 + a3 * y3
        b[n] += b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3


@kernel
def _contract(
    w: Carried, start: Carried, repeat: int, x: Words, scale: float, low: float, high: float,
    part: Carried, acc: Carried, out: Words,
) -> bool:  # fmt: skip
    """Whether any result was clamped. ``part`` and ``acc`` are scratch memory.

    A tile is some whole blocks ``x[g]`` side by side, or a piece of one.
    """
    count, terms, columns = x.shape
    tile = acc.shape[1]
    size, blocks = min(tile, columns), max(tile // columns, 1)
    clamped = False
    for g0 in range(0, count, blocks):
        for n0 in range(0, columns, size):
            width = min(size, columns - n0)
            groups = min(blocks, count - g0)
            for k in range(terms):
                for g in range(groups):
                    source = x[g0 + g, k, n0 : n0 + width]
                    to = part[k, g * width : (g + 1) * width]
                    for n in range(width):  # several times as fast as an assignment of slices
                        to[n] = source[n]
            a, b = acc[0, : groups * width], acc[1, : groups * width]
            for r in range(0, len(w), 2):
                for n in range(0, len(a), min(repeat, width)):
                    a[n : n + repeat] = start[r, (n0 + n % columns) // repeat]
                    b[n : n + repeat] = start[r + 1, (n0 + n % columns) // repeat]
                for k in range(0, len(part), 4):
                    add_products(w, r, k, part, k, a, b)
                for g in range(groups):
                    here = slice(g * width, (g + 1) * width)
                    to = out[g0 + g, r, n0 : n0 + width]
                    clamped |= requantize_row(a[here], scale, low, high, to)
                    if r + 1 < out.shape[1]:
                        to = out[g0 + g, r + 1, n0 : n0 + width]
                        clamped |= requantize_row(b[here], scale, low, high, to)
    return clamped
