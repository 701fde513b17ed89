"""Rounding and saturation."""

import numpy as np
import pytest

from zerotrain.golden.fixed import Flags, Raw, carrier, requantize, saturate
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Network, dense
from zerotrain.spec.registers import Saturation

DTYPES = [np.int64, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounds_half_up(dtype: type) -> None:
    acc: Raw = np.arange(-8, 7).astype(dtype)
    values, clamped = requantize(acc, 2, 16)
    assert values.tolist() == [-2, -2, -1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert not clamped


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0, 1, 13, 40, 50])
def test_equals_plain_integers(dtype: type, shift: int) -> None:
    rng = np.random.default_rng(1)
    acc = rng.integers(-(1 << 51), 1 << 51, 200) >> rng.integers(0, 51, 200)
    acc = np.concatenate([acc, [(1 << 52) - 1, -(1 << 52), 0, 1, -1]])
    for width in (2, 8, 24, 48):
        low, high = -(1 << width - 1), (1 << width - 1) - 1
        exact = [(int(a) + ((1 << shift) >> 1)) >> shift for a in acc]
        values, clamped = requantize(acc.astype(dtype), shift, width)
        assert values.dtype == dtype
        assert values.tolist() == [min(max(e, low), high) for e in exact]
        assert clamped == any(not low <= e <= high for e in exact)


def test_shift_is_not_negative() -> None:
    message = r"^Requantisation only shifts right, by 0 or more bits, not -1$"
    with pytest.raises(ValueError, match=message):
        requantize(np.zeros(1), -1, 8)


def test_saturation_boundaries() -> None:
    assert not saturate(np.array([-128, 127]), 8)[1]
    for value, held in ((-129, -128), (128, 127)):
        values, clamped = saturate(np.array([0, value]), 8)
        assert values.tolist() == [0, held]
        assert clamped


def test_flags_are_sticky_and_apart() -> None:
    flags = Flags()
    flags.saturate(np.array([127]), 8, Saturation.LOSS)
    assert flags.value == 0
    flags.saturate(np.array([128]), 8, Saturation.LOGIT)
    flags.requantize(np.array([1 << 20]), 1, 8, Saturation.MERGE)
    flags.saturate(np.array([0]), 8, Saturation.LOGIT)
    assert flags.value == Saturation.LOGIT | Saturation.MERGE


def test_carrier() -> None:
    def lanes(width: int) -> Formats:
        lane = QFormat(width, 9)
        return Formats(
            weight=QFormat(width, width - 3), input=lane, tt=lane, preact=lane,
            delta=QFormat(width, 17),
        )  # fmt: skip

    wide = Network((dense(784, 10),))
    assert carrier(wide, lanes(16)) is np.float64
    # 785 products of 47 bits: 57 bits.
    assert carrier(wide, lanes(24)) is np.int64
