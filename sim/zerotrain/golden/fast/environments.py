"""Twin of :func:`zerotrain.golden.tt.environments`: environments of one layer, times mu."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.contract import contract
from zerotrain.golden.fast.layer import merge, noted
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import TTLayer
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.registers import Saturation

__all__ = ["left_half", "right_half"]

Words = NDArray[np.int32]


def _scaled(w: Words, v: Words, source: QFormat, formats: Formats, flags: Flags) -> Words:
    """An environment from the sum that defines it."""
    found = contract(w, v, formats.delta_shift(source), formats.delta)
    return noted(found, Saturation.SCRATCH, flags)


def _partial(w: Words, v: Words, source: QFormat, formats: Formats, flags: Flags) -> Words:
    """A left or right partial."""
    found = contract(w, v, formats.lane_shift(source, formats.tt), formats.tt)
    return noted(found, Saturation.SCRATCH, flags)


def left_half(part: TTLayer, x: Words, formats: Formats, flags: Flags) -> list[Words]:
    """Environments of the TT-cores left of the middle, by way of the right partials.

    Parameters
    ----------
    part : TTLayer
        Its arrays are int32.
    x : int32[n_inputs, batch]
        The layer's input, raw in ``part.source``.

    Returns
    -------
    list of int32[I_<k, a, (j_k, b), I_>k, batch]
        Raw in ``delta``.
    """
    layer, h, batch = part.layer, part.layer.middle, x.shape[-1]
    if h == 0:
        return []
    source = part.source
    half = merge(part.cores, h, layer.n_tt_cores, formats, flags)
    b, i, j, _ = half.shape
    # What the next partial is the product of: a matrix, and V of the forward pass.
    w, v, done = half.reshape(b * i, j), x.reshape(-1, j, batch), i
    out: list[Words] = []
    for k in range(h - 1, 0, -1):
        right = _partial(w, v, source, formats, flags)
        source = formats.tt
        before, j, b = prod(layer.in_modes[:k]), layer.in_modes[k], part.cores[k].shape[3]
        left = merge(part.cores, 0, k, formats, flags)[0].swapaxes(1, 2)  # [I_<k, a, J_<k]
        found = _scaled(left.reshape(-1, before), right.reshape(1, before, -1), source, formats,
                        flags)  # fmt: skip
        out.append(found.reshape(*left.shape[:2], j * b, done, batch))
        a, i, j, b = part.cores[k].shape
        w, v = part.cores[k].reshape(a * i, j * b), right.reshape(-1, j * b, done * batch)
        done *= i
    found = _scaled(w, v, source, formats, flags)
    out.append(found.reshape(1, 1, -1, done, batch))
    return out[::-1]


def right_half(part: TTLayer, x: Words, formats: Formats, flags: Flags) -> list[Words]:
    """Environments of the TT-cores from the middle on, by way of the left partials.

    Parameters and results as for :func:`left_half`.
    """
    layer, h, d, batch = part.layer, part.layer.middle, part.layer.n_tt_cores, x.shape[-1]
    source = part.source
    if d == 1:
        one = np.full((1, 1), 1 << formats.weight.frac_bits, np.int32)
        found = _scaled(one, x.reshape(1, 1, -1), source, formats, flags)
        return [found.reshape(1, 1, -1, 1, batch)]
    w, v = _left_step(merge(part.cores, 0, h, formats, flags), x.reshape(1, 1, -1, batch))
    out: list[Words] = []
    for k in range(h, d - 1):
        outer, a = prod(layer.out_modes[:k]), part.cores[k].shape[0]
        left = _partial(w, v, source, formats, flags).reshape(outer, a, -1, batch)
        source = formats.tt
        right = merge(part.cores, k + 1, d, formats, flags)[..., 0]  # [b, I_>k, J_>k]
        b, after, inputs = right.shape
        found = _scaled(right.reshape(-1, inputs), left.reshape(-1, inputs, batch), source,
                        formats, flags)  # fmt: skip
        out.append(found.reshape(outer, a, layer.in_modes[k] * b, after, batch))
        w, v = _left_step(part.cores[k], left)
    a, _, j, _ = part.cores[d - 1].shape
    out.append(_scaled(w, v, source, formats, flags).reshape(-1, a, j, 1, batch))
    return out


def _left_step(core: Words, left: Words) -> tuple[Words, Words]:
    """The factors of the left partial after ``left [I_<k, a, J_>=k, batch]``."""
    a, i, j, b = core.shape
    return core.transpose(1, 3, 0, 2).reshape(i * b, a * j), left.reshape(len(left), a * j, -1)
