"""Activations: their names, and what everybody must know of each.

What an activation does to integers is each execution's own affair: the golden model, its fast twin,
the gateware and the benchmark in PyTorch map its name to an implementation in one place each.

An activation takes a pre-activation Y to ``act(Y)``. Most are applied by the lanes to a word that
they read, which keeps its format; where such a one rounds, it does so in the last place of the word
that it is given. Differences of environments have more fraction bits than pre-activations:
``act(Y + dy) - act(Y)`` is of ``Y`` aligned to the format ``delta``, and rounds in the last place
of that (docs/numerics.md, section 4). Others take a unit of the chip and are applied ``on_write``:
then the memory of pre-activations holds ``act(Y)``, in a format of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from zerotrain.spec import sine
from zerotrain.spec.formats import QFormat

__all__ = ["ACTIVATIONS", "ACTIVATION_BITS", "Activation", "Properties", "check_differences"]

#: Bits of the control word that name what is done to a word that is read.
ACTIVATION_BITS = 2


class Activation(StrEnum):
    """What stands between a layer's pre-activation and the next layer."""

    NONE = "none"
    RELU = "relu"
    SINE = "sine"


def _same(preact: QFormat) -> QFormat:
    return preact


@dataclass(frozen=True, slots=True)
class Properties:
    """What is known of an activation.

    Attributes
    ----------
    code : int
        In the control word: what the lanes do to a word that they read.
    gain : float
        Variance of initial parameters, times the inputs of the layer (He et al. 2015).
    shrinks : bool
        ``|act(Y + dy) - act(Y)| <= |dy|`` for all integers: such a difference fits the word of dy.
    on_write : bool
        A unit of the chip applies it to results on their way to memory; what is read is ``act(Y)``.
    argument, value : callable
        Formats of Y and of ``act(Y)``, from that of pre-activations.
    """

    code: int
    gain: float
    shrinks: bool
    on_write: bool = False
    argument: Callable[[QFormat], QFormat] = _same
    value: Callable[[QFormat], QFormat] = _same


ACTIVATIONS = {
    Activation.NONE: Properties(code=0, gain=1.0, shrinks=True),
    Activation.RELU: Properties(code=1, gain=2.0, shrinks=True),
    # The variance of U(-1/sqrt(n), 1/sqrt(n)): pre-activations begin well within the sine's reach.
    Activation.SINE: Properties(
        code=0, gain=1 / 3, shrinks=False, on_write=True, argument=sine.argument, value=sine.value
    ),
}


def check_differences(activation: Activation) -> None:
    """Refuse an activation whose differences need more bits than those of its pre-activation."""
    if not ACTIVATIONS[activation].shrinks:
        raise ValueError(
            f"CGE by environments needs an activation whose differences are no larger than those "
            f'of its pre-activation, got {activation}; use cge = "forward" with it'
        )
