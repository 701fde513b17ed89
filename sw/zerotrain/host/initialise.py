"""Initial parameters of a network."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.mixing import uniform
from zerotrain.spec.activations import ACTIVATIONS
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network

__all__ = ["initial_parameters"]


def initial_parameters(network: Network, formats: Formats, *key: int) -> NDArray[np.int64]:
    """Raw parameters int64[d]: uniform TT-cores, zero biases.

    ``key`` names the random stream.

    The full matrix of a layer has the variance ``gain / n_inputs``, with the gain of its activation
    (He et al. 2015): one entry of it is a sum over ``prod(ranks)`` paths of products of one entry
    of every TT-core.
    """
    theta = np.zeros(network.n_parameters, np.int64)
    one = 1 << formats.weight.frac_bits
    for index, block in enumerate(network.blocks()):
        if block.tt_core is None:
            continue
        layer = network.layers[block.layer]
        variance = ACTIVATIONS[layer.activation].gain / layer.n_inputs / prod(layer.ranks)
        spread = (3.0 * variance ** (1 / layer.n_tt_cores)) ** 0.5
        values = np.rint(uniform(block.size, *key, index) * spread * one).astype(np.int64)
        theta[block.slice] = np.clip(values, formats.weight.raw_min, formats.weight.raw_max)
    return theta
