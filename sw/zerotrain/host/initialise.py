"""Initial parameters of a network."""

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.mixing import uniform
from zerotrain.spec.activations import ACTIVATIONS
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network, ParameterBlock

__all__ = ["initial_parameters"]

#: Variance of uniform numbers of -1 to 1.
_UNIFORM = 1 / 3
#: Of the first layer of a network of sines: inputs are not about 0, and sines should not wrap.
_FIRST = 1 / 4


def initial_parameters(network: Network, formats: Formats, *key: int) -> NDArray[np.int64]:
    """Raw parameters int64[d]; ``key`` names the random stream.

    Networks of sines have TT-cores with entries of one magnitude and random signs, so that products
    of many are of one magnitude, and uniform biases of up to ``n_inputs ** -0.5``, as dense layers
    have. Others have uniform TT-cores and zero biases.

    The full matrix of a layer has the variance ``gain / n_inputs``, with the gain of its activation
    (He et al. 2015): one entry of it is a sum over ``prod(ranks)`` paths of products of one entry
    of every TT-core.
    """
    theta = np.zeros(network.n_parameters, np.int64)
    one = 1 << formats.weight.frac_bits
    blocks = _sine_blocks(network, *key) if network.sines else _uniform_blocks(network, *key)
    for block, real in blocks:
        values = np.rint(real * one).astype(np.int64)
        theta[block.slice] = np.clip(values, formats.weight.raw_min, formats.weight.raw_max)
    return theta


_Blocks = Iterator[tuple[ParameterBlock, NDArray[np.float64]]]


def _uniform_blocks(network: Network, *key: int) -> _Blocks:
    for index, block in enumerate(network.blocks()):
        if block.tt_core is None:
            continue
        layer = network.layers[block.layer]
        variance = ACTIVATIONS[layer.activation].gain / layer.n_inputs / prod(layer.ranks)
        spread = (3.0 * variance ** (1 / layer.n_tt_cores)) ** 0.5
        yield block, uniform(block.size, *key, index) * spread


def _sine_blocks(network: Network, *key: int) -> _Blocks:
    for index, block in enumerate(network.blocks()):
        layer, values = network.layers[block.layer], uniform(block.size, *key, index)
        if block.tt_core is None or layer.n_tt_cores == 1:
            yield block, values * layer.n_inputs**-0.5
            continue
        variance = _UNIFORM / layer.n_inputs / prod(layer.ranks)
        variance *= 1.0 if block.layer else _FIRST
        yield block, np.where(values < 0, -1.0, 1.0) * variance ** (0.5 / layer.n_tt_cores)
