"""Tensor-train layers: merged TT-cores, forward pass, partial contractions, environments.

docs/numerics.md, sections 2 to 4. Every contraction is one matrix product over reordered axes; the
shapes in the docstrings are those of the numerics, with the axes in the order that avoids copies.
Raw values are carried in the dtype that :func:`zerotrain.golden.fixed.carrier` proves exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from zerotrain.golden.activations import activate
from zerotrain.golden.fixed import Flags, Raw, carrier, shift_left
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Layer, Network
from zerotrain.spec.registers import Saturation

__all__ = [
    "Groups", "TTLayer", "check_groups", "difference_weights", "environments",
    "forward", "layer_forward", "merge", "unpack",
]  # fmt: skip

#: Sizes of the groups of TT-cores that are merged, from the left, one tuple per layer.
Groups = tuple[tuple[int, ...], ...]


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
        Format of the layer's input.
    target : QFormat
        Format of its output, before the activation.
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
        (b.layer, b.tt_core): np.ascontiguousarray(b.natural(theta)) for b in network.blocks()
    }
    last = len(network.layers) - 1
    return [
        TTLayer(
            layer,
            [arrays[n, k] for k in range(layer.n_tt_cores)],
            arrays.get((n, None)),
            network.source(n, formats),
            network.target(n, formats),
            Saturation.LOGIT if n == last else Saturation.PREACT,
        )
        for n, layer in enumerate(network.layers)
    ]


def merge(cores: Sequence[Raw], lo: int, hi: int, formats: Formats, flags: Flags) -> Raw:
    """TT-cores ``lo..hi-1`` as one array ``[..., r_lo, I, J, r_hi]``, raw in ``weight``."""
    if hi - lo == 1:
        return cores[lo]
    acc = _merged_sums(cores, lo, hi, formats, flags)
    weight = formats.weight
    return flags.requantize(acc, weight.frac_bits, weight.width, Saturation.MERGE)


def _merged_sums(cores: Sequence[Raw], lo: int, hi: int, formats: Formats, flags: Flags) -> Raw:
    """The exact sums of :func:`merge`, for several TT-cores."""
    mid = (lo + hi) // 2
    left = merge(cores, lo, mid, formats, flags)
    right = merge(cores, mid, hi, formats, flags)
    *lead, a, i, j, b = left.shape
    _, i2, j2, c = right.shape[-4:]
    acc = left.reshape(*lead, a * i * j, b) @ right.reshape(*lead, b, i2 * j2 * c)
    acc = acc.reshape(*lead, a, i, j, i2, j2, c).swapaxes(-4, -3)
    return acc.reshape(*lead, a, i * i2, j * j2, c)


def difference_weights(cores: Sequence[Raw], formats: Formats, flags: Flags) -> Raw:
    """What the weights of every output have more than those of the first.

    Parameters
    ----------
    cores : sequence of ``[a, i, j, b]``
        Two or more: all TT-cores of a layer, raw in ``weight``.

    Returns
    -------
    ``[n_outputs, n_inputs]``
        Raw in ``weight``; the first row is zero.
    """
    acc = _merged_sums(cores, 0, len(cores), formats, flags)[0, :, :, 0]
    weight = formats.weight
    return flags.requantize(acc - acc[0], weight.frac_bits, weight.width, Saturation.MERGE)


def _apply_group(merged: Raw, v: Raw) -> Raw:
    """``V'[J_rest, (i, I_done), a] = sum_{j,b} M[a,i,j,b] * V[(J_rest, j), I_done, b]``, exact.

    With the rank between the input modes that are left and the output modes that are done, and the
    batch last, every contraction is a product of matrices that lie in memory as they are needed.

    Parameters
    ----------
    merged : ``[..., a, i, j, b]``
    v : ``[..., J, b, I_done, batch]``
        May lack the leading axes of ``merged``: the input is common to all evaluations.

    Returns
    -------
    ``[..., J_rest, a, (i, I_done), batch]``
    """
    *lead, a, i, j, b = merged.shape
    *v_lead, inputs, _, done, batch = v.shape
    matrix = merged.reshape(*lead, 1, a * i, j * b)
    acc = matrix @ v.reshape(*v_lead, inputs // j, j * b, done * batch)
    return acc.reshape(*lead, inputs // j, a, i * done, batch)


def layer_forward(
    part: TTLayer, groups: tuple[int, ...], x: Raw, formats: Formats, flags: Flags
) -> Raw:
    """One layer of the forward pass, before the activation.

    Parameters
    ----------
    x : ``[..., n_inputs, batch]``
        Raw in ``part.source``.

    Returns
    -------
    ``[..., n_outputs, batch]``
        Raw in ``part.target``.
    """
    v, source, hi = x[..., :, None, None, :], part.source, part.layer.n_tt_cores
    for size in reversed(groups):
        acc = _apply_group(merge(part.cores, hi - size, hi, formats, flags), v)
        hi -= size
        if hi:
            v = _partial(acc, source, formats, flags)
            source = formats.tt
    acc = acc.reshape(*acc.shape[:-4], part.layer.n_outputs, acc.shape[-1])
    if part.bias is not None:
        acc += shift_left(part.bias, source.frac_bits)[..., None]
    shift = formats.lane_shift(source, part.target)
    return flags.requantize(acc, shift, part.target.width, part.kind)


def _partial(acc: Raw, source: QFormat, formats: Formats, flags: Flags) -> Raw:
    """An exact sum over values in format ``source``, requantised to ``tt``."""
    shift = formats.lane_shift(source, formats.tt)
    return flags.requantize(acc, shift, formats.tt.width, Saturation.SCRATCH)


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
    y = np.ascontiguousarray(x.T).astype(carrier(network, formats))
    for n, part in enumerate(unpack(network, formats, theta)):
        y = layer_forward(part, groups[n], y, formats, flags)
        y = activate(y, part.layer.activation, formats)
    return y.astype(np.int64).swapaxes(-1, -2)


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


def environments(part: TTLayer, x: Raw, formats: Formats, flags: Flags) -> list[Raw]:
    """``mu * E_k`` of every TT-core of a layer, raw in ``delta``.

    Parameters
    ----------
    x : ``[n_inputs, batch]``
        The layer's input, raw in ``part.source``.

    Returns
    -------
    list of ``[I_<k, I_>k, a, j_k, b, batch]``
        Views; the batch is contiguous.
    """
    if part.layer.n_tt_cores == 1:
        one = shift_left(x, formats.weight.frac_bits)
        sums = [(one[None, None, :, None, None], part.source)]
    else:
        sums = [*_left_half(part, x, formats, flags), *_right_half(part, x, formats, flags)]
    out = []
    for acc, source in sums:
        shift = formats.delta_shift(source)
        scaled = flags.requantize(acc, shift, formats.delta.width, Saturation.SCRATCH)
        # [I_<k, a, j_k, b, I_>k, batch]
        out.append(scaled.transpose(0, 4, 1, 2, 3, 5))
    return out


#: The exact sum of an environment ``[I_<k, a, j_k, b, I_>k, batch]``, and the format of what is
#: summed.
_Sum = tuple[Raw, QFormat]


def _left_half(part: TTLayer, x: Raw, formats: Formats, flags: Flags) -> list[_Sum]:
    """``E_0 .. E_{h-1}``, from the right partials. Needs ``d >= 2``."""
    layer, h = part.layer, part.layer.middle
    source = part.source
    half = merge(part.cores, h, layer.n_tt_cores, formats, flags)
    acc = _apply_group(half, x[:, None, None])  # R_{h-1}[J_<h, b, I_>=h, batch]
    out: list[_Sum] = []
    for k in range(h - 1, 0, -1):
        right = _partial(acc, source, formats, flags)
        source = formats.tt
        before, j = prod(layer.in_modes[:k]), layer.in_modes[k]
        w = merge(part.cores, 0, k, formats, flags)  # [1, I_<k, J_<k, a]
        total = w[0].swapaxes(1, 2).reshape(-1, before) @ right.reshape(before, -1)
        out.append((total.reshape(-1, w.shape[3], j, *right.shape[1:]), source))
        acc = _apply_group(part.cores[k], right)
    out.append((acc[None, None], source))
    return out[::-1]


def _right_half(part: TTLayer, x: Raw, formats: Formats, flags: Flags) -> list[_Sum]:
    """``E_h .. E_{d-1}``, from the left partials. Needs ``d >= 2``."""
    layer, h, d = part.layer, part.layer.middle, part.layer.n_tt_cores
    source = part.source
    half = merge(part.cores, 0, h, formats, flags)
    acc = _left_step(half, x[None, None])  # l_h[I_<h, b, J_>=h, batch]
    out: list[_Sum] = []
    for k in range(h, d - 1):
        left = _partial(acc, source, formats, flags)
        source = formats.tt
        outer, a, _, batch = left.shape
        w = merge(part.cores, k + 1, d, formats, flags)  # [b, I_>k, J_>k, 1]
        b, after, inputs, _ = w.shape
        total = w.reshape(b * after, inputs) @ left.reshape(-1, inputs, batch)
        out.append((total.reshape(outer, a, layer.in_modes[k], b, after, batch), source))
        acc = _left_step(part.cores[k], left)
    out.append((acc[:, :, :, None, None], source))
    return out
