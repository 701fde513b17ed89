"""Activations: their names, and what everybody must know of each.

What an activation does to integers is each execution's own affair: the golden model, its fast twin,
the gateware and the benchmark in PyTorch map its name to an implementation in one place each.

An activation takes a pre-activation Y to a word of the same format, ``act(Y)``. Where it rounds, it
does so in the last place of the word that it is given. Differences of environments have more
fraction bits than pre-activations: ``act(Y + dy) - act(Y)`` is of ``Y`` aligned to the format
``delta``, and rounds in the last place of that (docs/numerics.md, section 4).
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["ACTIVATIONS", "ACTIVATION_BITS", "Activation", "Properties", "check_differences"]

#: Bits of the control word that name an activation.
ACTIVATION_BITS = 3


class Activation(StrEnum):
    """What stands between a layer's pre-activation and the next layer."""

    NONE = "none"
    RELU = "relu"


@dataclass(frozen=True, slots=True)
class Properties:
    """What is known of an activation.

    Attributes
    ----------
    code : int
        In the control word.
    gain : float
        Variance of initial parameters, times the inputs of the layer (He et al. 2015).
    shrinks : bool
        ``|act(Y + dy) - act(Y)| <= |dy|`` for all integers: such a difference fits the word of dy.
    """

    code: int
    gain: float
    shrinks: bool


ACTIVATIONS = {
    Activation.NONE: Properties(code=0, gain=1.0, shrinks=True),
    Activation.RELU: Properties(code=1, gain=2.0, shrinks=True),
}


def check_differences(activation: Activation) -> None:
    """Refuse an activation whose differences need more bits than those of its pre-activation."""
    if not ACTIVATIONS[activation].shrinks:
        raise ValueError(
            f"CGE by environments needs an activation whose differences are no larger than those "
            f'of its pre-activation, got {activation}; use cge = "forward" with it'
        )
