"""Rounded products of a matrix with words of many samples: what every contraction comes down to."""

from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.pairs import COLUMNS, ROWS, pack_rows, round_tile
from zerotrain.golden.fast.wide import pad_rows, round_row, sum_rows
from zerotrain.golden.fast.words import Words
from zerotrain.spec.formats import QFormat

__all__ = ["Source", "Target", "contract", "fits_pairs", "multiply", "prepare"]

Ints = NDArray[np.int64]

#: Columns whose terms all rows of a matrix read in turn, from the first cache.
_BLOCK = 64


class Source(NamedTuple):
    """The right-hand side of a contraction, ``x[g, k, n]``, in memory.

    Attributes
    ----------
    words : one axis
    places : int64[g]
        Where ``x[g, 0, 0]`` is.
    stride : int
        From one term, ``x[g, k]``, to the next.
    terms, columns : int
        Sizes k and n.
    """

    words: Words
    places: Ints
    stride: int
    terms: int
    columns: int

    @classmethod
    def of(cls, x: Words) -> Self:
        """A whole array ``[..., k, n]`` with its axes, but for the last, in any order."""
        places = _places(x.shape[:-2], x.strides[:-2], x.itemsize)
        return cls(_memory(x), places, x.strides[-2] // x.itemsize, *x.shape[-2:])


class Target(NamedTuple):
    """Results of a contraction, ``out[g, m, n]``, in memory.

    Attributes
    ----------
    words : one axis
    places : int64[g, m]
        Where ``out[g, m, 0]`` is.
    low, high : int
        Limits of the results.
    """

    words: Words
    places: Ints
    low: int
    high: int

    @classmethod
    def of(cls, out: Words, rows: int, fmt: QFormat) -> Self:
        """A whole array ``[..., m, n]`` with its axes, but for the last, in any order.

        The rows may be several axes.
        """
        places = _places(out.shape[:-1], out.strides[:-1], out.itemsize)
        return cls(_memory(out), places.reshape(-1, rows), fmt.raw_min, fmt.raw_max)


def _memory(array: Words) -> Words:
    """All words of a whole array, in the order in which they lie in memory."""
    words = array.ravel("K")
    assert words.base is not None, "Only whole arrays can be seen in their order in memory"
    return words


@lru_cache(maxsize=1024)
def _places(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Ints:
    """Where in memory, counted in words, the elements of an array are, in C order of its axes."""
    out = np.zeros(1, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        out = (out[:, None] + np.arange(size) * (stride // itemsize)).reshape(-1)
    return out


def contract(
    w: Words, x: Words, shift: int, fmt: QFormat, out: Words, bias: Ints | None = None
) -> bool:
    """``out = requantize(bias + sum_k w[m, k] * x[..., k, n], shift)``.

    Parameters
    ----------
    w : ``[m, k]``
    x : ``[..., k, n]``
        As for :class:`Source`.
    shift : int
    fmt : QFormat
        Of the results.
    out : ``[..., m, n]``
        As for :class:`Target`. Its leading axes need not be cut like those of ``x``.
    bias : int64[..., m], optional
        In units of the products.

    Returns
    -------
    bool
        Whether any result was clamped.
    """
    source = Source.of(x)
    matrices, start = prepare(w[None], source, shift, bias)
    return multiply(matrices[0], start, source, shift, Target.of(out, len(w), fmt))


def fits_pairs(bound: int) -> bool:
    """Whether sums whose terms have magnitudes of ``bound`` in all can be made in 32 bits."""
    return bound < 1 << 31


def prepare(
    w: Words, x: Source, shift: int, bias: Ints | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What :func:`multiply` takes, for some matrices of one shape.

    Words of 16 bits are multiplied in pairs and summed in 32 bits, where the magnitudes at hand
    prove that the sums fit; all others in float64.

    Parameters
    ----------
    w : ``[i, m, k]``
    x : Source
        Bounds all right-hand sides: none will have terms larger than its.
    shift, bias
        As for :func:`contract`.

    Returns
    -------
    matrices : int16[i, ...] or float64[i, ...]
    start : int32[g, rows] or float64[g, rows]
        Where sums begin, with the rows of the padded matrices; once if all of them begin at zero.
    """
    rows = w.shape[1]
    start = np.zeros((1 if bias is None else bias.size // rows, rows + -rows % ROWS), np.int64)
    if bias is not None:
        start[:, :rows] = bias.reshape(-1, rows)
    if w.dtype == x.words.dtype == np.int16 and x.columns >= COLUMNS:
        # The rounding constant comes on top of the sums.
        if fits_pairs(_bound(w, _largest(x), start) + (1 << shift >> 1)):
            return pack_rows(w), start.astype(np.int32)
    return pad_rows(w), start.astype(np.float64)


@kernel
def _bound(w: Words, largest: Ints, start: Ints) -> int:
    """The largest sum of magnitudes of any row."""
    most, begin = 0, 0
    for i, r in np.ndindex(w.shape[:2]):
        total = 0
        for k in range(w.shape[2]):
            total += abs(np.int64(w[i, r, k])) * largest[k]
        most = max(most, total)
    for value in start.flat:
        begin = max(begin, int(abs(value)))
    return most + begin


@kernel
def _largest(x: Source) -> Ints:
    """The largest magnitude of every term: int64[k]."""
    out = np.zeros(x.terms, np.int64)
    for place in x.places:
        for k in range(x.terms):
            first = place + k * x.stride
            row = x.words[first : first + x.columns]
            low, high = row[0], row[0]
            for n in range(x.columns):
                low, high = min(low, row[n]), max(high, row[n])
            out[k] = max(out[k], -np.int64(low), np.int64(high))
    return out


def multiply(w: NDArray[Any], start: NDArray[Any], x: Source, shift: int, out: Target) -> bool:
    """:func:`contract` with a matrix of :func:`prepare`, whose sums begin at ``start``."""
    return bool((_in_pairs if w.dtype == np.int16 else _in_floats)(w, start, x, shift, out))


@overload(multiply, strict=False)
def _multiply(w: Any, start: Any, x: Any, shift: Any, out: Any) -> Any:
    """The same for compiled functions."""
    found = _in_pairs if w.dtype == types.int16 else _in_floats
    return lambda w, start, x, shift, out: found(w, start, x, shift, out)


@kernel
def _in_pairs(
    w: NDArray[np.int16], start: NDArray[np.int32], x: Source, shift: int, out: Target
) -> bool:
    """:func:`multiply` by tiles. Where columns make no whole tiles, some results are made twice."""
    seen = np.zeros((2, 8), np.int32)
    for g, block in np.ndindex(len(x.places), -(-x.columns // _BLOCK)):
        begin, first = start[g % len(start)], block * _BLOCK
        for r in range(0, out.places.shape[1], ROWS):
            for tile in range(first, min(first + _BLOCK, x.columns), COLUMNS):
                round_tile(w, begin, x, out, g, r, min(tile, x.columns - COLUMNS), shift, seen)
    return seen[0].min() < out.low or seen[1].max() > out.high


@kernel
def _in_floats(
    w: NDArray[np.float64], start: NDArray[np.float64], x: Source, shift: int, out: Target
) -> bool:
    """:func:`multiply` by rows."""
    clamped, block, sums = False, np.zeros((w.shape[1], x.columns)), np.empty((2, x.columns))
    for g in range(len(x.places)):
        for k in range(x.terms):
            first, row = x.places[g] + k * x.stride, block[k]
            for n in range(x.columns):
                row[n] = x.words[first + n]
        a, b = sums[0], sums[1]
        for r in range(0, out.places.shape[1], 2):
            sum_rows(w, r, block, start[g % len(start)], a, b)
            for acc, m in ((a, r), (b, r + 1)):
                if m < out.places.shape[1]:
                    clamped |= round_row(acc, shift, out.low, out.high, out.words, out.places[g, m])
    return clamped
