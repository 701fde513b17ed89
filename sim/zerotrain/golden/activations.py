"""Activations of integers (docs/numerics.md, sections 3 and 4)."""

from collections.abc import Callable

import numpy as np

from zerotrain.golden.fixed import Raw
from zerotrain.spec.activations import Activation

__all__ = ["activate", "difference"]

_VALUES: dict[Activation, Callable[[Raw], Raw]] = {
    Activation.NONE: lambda y: y,
    Activation.RELU: lambda y: np.maximum(y, 0),
}


def activate(y: Raw, activation: Activation) -> Raw:
    """The activation of pre-activations, in the same format."""
    return _VALUES[activation](y)


def difference(y: Raw, dy: Raw, activation: Activation) -> Raw:
    """``act(Y + dy) - act(Y)``, exact; ``y`` is aligned to ``dy``."""
    if activation == Activation.NONE:
        return dy
    return activate(y + dy, activation) - activate(y, activation)
