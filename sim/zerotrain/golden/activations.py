"""Activations of integers (docs/numerics.md, sections 3 and 4)."""

from collections.abc import Callable

import numpy as np

from zerotrain.golden.fixed import Raw
from zerotrain.spec.activations import Activation
from zerotrain.spec.formats import Formats
from zerotrain.spec.sine import INTERVAL_BITS, argument, sine_table

__all__ = ["activate", "difference"]


def _sine(y: Raw, formats: Formats) -> Raw:
    fine = formats.preact.frac_bits - INTERVAL_BITS
    table = np.array(sine_table(formats.preact))
    a = np.minimum(np.abs(y.astype(np.int64)), argument(formats.preact).raw_max)
    i, r = a >> fine, a & ((1 << fine) - 1)
    m = table[i] + (((table[i + 1] - table[i]) * r + (1 << fine >> 1)) >> fine)
    return np.where(y < 0, -m, m).astype(y.dtype)


_VALUES: dict[Activation, Callable[[Raw, Formats], Raw]] = {
    Activation.NONE: lambda y, formats: y,
    Activation.RELU: lambda y, formats: np.maximum(y, 0),
    Activation.SINE: _sine,
}


def activate(y: Raw, activation: Activation, formats: Formats) -> Raw:
    """The activation of pre-activations, in the format of its values."""
    return _VALUES[activation](y, formats)


def difference(y: Raw, dy: Raw, activation: Activation, formats: Formats) -> Raw:
    """``act(Y + dy) - act(Y)``, exact; ``y`` is aligned to ``dy``. Not of a sine."""
    if activation == Activation.NONE:
        return dy
    return activate(y + dy, activation, formats) - activate(y, activation, formats)
