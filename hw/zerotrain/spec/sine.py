"""The sine of pre-activations: formats and table (docs/numerics.md, section 3).

An argument is cut to ``|z| < 4``. Between multiples of 1/128 the sine is a straight line.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sin

from zerotrain.spec.formats import QFormat

__all__ = [
    "INTERVAL_BITS",
    "LEAST_FRAC_BITS",
    "argument",
    "check_preact",
    "signed_bits",
    "sine_lines",
    "sine_table",
    "value",
]

#: Intervals have a length of ``2**-INTERVAL_BITS``.
INTERVAL_BITS = 7
#: Fraction bits of pre-activations, at least: one is left for the way through an interval.
LEAST_FRAC_BITS = INTERVAL_BITS + 1
#: Whole bits of an argument's magnitude, at most.
_WHOLE_BITS = 2


def argument(preact: QFormat) -> QFormat:
    """Format of the pre-activation of a sine: that of others, but no wider than ``|z| <= 4``."""
    width = min(preact.width, preact.frac_bits + _WHOLE_BITS + 1)
    return QFormat(width, preact.frac_bits)


def value(preact: QFormat) -> QFormat:
    """Format of the sine: as wide as a pre-activation, with as many fraction bits as hold 1.0."""
    return QFormat(preact.width, preact.width - 2)


def sine_table(preact: QFormat) -> list[int]:
    """The sine at the ends of all intervals that arguments are in, raw in :func:`value`.

    A test holds it equal to the integers of docs/numerics.md.
    """
    fine = argument(preact).width - 1 - (preact.frac_bits - INTERVAL_BITS)
    one = 1 << value(preact).frac_bits
    return [round(sin(k / (1 << INTERVAL_BITS)) * one) for k in range((1 << fine) + 1)]


def sine_lines(preact: QFormat) -> tuple[list[int], list[int]]:
    """The sine at the beginning of every interval, and by how much it grows there."""
    table = sine_table(preact)
    return table[:-1], [after - before for before, after in pairwise(table)]


def signed_bits(words: Sequence[int]) -> int:
    """Bits of a signed word that holds any of these."""
    return 1 + max(max(words).bit_length(), (~min(words)).bit_length())


def check_preact(preact: QFormat) -> None:
    """Refuse pre-activations that are too coarse for the intervals, or that do not reach 1."""
    if not LEAST_FRAC_BITS <= preact.frac_bits < preact.width:
        raise ValueError(
            f"A sine takes pre-activations with {LEAST_FRAC_BITS} fraction bits at least that "
            f"reach from -1 to 1 or further, got the format preact {preact}; Q2.13 is one"
        )
