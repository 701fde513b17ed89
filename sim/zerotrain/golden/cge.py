"""All losses of a coordinate-wise step from environments (docs/numerics.md, section 4).

Raising one entry of a TT-core changes its layer's pre-activation on one slice of outputs, by ``mu``
times the entry's environment. The activation, the rest of the network and the loss are evaluated in
full for every entry; only the work that entries have in common is shared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.activations import activate, difference
from zerotrain.golden.fixed import Flags, Raw, carrier, shift_left
from zerotrain.golden.tt import (
    Groups,
    TTLayer,
    difference_weights,
    environments,
    layer_forward,
    merge,
    unpack,
)
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network
from zerotrain.spec.registers import Saturation

__all__ = ["Differences", "ForwardLayer", "cge_forward", "lifting_weights", "output_differences"]

Ints = NDArray[np.int64]

#: Words of the largest array of a block: enough to amortise NumPy calls, small enough to cache.
_BLOCK_WORDS = 1 << 17


@dataclass(frozen=True, slots=True)
class ForwardLayer:
    """A layer after CGE's forward pass.

    Attributes
    ----------
    part : TTLayer
        Its parameters.
    x : ``[n_inputs, batch]``
        Its input, raw in ``part.source``.
    y : ``[n_outputs, batch]``
        Its pre-activation or, in the last layer, the logits.
    """

    part: TTLayer
    x: Raw
    y: Raw


@dataclass(frozen=True, slots=True)
class Differences:
    """Output differences of a block of CGE evaluations.

    Attributes
    ----------
    parameters : int64[i, n]
        Indices p; the evaluations are ``1 + p``.
    dz : int64[i, n_outputs, n, batch]
        Raw in ``dlogit``, zero where a parameter does not touch an output.
    """

    parameters: Ints
    dz: Ints


@dataclass(frozen=True, slots=True)
class _Block:
    """Pre-activation differences of entries that share their slices of outputs.

    Attributes
    ----------
    parameters : int64[i, n]
        Indices p.
    outputs : int64[i, outputs]
        The slice that the n entries of each i touch.
    dy : ``[outputs, n, batch]``
        By how much, raw in ``delta``: for every i the same.
    """

    parameters: Ints
    outputs: Ints
    dy: Raw


def cge_forward(
    network: Network, formats: Formats, groups: Groups, theta: Raw, x: Raw, flags: Flags
) -> list[ForwardLayer]:
    """The unperturbed forward pass, with all that CGE reads of it."""
    out: list[ForwardLayer] = []
    v = np.ascontiguousarray(x.T).astype(carrier(network, formats))
    for part, sizes in zip(unpack(network, formats, theta), groups, strict=True):
        y = layer_forward(part, sizes, v, formats, flags)
        out.append(ForwardLayer(part, v, y))
        v = activate(y, part.layer.activation, formats)
    return out


def output_differences(
    network: Network, formats: Formats, layers: list[ForwardLayer], flags: Flags
) -> Iterator[Differences]:
    """``dz`` of every parameter, block by block.

    Parameters
    ----------
    layers : list
        Of :func:`cge_forward`.
    """
    last = len(layers) - 1
    lifts: list[_Lift] = []
    for n in range(last):
        # Once per step.
        w = lifting_weights(network, n + 1, layers[n + 1].part.cores, formats, flags)
        lifts.append(_Lift(layers[n], w, formats, to_logits=n + 1 == last))
    for n, layer in enumerate(layers):
        # Layers above the next one see all their outputs change.
        widest = max((len(upper.y) for upper in layers[n + 1 : last]), default=1)
        for block in _layer_blocks(network, formats, n, layer, widest, flags):
            if n == last:
                dz = _to_logits(block, len(layer.y), formats, flags)
            else:
                dz = lifts[n](block.dy[None], block.outputs, flags)
                for lift in lifts[n + 1 :]:
                    dz = lift(dz, None, flags)
            yield Differences(block.parameters, dz.astype(np.int64))


def lifting_weights(
    network: Network, n: int, cores: Sequence[Raw], formats: Formats, flags: Flags
) -> Raw:
    """What layer ``n`` multiplies differences of its inputs by: ``[n_outputs, n_inputs]``."""
    if n == len(network.layers) - 1 and network.relative_logits:
        return difference_weights(cores, formats, flags)
    return merge(cores, 0, len(cores), formats, flags)[0, :, :, 0]


def _to_logits(block: _Block, n_outputs: int, formats: Formats, flags: Flags) -> Raw:
    """Last layer: pre-activation differences are those of the outputs, in format ``dlogit``."""
    acc = shift_left(block.dy, formats.weight.frac_bits)
    shift = formats.lane_shift(formats.delta, formats.dlogit)
    scaled = flags.requantize(acc, shift, formats.logit.width, Saturation.LOGIT)
    dz = np.zeros((len(block.outputs), n_outputs, *scaled.shape[1:]), scaled.dtype)
    dz[np.arange(len(dz))[:, None], block.outputs] = scaled
    return dz


class _Lift:
    """Carries differences of one hidden layer's pre-activation to those of the layer above.

    Parameters
    ----------
    layer : ForwardLayer
        The hidden layer.
    w : ``[n_outputs above, n_outputs]``
        :func:`lifting_weights` of the layer above.
    to_logits : bool
        Whether that is the last layer.
    """

    def __init__(self, layer: ForwardLayer, w: Raw, formats: Formats, to_logits: bool) -> None:
        self.w = w
        self.activation = layer.part.layer.activation
        self.formats = formats
        self.y = shift_left(layer.y, formats.delta.frac_bits - formats.preact.frac_bits)
        self.target = formats.dlogit if to_logits else formats.delta
        self.width = formats.logit.width if to_logits else formats.delta.width
        self.kind = Saturation.LOGIT if to_logits else Saturation.SCRATCH
        self.shift = formats.lane_shift(formats.delta, self.target)

    def __call__(self, dy: Raw, outputs: Ints | None, flags: Flags) -> Raw:
        """Differences above.

        Parameters
        ----------
        dy : ``[i or 1, outputs, n, batch]``
        outputs : int64[i, outputs], optional
            Which of this layer's outputs change; by default all.

        Returns
        -------
        ``[i, n_outputs above, n, batch]``
        """
        n, batch = dy.shape[-2:]
        at = slice(None) if outputs is None else outputs
        w = self.w[:, at] if outputs is None else np.ascontiguousarray(self.w[:, at].swapaxes(0, 1))
        dh = difference(self.y[at][..., None, :], dy, self.activation, self.formats)
        acc = w @ dh.reshape(*dh.shape[:2], n * batch)
        acc = acc.reshape(*acc.shape[:2], n, batch)
        return flags.requantize(acc, self.shift, self.width, self.kind)


def _layer_blocks(
    network: Network, formats: Formats, n: int, layer: ForwardLayer, widest: int, flags: Flags
) -> Iterator[_Block]:
    """Pre-activation differences of every parameter of layer ``n``, in bounded blocks.

    Parameters
    ----------
    widest : int
        Outputs of the widest hidden layer above, where blocks grow to all outputs.
    """
    spec, batch = layer.part.layer, layer.x.shape[-1]
    found = environments(layer.part, layer.x, formats, flags)
    for k, environment in enumerate(found):
        outer, inner, n_a, j, b, _ = environment.shape
        indices: Ints = network.block(n, k).natural(np.arange(network.n_parameters))
        indices = indices.swapaxes(0, 1)  # [i, a, j, b]
        outputs: Ints = np.arange(spec.n_outputs).reshape(outer, -1, inner)
        outputs = outputs.swapaxes(0, 1).reshape(-1, outer * inner)  # [i, (I_<k, I_>k)]
        per_a = max(outer * inner, widest) * j * b * batch
        for a in _chunks(n_a, per_a):
            dy = environment[:, :, a].reshape(outer * inner, -1, batch)
            for i in _chunks(len(outputs), per_a * (a.stop - a.start)):
                yield _Block(indices[i, a].reshape(i.stop - i.start, -1), outputs[i], dy)
    if layer.part.bias is not None:
        offset = network.block(n, None).offset
        mu = 1 << (formats.delta.frac_bits - formats.cge_mu_shift)
        dy = np.full((1, 1, batch), mu, layer.x.dtype)
        outputs = np.arange(spec.n_outputs)[:, None]
        for i in _chunks(len(outputs), widest * batch):
            yield _Block(offset + outputs[i], outputs[i], dy)


def _chunks(count: int, size: int) -> Iterator[slice]:
    """``0..count-1`` in runs of items of ``size`` words each that together fit a block."""
    step = max(1, _BLOCK_WORDS // size)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
