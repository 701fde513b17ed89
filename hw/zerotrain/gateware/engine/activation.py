"""The lanes' activations: of a word, and of a difference.

Golden model: :mod:`zerotrain.golden.activations` (bit-exact).
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth import Const, Mux, Value, signed

from zerotrain.spec.activations import ACTIVATIONS, Activation

__all__ = ["CODE_BITS", "Stage", "activated", "difference", "direct"]

#: Bits that tell the known activations apart.
CODE_BITS = max(properties.code.bit_length() for properties in ACTIVATIONS.values())

#: ``stage(value, name)`` is the value a stage later.
Stage = Callable[[Value, str], Value]


def direct(value: Value, name: str) -> Value:
    """No stage: what follows is in the same cycle."""
    return value


@dataclass(frozen=True, slots=True)
class _Implementation:
    """An activation but for none.

    Attributes
    ----------
    word : callable
        ``act(y)``, unless ``zero``.
    zero : callable
        One bit: ``act(y)`` is zero. A bit that masks a word is cheaper than a choice of words.
    difference : callable
        ``act(y + dy) - act(y)``, signed, from ``stage, y, dy, late_dy``: y aligned to dy, and dy
        itself a stage later. Only of an activation that shrinks: it fits the word of dy.
    """

    word: Callable[[Value], Value]
    zero: Callable[[Value], Value]
    difference: Callable[[Stage, Value, Value, Value], Value]


def _relu_difference(stage: Stage, y: Value, dy: Value, late_dy: Value) -> Value:
    moved, minus = stage(y + dy, "moved"), stage((-y)[: len(y)].as_signed(), "minus")
    negative = stage(y < 0, "negative")
    after = moved < 0
    bent = Mux(negative, Mux(after, Const(0, signed(1)), moved), minus)
    return Mux(negative | after, bent, late_dy)


_IMPLEMENTATIONS = {
    Activation.RELU: _Implementation(
        word=lambda y: y, zero=lambda y: y < 0, difference=_relu_difference
    ),
}


def activated(y: Value, code: Value) -> tuple[Value, Value]:
    """The activation of a word, and one bit: it is zero instead.

    Parameters
    ----------
    y : Value
        Signed.
    code : Value
        ``CODE_BITS`` of the activation's code.
    """
    word, zero = y, Const(0, 1)
    for activation, made in _IMPLEMENTATIONS.items():
        chosen = code == ACTIVATIONS[activation].code
        zero = zero | (chosen & made.zero(y))
        other = made.word(y)
        word = word if other is y else Mux(chosen, other, word)
    return word, zero


def difference(stage: Stage, y: Value, dy: Value, straight: Value, code: Value) -> Value:
    """The operand of differences, a stage later: ``act(y + dy) - act(y)`` in the word of dy.

    Activations whose differences do not fit it are none here; the planner refuses them.

    Parameters
    ----------
    y, dy : Value
        Signed, y aligned to dy.
    straight : Value
        A stage later: the operand if the activation is none.
    code : Value
        A stage later: of the activation; none of what is no difference.
    """
    operand = straight
    for activation, made in _IMPLEMENTATIONS.items():
        if ACTIVATIONS[activation].shrinks:
            moved = made.difference(stage, y, dy, straight)
            chosen = code == ACTIVATIONS[activation].code
            operand = Mux(chosen, moved[: len(straight)].as_signed(), operand)
    return operand
