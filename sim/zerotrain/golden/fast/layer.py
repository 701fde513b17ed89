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

__all__ = ["layer_forward", "layers_of", "merge", "noted"]

Ints = NDArray[np.int64]
Words = NDArray[np.int32]


def layers_of(model: Model, theta: Ints) -> list[TTLayer]:
    """The network's layers at parameters ``theta [d]``, their arrays int32."""
    found = unpack(model.network, model.formats, theta)
    return [
        replace(
            part,
            cores=[np.ascontiguousarray(core, np.int32) for core in part.cores],
            bias=None if part.bias is None else part.bias.astype(np.int32),
        )
        for part in found
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


def layer_forward(
    part: TTLayer, groups: tuple[int, ...], x: Words, formats: Formats, flags: Flags
) -> Words:
    """One layer of the forward pass, before the activation.

    Parameters
    ----------
    part : TTLayer
        Its arrays are int32.
    x : int32[n_inputs, batch]
        Raw in ``part.source``.

    Returns
    -------
    int32[n_outputs, batch]
        Raw in ``part.target``.
    """
    batch, source, hi = x.shape[-1], part.source, part.layer.n_tt_cores
    v, done = x, 1  # [J, b, I_done, batch], flat
    for size in reversed(groups):
        merged = merge(part.cores, hi - size, hi, formats, flags)
        a, i, j, b = merged.shape
        w, v = merged.reshape(a * i, j * b), v.reshape(-1, j * b, done * batch)
        hi -= size
        if hi:
            found = contract(w, v, formats.lane_shift(source, formats.tt), formats.tt)
            v, source, done = noted(found, Saturation.SCRATCH, flags), formats.tt, done * i
    bias = part.bias
    if bias is not None:
        bias = bias.reshape(-1, done).astype(np.int64) << source.frac_bits
    found = contract(w, v, formats.lane_shift(source, part.target), part.target, bias=bias)
    return noted(found, part.kind, flags).reshape(-1, batch)
