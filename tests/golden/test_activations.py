"""Activations against the mathematics; the sine against the page's integers as well."""

from typing import Any

import numpy as np
import pytest

from zerotrain.golden.activations import activate
from zerotrain.golden.fast import activations as fast
from zerotrain.golden.fast.words import word_type
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation
from zerotrain.spec.sine import argument, value

from .plain.fixed import Arithmetic
from .plain.layer import sine


def formats_with(preact: QFormat) -> Formats:
    """Formats with such pre-activations."""
    wide = QFormat(24, 11)
    return Formats(
        weight=QFormat(18, 16), input=wide, tt=wide, delta=QFormat(24, 23), preact=preact
    )


#: Default-like ones; those of a physics network; the narrowest and the widest; of one whole bit and
#: of none; far more than the sine reaches.
PREACTS = [
    QFormat(16, 13), QFormat(18, 15), QFormat(9, 8), QFormat(24, 21), QFormat(16, 14),
    QFormat(12, 11), QFormat(20, 19), QFormat(24, 8), QFormat(20, 10),
]  # fmt: skip


@pytest.mark.parametrize("preact", PREACTS, ids=str)
def test_sine_is_near(preact: QFormat) -> None:
    """Within 2**-17 and a last place, for every argument but the lowest, which counts as the one
    above it; odd; no larger than 1."""
    fmt, out = argument(preact), value(preact)
    y = np.arange(fmt.raw_min, fmt.raw_max + 1)
    found = activate(y, Activation.SINE, formats_with(preact))
    errors = np.abs(found * out.resolution - np.sin(y * preact.resolution))
    assert errors[1:].max() <= 2**-17 + out.resolution
    assert found[0] == found[1]
    assert np.array_equal(found[1:], -found[:0:-1])
    assert np.abs(found).max() <= 1 << out.frac_bits


def operands(preact: QFormat) -> list[int]:
    """All arguments of narrow words; of others those of every magnitude, ends of intervals and
    their neighbours, and the limits."""
    fmt = argument(preact)
    if fmt.width <= 10:
        return list(range(fmt.raw_min, fmt.raw_max + 1))
    near = {1 << bit for bit in range(fmt.width - 1)} | {fmt.raw_max, 0}
    near |= set(range(0, fmt.raw_max, 1 << (preact.frac_bits - 7)))
    around = {sign * (k + off) for k in near for off in (-1, 0, 1) for sign in (-1, 1)}
    return sorted(v for v in around | {fmt.raw_min} if fmt.raw_min <= v <= fmt.raw_max)


@pytest.mark.parametrize("preact", PREACTS, ids=str)
def test_three_models_of_the_sine_are_equal(preact: QFormat) -> None:
    y, formats = np.array(operands(preact)), formats_with(preact)
    found = activate(y, Activation.SINE, formats)
    plain = Arithmetic({"preact": (preact.width, preact.frac_bits)})
    assert found.tolist() == [sine(v, plain) for v in y.tolist()]
    words: Any = y.astype(word_type(argument(preact)))
    quick = fast.activate(words.reshape(1, -1), Activation.SINE, formats)
    assert quick.dtype == word_type(value(preact))
    assert quick.tolist() == [found.tolist()]


def test_words_carried_as_floats() -> None:
    y, formats = np.array(operands(PREACTS[0])), formats_with(PREACTS[0])
    for activation in Activation:
        floats = activate(y.astype(np.float64), activation, formats)
        assert floats.dtype == np.float64
        assert np.array_equal(floats, activate(y, activation, formats))
