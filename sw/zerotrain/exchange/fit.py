"""Given weights as a network's raw parameters, and what that costs."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from zerotrain.exchange.given import Given, GivenLayer
from zerotrain.exchange.parameters import Parameters, joined, real
from zerotrain.exchange.tensor_train import balanced, tt_svd
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Layer, Network

__all__ = ["LayerFit", "Start", "fit"]

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class LayerFit:
    """What became of one layer's weights. Errors are Frobenius norms, relative to that of the given
    matrix.

    Attributes
    ----------
    number : int
        Of the layer, from 1 as in TOML.
    truncation : float
        What the configured ranks lose.
    rounding : float
        What the format ``weight`` then loses, clipping included.
    clipped : int
        Parameters of the layer that the format does not hold.
    size : int
        Parameters of the layer.
    """

    number: int
    truncation: float
    rounding: float
    clipped: int
    size: int

    def __str__(self) -> str:
        clipped = f", {self.clipped} of {self.size} parameters are clipped" if self.clipped else ""
        return (
            f"layer {self.number}: its ranks lose {self.truncation:.2%} of the weights, rounding "
            f"{self.rounding:.2%}{clipped}"
        )


@dataclass(frozen=True, eq=False)
class Start:
    """Parameters that a training begins with, instead of random ones.

    Attributes
    ----------
    theta : int64[d]
        Raw.
    """

    source: str
    fingerprint: str
    theta: NDArray[np.int64]
    layers: tuple[LayerFit, ...]

    def __str__(self) -> str:
        return (
            f"Begins with the weights of {self.source} (hash {self.fingerprint}): "
            f"{'; '.join(map(str, self.layers))}."
        )


def fit(weights: Given, network: Network, formats: Formats) -> Start:
    """Bring given weights into a network's TT-cores and number formats.

    A matrix becomes TT-cores by :func:`~zerotrain.exchange.tensor_train.tt_svd`, then
    :func:`~zerotrain.exchange.tensor_train.balanced`. TT-cores that have the layer's shapes already
    stay as they are, unless the format ``weight`` would clip them: an export comes back bit for
    bit. A bias that is not given is zero.

    Raises
    ------
    ValueError
        If the shapes are not those of the network.
    """
    if len(weights.layers) != len(network.layers):
        raise ValueError(
            f"{weights.source} holds {len(weights.layers)} layers "
            f"({', '.join(layer.name for layer in weights.layers)}), network {network.name} has "
            f"{len(network.layers)}"
        )
    arrays: dict[tuple[int, int | None], Reals] = {}
    for n, (given, layer) in enumerate(zip(weights.layers, network.layers, strict=True)):
        _check(weights.source, n + 1, given, layer)
        for k, tt_core in enumerate(_tt_cores(given, layer, formats.weight)):
            arrays[n, k] = tt_core
        if layer.bias:
            arrays[n, None] = np.zeros(layer.n_outputs) if given.bias is None else given.bias
    exact = joined(network, arrays)
    fmt = formats.weight
    rounded = np.rint(np.ldexp(exact, fmt.frac_bits))
    theta = np.clip(rounded, fmt.raw_min, fmt.raw_max).astype(np.int64)
    layers, owners = [], np.concatenate([np.full(b.size, b.layer) for b in network.blocks()])
    whole, chip = Parameters(network, exact), real(network, formats, theta)
    for n, given in enumerate(weights.layers):
        matrix, own = given.matrix, owners == n
        size = float(np.linalg.norm(matrix)) or 1.0
        near, on_chip = whole.layers[n].matrix, chip.layers[n].matrix
        layers.append(
            LayerFit(
                n + 1,
                float(np.linalg.norm(matrix - near)) / size,
                float(np.linalg.norm(near - on_chip)) / size,
                int((rounded != theta)[own].sum()),
                int(own.sum()),
            )
        )
    return Start(weights.source, weights.fingerprint, theta, tuple(layers))


def _check(source: str, number: int, given: GivenLayer, layer: Layer) -> None:
    rows = prod(tt_core.shape[1] for tt_core in given.tt_cores)
    columns = prod(tt_core.shape[2] for tt_core in given.tt_cores)
    wanted = (layer.n_outputs, layer.n_inputs)
    if (rows, columns) != wanted:
        turned = ": transpose it" if (columns, rows) == wanted else ""
        raise ValueError(
            f"{source}: {given.name} is a matrix of {rows} x {columns} (outputs x inputs), layer "
            f"{number} of the network is one of {wanted[0]} x {wanted[1]}{turned}"
        )
    if given.bias is None:
        return
    if given.bias.shape != (layer.n_outputs,):
        raise ValueError(
            f"{source}: {given.name}.bias has the shape {given.bias.shape}, layer {number} of the "
            f"network has a bias of shape {(layer.n_outputs,)}"
        )
    if not layer.bias and given.bias.any():
        raise ValueError(
            f"{source}: {given.name} has a bias, layer {number} of the network has none: set its "
            "bias = true, or leave the bias out"
        )


def _tt_cores(given: GivenLayer, layer: Layer, fmt: QFormat) -> list[Reals]:
    """TT-cores of the layer's shapes, real."""
    shapes = tuple(tt_core.shape for tt_core in given.tt_cores)
    largest = max(abs(tt_core).max() for tt_core in given.tt_cores)
    fits = largest <= fmt.raw_max * fmt.resolution
    if shapes == layer.core_shapes and (fits or len(shapes) == 1):
        return list(given.tt_cores)
    return balanced(tt_svd(given.matrix, layer)[0])
