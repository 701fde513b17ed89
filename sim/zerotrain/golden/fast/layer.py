"""Twin of :mod:`zerotrain.golden.tt`: merged TT-cores and the forward pass of one evaluation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.contract import contract
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model
from zerotrain.golden.tt import TTLayer, unpack
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Saturation

__all__ = ["layer_forward", "layers_of", "merge", "merge_groups"]

Ints = NDArray[np.int64]


def layers_of(model: Model, theta: Ints) -> list[list[TTLayer]]:
    """The network's layers at each of the parameter vectors ``theta [E, d]``, arrays of words."""
    weights = word_type(model.formats.weight)
    found = [
        replace(
            part,
            cores=[np.ascontiguousarray(core, weights) for core in part.cores],
            bias=None if part.bias is None else part.bias.astype(weights),
        )
        for part in unpack(model.network, model.formats, theta)
    ]
    return [
        [
            replace(
                part,
                cores=[core[e] for core in part.cores],
                bias=None if part.bias is None else part.bias[e],
            )
            for part in found
        ]
        for e in range(len(theta))
    ]


def merge(cores: Sequence[Words], lo: int, hi: int, formats: Formats, flags: Flags) -> Words:
    """TT-cores ``lo..hi-1`` as one array ``[r_lo, I, J, r_hi]``, raw in ``weight``."""
    if hi - lo == 1:
        return cores[lo]
    mid = (lo + hi) // 2
    left = merge(cores, lo, mid, formats, flags)
    right = merge(cores, mid, hi, formats, flags)
    a, i, j, b = left.shape
    _, i2, j2, c = right.shape
    weight, out = formats.weight, np.empty((a * i * j, i2 * j2 * c), word_type(formats.weight))
    if contract(left.reshape(-1, b), right.reshape(b, -1), weight.frac_bits, weight, out):
        flags.value |= Saturation.MERGE
    out = out.reshape(a, i, j, i2, j2, c).swapaxes(2, 3)
    return np.ascontiguousarray(out).reshape(a, i * i2, j * j2, c)


def merge_groups(
    part: TTLayer, groups: tuple[int, ...], formats: Formats, flags: Flags
) -> list[Words]:
    """Every group of the forward pass as one array ``[a, i, j, b]``."""
    ends = np.cumsum(groups)
    return [
        merge(part.cores, int(hi - size), int(hi), formats, flags)
        for size, hi in zip(groups, ends, strict=True)
    ]


def layer_forward(
    part: TTLayer, merged: Sequence[Words], x: Words, formats: Formats, flags: Flags
) -> Words:
    """One layer of the forward pass, before the activation.

    Parameters
    ----------
    part : TTLayer
        Its arrays are words.
    merged : sequence
        Of :func:`merge_groups`.
    x : ``[n_inputs, batch]``
        Raw in ``part.source``.

    Returns
    -------
    ``[n_outputs, batch]``
        Raw in ``part.target``.
    """
    (left, batch), source = x.shape, part.source
    v, done = x, 1  # [J, I_done, (j, b), batch]: the terms of a sum lie side by side
    for n in range(len(merged) - 1, 0, -1):
        a, i, j, b = merged[n].shape
        left, next_j = left // j, merged[n - 1].shape[2]
        out = np.empty((left // next_j, i, done, next_j, a, batch), word_type(formats.tt))
        w, v = merged[n].reshape(a * i, j * b), v.reshape(left, done, j * b, batch)
        results = out.transpose(0, 3, 2, 4, 1, 5)  # [J, j, I_done, a, i, batch]
        if contract(w, v, formats.lane_shift(source, formats.tt), formats.tt, results):
            flags.value |= Saturation.SCRATCH
        v, source, done = out, formats.tt, done * i
    a, i, j, b = merged[0].shape
    bias = part.bias
    if bias is not None:
        bias = bias.reshape(i, done).T.astype(np.int64) << source.frac_bits
    y = np.empty((i, done, batch), word_type(part.target))
    w, v = merged[0].reshape(i, j * b), v.reshape(done, j * b, batch)
    shift = formats.lane_shift(source, part.target)
    if contract(w, v, shift, part.target, y.swapaxes(0, 1), bias):
        flags.value |= part.kind
    return y.reshape(-1, batch)
