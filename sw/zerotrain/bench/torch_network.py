"""The same networks and steps in PyTorch, floating point: what a PyTorch user would write.

Needs the optional package ``torch``; import this module only where it is installed.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from zerotrain.spec.network import Activation, Layer, Network

__all__ = ["Form", "TorchNetwork"]

Tensor = Any  # torch is not there to check types against

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    Activation.NONE: lambda x: x,
    Activation.RELU: torch.relu,
    Activation.SINE: torch.sin,
}


class Form(StrEnum):
    """How a TT layer is contracted."""

    CORES = "core by core"
    HALVES = "merged halves"
    MATRIX = "merged matrix"


class TorchNetwork:
    """A network with softmax loss as a function of its parameter vector.

    Parameters
    ----------
    network : Network
        Layers and the order of the parameters.
    form : Form
        How TT layers are contracted.
    """

    def __init__(self, network: Network, form: Form) -> None:
        self.network, self.form = network, form

    def loss(self, theta: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch: ``theta`` float[d], ``x`` float[batch, n_inputs]."""
        tensors = self._tensors(theta)
        for layer in self.network.layers:
            tt_cores = [next(tensors) for _ in range(layer.n_tt_cores)]
            x = _apply(layer, tt_cores, x, self.form)
            if layer.bias:
                x = x + next(tensors)
            x = _ACTIVATIONS[layer.activation](x)
        return cross_entropy(x, labels)

    def losses(self, thetas: Tensor, x: Tensor, labels: Tensor, *, together: bool) -> Tensor:
        """Losses float[copies] of several copies ``thetas`` float[copies, d] of the parameters.

        ``together``: all copies side by side (``torch.func.vmap``), or one after the other.
        """
        if together:
            return torch.func.vmap(self.loss, (0, None, None))(thetas, x, labels)
        return torch.stack([self.loss(theta, x, labels) for theta in thetas])

    def _tensors(self, theta: Tensor) -> Iterator[Tensor]:
        """TT-cores and biases in their natural shapes."""
        for block in self.network.blocks():
            stored = theta[block.slice].reshape([block.shape[axis] for axis in block.stored])
            yield stored.permute([block.stored.index(axis) for axis in range(len(block.shape))])


def _merge(tt_cores: list[Tensor]) -> Tensor:
    """Neighbouring TT-cores as one, ``[r_lo, I, J, r_hi]``."""
    merged = tt_cores[0]
    for tt_core in tt_cores[1:]:
        product = torch.einsum("aijb,bklc->aikjlc", merged, tt_core)
        merged = product.flatten(3, 4).flatten(1, 2)
    return merged


def _apply(layer: Layer, tt_cores: list[Tensor], x: Tensor, form: Form) -> Tensor:
    """``x`` float[batch, n_inputs] times the layer's matrix."""
    half = layer.middle
    if form == Form.MATRIX or len(tt_cores) == 1:
        return x @ _merge(tt_cores)[0, :, :, 0].T
    if form == Form.HALVES:
        tt_cores = [_merge(tt_cores[:half]), _merge(tt_cores[half:])]
    # [batch, inputs left to do, outputs done, r]
    value = x.reshape(len(x), -1, 1, 1)
    for tt_core in reversed(tt_cores):
        split = value.unflatten(1, (-1, tt_core.shape[2]))
        value = torch.einsum("aijb,zojdb->zoida", tt_core, split).flatten(2, 3)
    return value.reshape(len(x), -1)
