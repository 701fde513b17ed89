"""Twin of :mod:`zerotrain.golden.tt`: merged TT-cores and the forward pass of one evaluation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.contract import contract
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model
from zerotrain.golden.tt import TTLayer, unpack
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Saturation

__all__ = ["layer_forward", "layers_of", "merge", "merge_groups", "noted"]

Ints = NDArray[np.int64]
Words = NDArray[np.int32]


def layers_of(model: Model, theta: Ints) -> list[list[TTLayer]]:
    """The network's layers at each of the parameter vectors ``theta [E, d]``, arrays int32."""
    found = [
        replace(
            part,
            cores=[np.ascontiguousarray(core, np.int32) for core in part.cores],
            bias=None if part.bias is None else part.bias.astype(np.int32),
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


def noted(result: tuple[Words, bool], kind: Saturation, flags: Flags) -> Words:
    """The words, with a clamp noted under ``kind``."""
    words, clamped = result
    if clamped:
        flags.value |= kind
    return words


def merge(cores: Sequence[Words], lo: int, hi: int, formats: Formats, flags: Flags) -> Words:
    """TT-cores ``lo..hi-1`` as one array ``[r_lo, I, J, r_hi]``, raw in ``weight``."""
    if hi - lo == 1:
        return cores[lo]
    mid = (lo + hi) // 2
    left = merge(cores, lo, mid, formats, flags)
    right = merge(cores, mid, hi, formats, flags)
    a, i, j, b = left.shape
    _, i2, j2, c = right.shape
    weight = formats.weight
    found = contract(left.reshape(-1, b), right.reshape(1, b, -1), weight.frac_bits, weight)
    out = noted(found, Saturation.MERGE, flags).reshape(a, i, j, i2, j2, c)
    return np.ascontiguousarray(out.swapaxes(2, 3)).reshape(a, i * i2, j * j2, c)


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
        Its arrays are int32.
    merged : sequence
        Of :func:`merge_groups`.
    x : int32[n_inputs, batch]
        Raw in ``part.source``.

    Returns
    -------
    int32[n_outputs, batch]
        Raw in ``part.target``.
    """
    batch, source = x.shape[-1], part.source
    v, done = x, 1  # [J, b, I_done, batch], flat
    for left in range(len(merged) - 1, -1, -1):
        a, i, j, b = merged[left].shape
        w, v = merged[left].reshape(a * i, j * b), v.reshape(-1, j * b, done * batch)
        if left:
            found = contract(w, v, formats.lane_shift(source, formats.tt), formats.tt)
            v, source, done = noted(found, Saturation.SCRATCH, flags), formats.tt, done * i
    bias = part.bias
    if bias is not None:
        bias = bias.reshape(-1, done).astype(np.int64) << source.frac_bits
    found = contract(w, v, formats.lane_shift(source, part.target), part.target, bias=bias)
    return noted(found, part.kind, flags).reshape(-1, batch)
