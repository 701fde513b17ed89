"""Tensor-train layers: merged TT-cores, forward pass, partial contractions, environments.

docs/numerics.md, sections 2 to 4. Every contraction is one matrix product over reordered axes; the
shapes in the docstrings are those of the numerics, with the axes in the order that avoids copies.
Raw values are carried in the dtype that :func:`zerotrain.golden.fixed.carrier` proves exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from zerotrain.golden.fixed import Flags, Raw, carrier, shift_left
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Network
from zerotrain.spec.registers import Saturation

__all__ = [
    "Groups", "TTLayer", "activate", "check_groups", "environments", "forward", "left_partials",
    "merge", "single_groups", "unpack",
]  # fmt: skip

#: Sizes of the groups of TT-cores that are merged, from the left, one tuple per layer.
Groups = tuple[tuple[int, ...], ...]


def single_groups(network: Network) -> Groups:
    """Groups of one TT-core each: CGE's forward pass."""
    return tuple((1,) * layer.n_tt_cores for layer in network.layers)


def check_groups(network: Network, groups: Groups) -> None:
    """Raise ``ValueError`` unless every layer's groups cover its TT-cores."""
    wanted = tuple(layer.n_tt_cores for layer in network.layers)
    if tuple(sum(g) for g in groups) != wanted or any(n < 1 for g in groups for n in g):
        raise ValueError(
            f"Groups are positive and sum to the TT-cores of each layer {wanted}, got {groups}"
        )


@dataclass(frozen=True, slots=True)
class TTLayer:
    """One layer and its parameters.

    Attributes
    ----------
    layer : Layer
        Modes, ranks, activation.
    cores : sequence of ``[..., r_{k-1}, m_k, n_k, r_k]``
        TT-cores, raw in ``weight``. Leading axes are evaluations.
    bias : ``[..., n_outputs]`` or None
        Raw in ``weight``.
    source : QFormat
        Format of the layer's input: ``input`` for the first layer, else ``preact``.
    target : QFormat
        Format of its output: ``logit`` for the last layer, else ``preact``.
    kind : Saturation
        Flag of its output.
    """

    layer: Layer
    cores: Sequence[Raw]
    bias: Raw | None
    source: QFormat
    target: QFormat
    kind: Saturation


def unpack(network: Network, formats: Formats, theta: Raw) -> list[TTLayer]:
    """Cut parameter vectors ``[..., d]`` into the network's layers."""
    theta = theta.astype(carrier(network, formats))
    arrays = {
        (b.layer, b.tt_core): theta[..., b.slice].reshape(*theta.shape[:-1], *b.shape)
        for b in network.blocks()
    }
    last = len(network.layers) - 1
    return [
        TTLayer(
            layer,
            [arrays[n, k] for k in range(layer.n_tt_cores)],
            arrays.get((n, None)),
            formats.preact if n else formats.input,
            formats.logit if n == last else formats.preact,
            Saturation.LOGIT if n == last else Saturation.PREACT,
        )
        for n, layer in enumerate(network.layers)
    ]


def merge(cores: Sequence[Raw], lo: int, hi: int, formats: Formats, flags: Flags) -> Raw:
    """TT-cores ``lo..hi-1`` as one array ``[..., r_lo, I, J, r_hi]``, raw in ``weight``."""
    if hi - lo == 1:
        return cores[lo]
    mid = (lo + hi) // 2
    left = merge(cores, lo, mid, formats, flags)
    right = merge(cores, mid, hi, formats, flags)
    *lead, a, i, j, b = left.shape
    _, i2, j2, c = right.shape[-4:]
    acc = left.reshape(*lead, a * i * j, b) @ right.reshape(*lead, b, i2 * j2 * c)
    weight = formats.weight
    out = flags.requantize(acc, weight.frac_bits, weight.width, Saturation.MERGE)
    out = out.reshape(*lead, a, i, j, i2, j2, c).swapaxes(-4, -3)
    return out.reshape(*lead, a, i * i2, j * j2, c)


def activate(y: Raw, activation: Activation) -> Raw:
    """The activation of pre-activations, in the same format."""
    return np.maximum(y, 0) if activation == Activation.RELU else y


def _apply_group(merged: Raw, v: Raw, done: tuple[int, ...]) -> Raw:
    """``V'[J_rest, (i, I_done), a] = sum_{j,b} M[a,i,j,b] * V[(J_rest, j), I_done, b]``, exact.

    Parameters
    ----------
    merged : ``[..., a, i, j, b]``
    v : ``[..., batch, J, *done, b]``
        May lack the leading axes of ``merged``: the input is common to all evaluations.
    done : tuple of int
        Output modes contracted so far, left to right. They stay separate axes so that reordering
        them costs one copy per contraction, not two.

    Returns
    -------
    ``[..., batch, J_rest, *done, i, a]``, contiguous
    """
    a, i, j, b = merged.shape[-4:]
    lead, batch = v.shape[: -3 - len(done)], v.shape[-3 - len(done)]
    v = v.reshape(*lead, batch, -1, j, *done, b)
    rest = v.shape[-3 - len(done)]
    rows = np.moveaxis(v, -2 - len(done), -2).reshape(*lead, batch * rest * prod(done), j * b)
    # [a, i, j, b] -> [(j, b), (i, a)]
    columns = np.moveaxis(merged, (-2, -1), (-4, -3)).swapaxes(-1, -2)
    acc = rows @ columns.reshape(*merged.shape[:-4], j * b, i * a)
    return acc.reshape(*acc.shape[:-2], batch, rest, *done, i, a)


def layer_forward(
    part: TTLayer, groups: tuple[int, ...], x: Raw, formats: Formats, flags: Flags
) -> tuple[Raw, list[Raw]]:
    """One layer of the forward pass, before the activation.

    Parameters
    ----------
    x : ``[..., batch, n_inputs]``
        Raw in ``part.source``.

    Returns
    -------
    y : ``[..., batch, n_outputs]``
        Raw in ``part.target``.
    right_partials : list of ``[..., batch, J, *I modes, r]``
        V before each group, leftmost group first. With groups of one: ``R_0 .. R_{d-1}``.
    """
    merged, hi = [], part.layer.n_tt_cores
    for size in reversed(groups):
        merged.append(merge(part.cores, hi - size, hi, formats, flags))
        hi -= size
    v, source = x[..., None], part.source
    done: tuple[int, ...] = ()
    partials = []
    for index, m in enumerate(merged):
        partials.append(v)
        acc = _apply_group(m, v, done)
        if index < len(merged) - 1:
            shift = formats.lane_shift(source, formats.tt)
            v = flags.requantize(acc, shift, formats.tt.width, Saturation.SCRATCH)
            v = np.moveaxis(v, -2, -2 - len(done))
            done, source = (m.shape[-3], *done), formats.tt
    # Here J_rest and a are 1: [..., batch, 1, *done, i, 1].
    acc = np.moveaxis(acc, -2, -2 - len(done))
    acc = acc.reshape(*acc.shape[: -3 - len(done)], part.layer.n_outputs)
    if part.bias is not None:
        acc = acc + shift_left(part.bias, source.frac_bits)[..., None, :]
    shift = formats.lane_shift(source, part.target)
    return flags.requantize(acc, shift, part.target.width, part.kind), partials[::-1]


def forward(
    network: Network, formats: Formats, groups: Groups, theta: Raw, x: Raw, flags: Flags
) -> Raw:
    """Logits of a batch, for one or many parameter vectors.

    Parameters
    ----------
    groups : tuple of tuple of int
        Which TT-cores of each layer are merged; part of what defines the numbers.
    theta : int64[..., d]
        Parameters, raw in ``weight``.
    x : int64[batch, n_inputs]
        Samples, raw in ``input``.

    Returns
    -------
    int64[..., batch, n_outputs]
        Raw in ``logit``.
    """
    y = x.astype(carrier(network, formats))
    for n, part in enumerate(unpack(network, formats, theta)):
        y, _ = layer_forward(part, groups[n], y, formats, flags)
        y = activate(y, part.layer.activation)
    return y.astype(np.int64)


def _left_step(core: Raw, left: Raw) -> Raw:
    """``sum_{a,j} G_k[a,i,j,b] * l_k[I_<k, a, (j, J_>k)]``, exact.

    Parameters
    ----------
    core : ``[a, i, j, b]``
    left : ``[I_<k, a, J_>=k, batch]``

    Returns
    -------
    ``[(I_<k, i), b, J_>k, batch]``
    """
    a, i, j, b = core.shape
    outer, _, inner, batch = left.shape
    v = left.reshape(outer, a, j, (inner // j) * batch)
    w = core.transpose(1, 3, 0, 2).reshape(i * b, a * j)
    acc = w @ v.reshape(outer, a * j, -1)
    return acc.reshape(outer * i, b, inner // j, batch)


def left_partials(part: TTLayer, x: Raw, formats: Formats, flags: Flags) -> list[Raw]:
    """``l_0 .. l_{d-2}`` (at least ``l_0``), each ``[I_<k, a, J_>=k, batch]``.

    ``l_0`` is the layer's input, the others are raw in ``tt``.

    Parameters
    ----------
    x : ``[batch, n_inputs]``
        Raw in ``part.source``.
    """
    out = [np.ascontiguousarray(x.T)[None, None]]
    source = part.source
    for core in part.cores[: max(0, part.layer.n_tt_cores - 2)]:
        acc = _left_step(core, out[-1])
        shift = formats.lane_shift(source, formats.tt)
        out.append(flags.requantize(acc, shift, formats.tt.width, Saturation.SCRATCH))
        source = formats.tt
    return out


def environments(
    part: TTLayer, x: Raw, right_partials: Sequence[Raw], formats: Formats, flags: Flags
) -> list[Raw]:
    """``mu * E_k`` of every TT-core of a layer, raw in ``delta``.

    Parameters
    ----------
    x : ``[batch, n_inputs]``
        The layer's input, raw in ``part.source``.
    right_partials : sequence
        Of :func:`layer_forward` with groups of one.

    Returns
    -------
    list of ``[I_<k, I_>k, a, j_k, b, batch]``
        Views; the batch is contiguous.
    """
    d = part.layer.n_tt_cores
    lefts = left_partials(part, x, formats, flags)
    out = []
    for k, core in enumerate(part.cores):
        a, _, j, b = core.shape
        if 2 * k < d:
            source = part.source if k == d - 1 else formats.tt
            # R_k as [J_<k, (j, I_>k, b, batch)]
            right = np.moveaxis(right_partials[k], 0, -1)
            right = right.reshape(prod(part.layer.in_modes[:k]), -1)
            if k == 0:
                acc = shift_left(right, formats.weight.frac_bits)
            else:
                w = merge(part.cores, 0, k, formats, flags)  # [1, I_<k, J_<k, a]
                acc = w[0].swapaxes(1, 2).reshape(-1, w.shape[2]) @ right
            acc = acc.reshape(-1, a, j, prod(part.layer.out_modes[k + 1 :]), b, x.shape[0])
            order = (0, 3, 1, 2, 4, 5)
        elif k < d - 1:
            source = formats.tt
            w = merge(part.cores, k + 1, d, formats, flags)  # [b, I_>k, J_>k, 1]
            outer, _, _, batch = lefts[k].shape
            v = lefts[k].reshape(outer * a * j, w.shape[2], batch)
            acc = w.reshape(-1, w.shape[2]) @ v
            acc = acc.reshape(outer, a, j, b, w.shape[1], batch)
            order = (0, 4, 1, 2, 3, 5)
        else:
            source = part.source if d == 2 else formats.tt
            acc = _left_step(part.cores[d - 2], lefts[d - 2])  # [I_<k, a, j_k, batch]
            acc = acc[:, None, :, :, None, :]
            order = (0, 1, 2, 3, 4, 5)
        shift = formats.delta_shift(source)
        scaled = flags.requantize(acc, shift, formats.delta.width, Saturation.SCRATCH)
        out.append(scaled.transpose(order))
    return out
