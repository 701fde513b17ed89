"""Rounded products of the fast engine against int64 sums and the readable requantisation."""

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.golden.fast import contract, pairs
from zerotrain.golden.fast.words import word_type
from zerotrain.golden.fixed import requantize
from zerotrain.spec.formats import QFormat

from . import draw

Ints = NDArray[np.int64]

#: Around whole tiles of columns.
_COLUMNS = (1, 2, 15, 16, 17, 31, 32, 47, 64, 65, 130)
_WORD = QFormat(16, 0)


@pytest.fixture(scope="module")
def portable() -> Any:
    """Not kept on disk, where other processes would find it."""
    compiled: Any = contract._in_pairs
    return numba.njit(compiled.py_func)


@pytest.fixture(params=["as compiled", "portable"])
def tiles(request: Any, portable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles for this processor, and tiles made of what every processor has."""
    if request.param == "portable":
        monkeypatch.setattr(pairs, "_has_avx2", lambda: False)
        monkeypatch.setattr(contract, "_in_pairs", portable)


def check(
    w: Ints, x: Ints, formats: tuple[QFormat, QFormat, QFormat], shift: int,
    bias: Ints | None = None,
) -> None:  # fmt: skip
    weight, source, target = formats
    out: Any = np.empty((len(x), len(w), x.shape[2]), word_type(target))
    words: Any = x.astype(word_type(source))
    clamped = contract.contract(w.astype(word_type(weight)), words, shift, target, out, bias)
    acc = w @ x if bias is None else w @ x + bias[..., None]
    wanted, saturated = requantize(acc, shift, target.width)
    assert np.array_equal(out, wanted)
    assert clamped == saturated


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("seed", range(60))
def test_drawn_sizes(seed: int) -> None:
    rng = np.random.default_rng([31, seed])
    pick = draw.pick
    widest = 16 if rng.random() < 0.7 else 24
    formats = tuple(QFormat(pick(rng, 4, limit), 0) for limit in (widest, widest, 24))
    rows, terms, count = pick(rng, 1, 13), pick(rng, 1, 40), pick(rng, 1, 3)
    w = draw.words(rng, formats[0], (rows, terms))
    x = draw.words(rng, formats[1], (count, terms, int(rng.choice(_COLUMNS))))
    bias = rng.integers(-(1 << 28), 1 << 28, (count, rows)) if rng.random() < 0.5 else None
    check(w, x, formats, pick(rng, 0, 34), bias)  # type: ignore[arg-type]


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("width", range(4, 25))
@pytest.mark.parametrize("terms", [1, 2, 3, 16])
def test_extremes(width: int, terms: int) -> None:
    """The corners of a format with each other: sums of up to 2**31 at 16 bits, and of more."""
    fmt = QFormat(width, 0)
    corners = np.array([fmt.raw_min, fmt.raw_max, 0])
    w = np.repeat(corners, terms).reshape(3, terms)
    x = np.resize(corners, (terms, 48)).repeat(2, axis=0).reshape(2, terms, 48)
    for shift in (0, 1, width - 1, 2 * width - 2, 31, 40):
        check(w, x, (fmt, fmt, fmt), shift)
        check(w, np.full_like(x, fmt.raw_min), (fmt, fmt, QFormat(24, 0)), shift)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize(
    ("w", "x", "start", "shift", "in_pairs"),
    [
        # Sums of 2**31 - 1, and of 2**31.
        ([-32768, 32767], [-32768, 32767], 65534, 0, True),
        ([-32768, 32767], [-32768, 32767], 65535, 0, False),
        ([-32768, -32768], [-32768, -32768], 0, 0, False),
        # The rounding constant counts too.
        ([-32768, 32767], [-32768, 32767], 65534 - 512, 10, True),
        ([-32768, 32767], [-32768, 32767], 65535 - 512, 10, False),
        ([1, 1], [1, 1], 0, 31, True),
        ([1, 1], [1, 1], 0, 32, False),
        # Magnitudes are summed: what cancels, cancels late.
        ([32767, -32767], [32767, 32767], 0, 4, True),
        ([32767, -32767, 32767, -32767], [32767] * 4, 0, 4, False),
    ],
)
def test_bound(w: Any, x: Any, start: int, shift: int, in_pairs: bool) -> None:
    """Products are summed in 32 bits up to the last sum that fits, and there are right."""
    matrix, column = np.array([w, [0] * len(w)]), np.array(x)[None, :, None].repeat(16, axis=2)
    for sign in (1, -1):
        bias = np.array([[sign * start, 0]])
        words: Any = column.astype(np.int16)
        found, _ = contract.prepare(
            (sign * matrix).clip(-32768, 32767).astype(np.int16)[None],
            contract.Source.of(words), shift, bias,
        )  # fmt: skip
        assert (found.dtype == np.int16) == in_pairs or sign < 0
        check(
            (sign * matrix).clip(-32768, 32767), column, (_WORD, _WORD, QFormat(24, 0)), shift, bias
        )


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("columns", [3, 16, 40])
def test_axes_in_any_order(columns: int) -> None:
    """Terms and results are found wherever they lie in memory."""
    rng = np.random.default_rng(32)
    w = rng.integers(-3000, 3000, (6, 5)).astype(np.int16)
    x = rng.integers(-3000, 3000, (2, 3, 5, columns)).astype(np.int16)
    wanted, _ = requantize(w.astype(np.int64) @ x, 9, 16)
    for order in ((0, 1, 2, 3), (2, 0, 1, 3), (1, 2, 0, 3), (2, 1, 0, 3)):
        source = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        for axes in ((0, 1, 2, 3, 4), (3, 1, 0, 2, 4), (2, 3, 0, 1, 4)):
            # Rows are two axes.
            memory: Any = np.empty(np.array((2, 3, 2, 3, columns))[list(axes)], np.int16)
            out = memory.transpose(np.argsort(axes))
            contract.contract(w, source, 9, _WORD, out)
            assert np.array_equal(out.reshape(wanted.shape), wanted)
    part: Any = x[:, :2]
    with pytest.raises(AssertionError, match="whole arrays"):
        contract.Source.of(part)
