"""A network's parameters by layer: TT-cores and biases as arrays, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.exchange.tensor_train import full_matrix
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Layer, Network

__all__ = ["LayerParameters", "Parameters", "joined", "real"]


@dataclass(frozen=True, eq=False)
class LayerParameters:
    """Parameters of one layer.

    Attributes
    ----------
    tt_cores : tuple of ``[r_k, m_k, n_k, r_{k+1}]``
        A dense layer has one, ``[1, n_outputs, n_inputs, 1]``.
    bias : ``[n_outputs]`` or None
    """

    layer: Layer
    tt_cores: tuple[NDArray[Any], ...]
    bias: NDArray[Any] | None

    @property
    def matrix(self) -> NDArray[Any]:
        """``[n_outputs, n_inputs]``: the exact product of the TT-cores, without any rounding."""
        return full_matrix(self.tt_cores)


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters of a network, raw or real.

    Attributes
    ----------
    vector : ``[d]``
        In the chip's order (docs/numerics.md, section 2).
    """

    network: Network
    vector: NDArray[Any]

    @property
    def layers(self) -> tuple[LayerParameters, ...]:
        """Copies of the parameters, layer by layer."""
        arrays = {
            (b.layer, b.tt_core): np.ascontiguousarray(b.natural(self.vector))
            for b in self.network.blocks()
        }
        return tuple(
            LayerParameters(
                layer,
                tuple(arrays[n, k] for k in range(layer.n_tt_cores)),
                arrays.get((n, None)),
            )
            for n, layer in enumerate(self.network.layers)
        )


def real(network: Network, formats: Formats, theta: NDArray[np.int64]) -> Parameters:
    """Real values of raw parameters: exactly ``raw * 2**-frac_bits`` of the format ``weight``."""
    return Parameters(network, theta * formats.weight.resolution)


def joined(
    network: Network, arrays: Mapping[tuple[int, int | None], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The parameter vector float64[d] of TT-cores ``(layer, tt_core)`` and biases ``(layer,
    None)``, each in its natural shape."""
    vector = np.zeros(network.n_parameters)
    for block in network.blocks():
        block.natural(vector)[...] = arrays[block.layer, block.tt_core]
    return vector
