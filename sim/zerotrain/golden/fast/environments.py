"""Twin of :func:`zerotrain.golden.tt.environments`: environments of one layer, times mu."""

from math import prod

import numpy as np

from zerotrain.golden.fast.contract import contract
from zerotrain.golden.fast.layer import merge
from zerotrain.golden.fast.memory import Memory
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import TTLayer
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.registers import Saturation

__all__ = ["left_half", "right_half"]


def _made(
    w: Words, v: Words, shift: int, fmt: QFormat, shape: tuple[int, ...], axes: tuple[int, ...],
    memory: Memory, flags: Flags,
) -> Words:  # fmt: skip
    """The contraction of ``w`` with ``v`` as an array of some shape; its axes as they come."""
    out = memory.words(shape, fmt)
    if contract(w, v, shift, fmt, out.transpose(axes)):
        flags.value |= Saturation.SCRATCH
    return out


def left_half(
    part: TTLayer, x: Words, formats: Formats, memory: Memory, flags: Flags
) -> list[Words]:
    """Environments of the TT-cores left of the middle, by way of the right partials.

    Parameters
    ----------
    part : TTLayer
        Its arrays are words.
    x : ``[n_inputs, batch]``
        The layer's input, raw in ``part.source``.
    memory : Memory
        For partials and environments.

    Returns
    -------
    list of ``[a, j_k, b, I_<k, I_>k, batch]``
        Raw in ``delta``.
    """
    layer, h, batch = part.layer, part.layer.middle, x.shape[-1]
    if h == 0:
        return []
    half = merge(part.cores, h, layer.n_tt_cores, formats, flags)
    b, i, j, _ = half.shape
    # What the next partial is the product of: a matrix [(b, i), terms] and the terms
    # [J_<=k, I_done, terms, batch].
    w, v, source, done = half.reshape(b * i, j), x.reshape(-1, 1, j, batch), part.source, 1
    out: list[Words] = []
    for k in range(h - 1, 0, -1):
        j, before = layer.in_modes[k], prod(layer.in_modes[:k])
        # R_k [J_<k, I_>k, j_k, b, batch]; it comes as [J_<k, j_k, I_done, b, i, batch].
        shift, shape = formats.lane_shift(source, formats.tt), (before, i, done, j, b, batch)
        right = _made(w, v, shift, formats.tt, shape, (0, 3, 2, 4, 1, 5), memory, flags)
        source, done = formats.tt, done * i
        right = right.reshape(before, done, j, b, batch)
        left = merge(part.cores, 0, k, formats, flags)[0].swapaxes(1, 2)  # [I_<k, a, J_<k]
        outer, a, _ = left.shape
        shift, shape = formats.delta_shift(source), (a, j, b, outer, done, batch)
        w, v = left.reshape(outer * a, before), right.transpose(2, 3, 1, 0, 4)
        out.append(_made(w, v, shift, formats.delta, shape, (1, 2, 4, 3, 0, 5), memory, flags))
        a, i, j, b = part.cores[k].shape
        w, v, b = part.cores[k].reshape(a * i, j * b), right.reshape(before, done, j * b, batch), a
    j, shift = layer.in_modes[0], formats.delta_shift(source)
    found = _made(
        w, v, shift, formats.delta, (j, b, i, done, batch), (0, 3, 1, 2, 4), memory, flags
    )
    out.append(found.reshape(1, j, b, 1, i * done, batch))
    return out[::-1]


def right_half(
    part: TTLayer, x: Words, formats: Formats, memory: Memory, flags: Flags
) -> list[Words]:
    """Environments of the TT-cores from the middle on, by way of the left partials.

    Parameters and results as for :func:`left_half`.
    """
    layer, h, d, batch = part.layer, part.layer.middle, part.layer.n_tt_cores, x.shape[-1]
    source = part.source
    if d == 1:
        one = np.full((1, 1), 1 << formats.weight.frac_bits, word_type(formats.weight))
        shift, v = formats.delta_shift(source), x[:, None]
        found = _made(one, v, shift, formats.delta, v.shape, (0, 1, 2), memory, flags)
        return [found.reshape(1, -1, 1, 1, 1, batch)]
    half = merge(part.cores, 0, h, formats, flags)
    _, i, j, b = half.shape
    # What the next partial is the product of: a matrix [(i, b), terms] and the terms
    # [I_before, J_>=k, terms, batch].
    w, v, outer = _left_matrix(half), x.reshape(1, j, -1, batch).swapaxes(1, 2), 1
    out: list[Words] = []
    for k in range(h, d - 1):
        j, after = layer.in_modes[k], prod(layer.in_modes[k + 1 :])
        # l_k [I_<k, J_>k, a, j_k, batch]; it comes as [I_before, j_k, J_>k, i, a, batch].
        shift, shape = formats.lane_shift(source, formats.tt), (outer, i, after, b, j, batch)
        left = _made(w, v, shift, formats.tt, shape, (0, 4, 2, 1, 3, 5), memory, flags)
        source, outer, a = formats.tt, outer * i, b
        left = left.reshape(outer, after, a, j, batch)
        right = merge(part.cores, k + 1, d, formats, flags)[..., 0]  # [b, I_>k, J_>k]
        b, inner, _ = right.shape
        shift, shape = formats.delta_shift(source), (a, j, b, outer, inner, batch)
        w, v = right.reshape(b * inner, after), left.transpose(0, 2, 3, 1, 4)
        out.append(_made(w, v, shift, formats.delta, shape, (3, 0, 1, 2, 4, 5), memory, flags))
        w, v = _left_matrix(part.cores[k]), left.reshape(outer, after, a * j, batch)
        i = part.cores[k].shape[1]
    j, shift = layer.in_modes[-1], formats.delta_shift(source)
    found = _made(
        w, v, shift, formats.delta, (b, j, outer, i, batch), (2, 1, 3, 0, 4), memory, flags
    )
    out.append(found.reshape(b, j, 1, outer * i, 1, batch))
    return out


def _left_matrix(core: Words) -> Words:
    """``[a, i, j, b]`` as the matrix ``[(i, b), (a, j)]`` of the left partials."""
    a, i, j, b = core.shape
    return core.transpose(1, 3, 0, 2).reshape(i * b, a * j)
