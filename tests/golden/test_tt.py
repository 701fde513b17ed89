"""Tensor-train contractions against float64, with bounds that follow from the rounding rules."""

from math import prod

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, raised_losses
from zerotrain.golden.tt import Groups, forward, merge, unpack
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Activation, Layer, Network, dense
from zerotrain.spec.step import StepSettings

Reals = NDArray[np.floating]
Ints = NDArray[np.int64]

FORMATS = Formats()
LSB = FORMATS.weight.resolution

DIGITS = Network(
    (
        Layer((2, 4, 4, 2), (2, 4, 2, 2), (3, 3, 3), True, Activation.RELU),
        Layer((2, 4, 2, 2), (1, 5, 2, 1), (3, 3, 3)),
    )
)
NETWORKS = {
    "digits": DIGITS,
    "dense": Network((dense(12, 7, activation=Activation.RELU), dense(7, 3, bias=False))),
    "five TT-cores": Network((Layer((2, 1, 3, 2, 1), (1, 2, 2, 1, 3), (2, 3, 3, 2), False),)),
    "three layers": Network(
        (
            Layer((3, 4), (4, 2), (5,), True, Activation.RELU),
            Layer((2, 4), (3, 3), (4,), True, Activation.NONE),
            Layer((3, 3), (2, 2), (2,), True),
        )
    ),
}


def single_groups(network: Network) -> Groups:
    """Groups of one TT-core each: nothing is merged."""
    return tuple((1,) * layer.n_tt_cores for layer in network.layers)


def data(network: Network, seed: int, batch: int = 16) -> tuple[Ints, Ints, Ints]:
    """Parameters, samples and labels of a size at which nothing saturates."""
    rng = np.random.default_rng(seed)
    theta = np.zeros(network.n_parameters)
    for block in network.blocks():
        layer = network.layers[block.layer]
        scale = 1.2 * (1 / layer.n_inputs / prod(layer.ranks)) ** (0.5 / layer.n_tt_cores)
        scale = 0.3 if block.tt_core is None else scale
        theta[block.slice] = scale * rng.normal(size=block.size)
    x = rng.random((batch, network.n_inputs))
    labels = rng.integers(0, network.n_outputs, batch)
    raw = np.clip(np.round(theta / LSB), -(1 << 15), (1 << 15) - 1).astype(np.int64)
    return raw, np.round(x / FORMATS.input.resolution).astype(np.int64), labels


def dense_matrix(layer: Layer, cores: list[Reals]) -> Reals:
    """``W[(i_1..i_d), (j_1..j_d)]`` by the definition: a product of matrices per entry."""
    out = np.empty((layer.n_outputs, layer.n_inputs))
    for row, i in enumerate(np.ndindex(*layer.out_modes)):
        for column, j in enumerate(np.ndindex(*layer.in_modes)):
            value = np.eye(1)
            for k, core in enumerate(cores):
                value = value @ core[:, i[k], j[k], :]
            out[row, column] = value[0, 0]
    return out


def real_layers(network: Network, theta: Reals) -> list[tuple[list[Reals], Reals]]:
    """TT-cores and bias of every layer."""
    out = []
    for n, layer in enumerate(network.layers):
        blocks = [network.block(n, k) for k in range(layer.n_tt_cores)]
        cores = [b.natural(theta) for b in blocks]
        bias = theta[network.block(n, None).slice] if layer.bias else np.zeros(layer.n_outputs)
        out.append((cores, bias))
    return out


def real_logits(network: Network, theta: Reals, x: Reals) -> Reals:
    for layer, (cores, bias) in zip(network.layers, real_layers(network, theta), strict=True):
        x = x @ dense_matrix(layer, cores).T + bias
        if layer.activation == Activation.RELU:
            x = np.maximum(x, 0)
    return x


def forward_bound(network: Network, theta: Reals) -> float:
    """Largest error of logits without merging.

    A stage multiplies the error so far by at most the largest absolute row sum of its TT-core and
    adds half an LSB of its result.
    """
    error = 0.0
    for n, (layer, (cores, _)) in enumerate(
        zip(network.layers, real_layers(network, theta), strict=True)
    ):
        last = n == len(network.layers) - 1
        for k in reversed(range(layer.n_tt_cores)):
            fmt = FORMATS.tt if k else FORMATS.logit if last else FORMATS.preact
            error = error * abs(cores[k]).sum(axis=(2, 3)).max() + fmt.resolution / 2
    return error


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_is_close(name: str) -> None:
    network = NETWORKS[name]
    for seed in range(5):
        theta, x, _ = data(network, seed)
        flags = Flags()
        z = forward(network, FORMATS, single_groups(network), theta, x, flags)
        got = z * FORMATS.logit.resolution
        expected = real_logits(network, theta * LSB, x * FORMATS.input.resolution)
        assert not flags.value
        assert abs(expected).max() > 0.05
        assert abs(got - expected).max() <= forward_bound(network, theta * LSB)


@pytest.mark.parametrize("name", NETWORKS)
def test_merge_is_close(name: str) -> None:
    """Errors of both factors pass through the product, and it adds half an LSB."""
    network = NETWORKS[name]
    theta, _, _ = data(network, 1)

    def bound(cores: list[Reals], lo: int, hi: int) -> tuple[Reals, float]:
        """The merged array in float64 ``[a, I, J, c]``, and the bound of the error."""
        if hi - lo == 1:
            return cores[lo], 0.0
        mid = (lo + hi) // 2
        (left, e), (right, f) = bound(cores, lo, mid), bound(cores, mid, hi)
        out = np.einsum("aijb,bklc->aikjlc", left, right)
        out = out.reshape(left.shape[0], -1, left.shape[2] * right.shape[2], right.shape[3])
        rows, columns = abs(left).sum(axis=3).max(), abs(right).sum(axis=0).max()
        return out, f * rows + e * columns + e * f * left.shape[3] + LSB / 2

    layers = unpack(network, FORMATS, theta)
    for part, (cores, _) in zip(layers, real_layers(network, theta * LSB), strict=True):
        flags = Flags()
        got = merge(part.cores, 0, len(cores), FORMATS, flags) * LSB
        expected, limit = bound(cores, 0, len(cores))
        assert expected.shape == got.shape
        assert np.allclose(expected[0, :, :, 0], dense_matrix(part.layer, cores))
        assert abs(got - expected).max() <= limit
        assert not flags.value


def test_many_parameter_vectors_at_once() -> None:
    rng = np.random.default_rng(7)
    theta, x, _ = data(DIGITS, 2)
    copies = theta + rng.integers(-500, 500, (3, theta.size))
    groups = ((1, 1, 2), (4,))
    together, apart = Flags(), Flags()
    z = forward(DIGITS, FORMATS, groups, copies, x, together)
    for k in range(3):
        assert (z[k] == forward(DIGITS, FORMATS, groups, copies[k], x, apart)).all()
    assert together.value == apart.value


def real_cge_differences(network: Network, theta: Reals, x: Reals, labels: Ints) -> Reals:
    """Loss differences of d perturbed float64 forward passes, summed over the batch."""

    def loss(values: Reals) -> float:
        z = real_logits(network, values, x)
        return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]).sum())

    moves = 2.0**-FORMATS.cge_mu_shift * np.eye(theta.size)
    return np.array([loss(theta + move) for move in moves]) - loss(theta)


@pytest.mark.parametrize("name", ["dense", "five TT-cores", "three layers"])
def test_cge_differences_are_close(name: str) -> None:
    """The environment form equals perturbed float64 networks, and beats fixed-point ones."""
    network, batch = NETWORKS[name], 16
    theta, x, labels = data(network, 3, batch)
    model = Model(network, FORMATS, single_groups(network), 8)
    flags = Flags()
    state = State(theta, np.zeros_like(theta), 1)
    _, losses = cge_step(model, StepSettings(), state, x, labels, flags)
    naive = raised_losses(model, theta, x, labels, flags)
    assert not flags.value
    real = real_cge_differences(network, theta * LSB, x * FORMATS.input.resolution, labels)
    got, other = ((v[1:] - v[0]) / 2.0**20 for v in (losses, naive))
    size = np.linalg.norm(real)
    error, naive_error = np.linalg.norm(got - real) / size, np.linalg.norm(other - real) / size
    assert error < 0.01
    assert naive_error < 0.25
    assert error < naive_error / 5
    clear = abs(real) > 0.05 * abs(real).max()
    assert clear.sum() > 20
    assert (np.sign(got[clear]) == np.sign(real[clear])).all()
