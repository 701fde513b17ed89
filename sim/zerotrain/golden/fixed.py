"""Rounding, saturation and the sticky saturation flags (docs/numerics.md, section 1).

Raw values are integers. They are carried as ``int64``, or as ``float64`` where every value involved
is provably below 2**53: integer arithmetic in ``float64`` is exact there and runs on BLAS.
Functions accept both and return what they were given.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network
from zerotrain.spec.registers import Saturation

__all__ = ["Flags", "Raw", "carrier", "requantize", "saturate", "shift_left"]

#: Raw integers, carried as int64 or float64.
Raw = NDArray[Any]

#: Float64 holds every integer up to 2**53; one bit is spent on the rounding constant.
_EXACT_FLOAT = 1 << 52
_EXACT_INT = 1 << 62


def saturate(values: Raw, width: int) -> tuple[Raw, bool]:
    """Clamp to ``width`` bits signed.

    Returns
    -------
    values : the input itself if nothing had to be clamped
    clamped : whether any value was
    """
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    if values.size == 0 or (values.min() >= low and values.max() <= high):
        return values, False
    return np.clip(values, low, high), True


def requantize(acc: Raw, shift: int, width: int) -> tuple[Raw, bool]:
    """``(acc + (1 << shift >> 1)) >> shift``, then :func:`saturate`.

    Rounds half up. Float64 accumulators are integers of magnitude at most 2**52.
    """
    if shift < 0:
        raise ValueError(f"Requantisation only shifts right, by 0 or more bits, not {shift}")
    if shift == 0:
        return saturate(acc, width)
    if acc.dtype.kind == "f":
        rounded = acc * 0.5**shift
        rounded += 0.5
        np.floor(rounded, out=rounded)
        return saturate(rounded, width)
    return saturate((acc + (1 << shift >> 1)) >> shift, width)


def shift_left(values: Raw, shift: int) -> Raw:
    """``values << shift`` for either carrier."""
    return values * 2.0**shift if values.dtype.kind == "f" else values << shift


class Flags:
    """Collects the sticky saturation flags of everything computed with it.

    Attributes
    ----------
    value : Saturation
        Kinds of values of which at least one was clamped. Only ever grows.
    """

    def __init__(self) -> None:
        self.value = Saturation(0)

    def saturate(self, values: Raw, width: int, kind: Saturation) -> Raw:
        """:func:`saturate`, noting a clamp under ``kind``."""
        out, clamped = saturate(values, width)
        if clamped:
            self.value |= kind
        return out

    def requantize(self, acc: Raw, shift: int, width: int, kind: Saturation) -> Raw:
        """:func:`requantize`, noting a clamp under ``kind``."""
        out, clamped = requantize(acc, shift, width)
        if clamped:
            self.value |= kind
        return out


def carrier(network: Network, formats: Formats) -> type[np.float64] | type[np.int64]:
    """The dtype in which every accumulator of this network is exact.

    Bounds the longest sum of products that any contraction of the network can form. No such sum
    has more terms than its layer has inputs (or outputs), times the largest rank.

    Raises
    ------
    ValueError
        If not even int64 holds them.
    """
    terms = max(
        max(layer.n_inputs, layer.n_outputs) * max(layer.all_ranks) for layer in network.layers
    )
    product_bits = formats.weight.width - 1 + formats.lane_width - 1
    # One more product covers the bias or the rounding constant, whichever comes on top.
    bound = (terms + 1) << product_bits
    if bound < _EXACT_FLOAT:
        return np.float64
    if bound < _EXACT_INT:
        return np.int64
    raise ValueError(
        f"Sums of {terms} products of {product_bits + 1} bits do not fit 63-bit accumulators; "
        "use narrower formats or smaller layers"
    )
