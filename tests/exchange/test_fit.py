"""Given weights as raw parameters."""

from typing import Any

import numpy as np
import pytest
from tests.golden.draw import network as drawn

from zerotrain.exchange.export import dense_arrays, tt_arrays
from zerotrain.exchange.fit import fit
from zerotrain.exchange.given import given
from zerotrain.exchange.parameters import real
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Network, dense

FORMATS = Formats()
RELU = Activation.RELU
NETWORK = Network((Layer((2, 4), (3, 2), (3,), True, RELU), dense(6, 4, bias=False)))


def weights(seed: int = 1, scale: float = 0.3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "0.weight": scale * rng.normal(size=(6, 8)), "0.bias": rng.normal(size=6),
        "2.weight": scale * rng.normal(size=(4, 6)),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_an_export_comes_back_bit_for_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = drawn(rng)
    fmt = FORMATS.weight
    theta = rng.integers(fmt.raw_min, fmt.raw_max + 1, network.n_parameters)
    start = fit(given("x", tt_arrays(network, FORMATS, theta)), network, FORMATS)
    assert (start.theta == theta).all()
    assert all(f.truncation == f.rounding == f.clipped == 0 for f in start.layers)


@pytest.mark.parametrize("seed", range(30))
def test_a_dense_export_comes_back_but_for_rounding(seed: int) -> None:
    """Of every kind of network: with and without biases, activations, ranks of every size."""
    rng = np.random.default_rng(seed)
    network = drawn(rng)
    theta = rng.integers(-4000, 4001, network.n_parameters)
    start = fit(given("x", dense_arrays(network, FORMATS, theta)), network, FORMATS)
    before, after = (real(network, FORMATS, v).layers for v in (theta, start.theta))
    for k, found in enumerate(start.layers):
        assert found.truncation < 1e-6
        assert np.array_equal(before[k].bias, after[k].bias)  # type: ignore[arg-type]
        size = float(np.linalg.norm(before[k].matrix))
        error = np.linalg.norm(before[k].matrix - after[k].matrix)
        # Exports in float32 are off by 2**-24 of each entry.
        assert error == pytest.approx(found.rounding * size, abs=1e-6 * size)


def test_the_errors_are_those_of_the_matrices() -> None:
    arrays = weights()
    start = fit(given("x", arrays), NETWORK, FORMATS)
    first, second = start.layers
    matrix = arrays["0.weight"]
    total = np.linalg.norm(real(NETWORK, FORMATS, start.theta).layers[0].matrix - matrix)
    lost = total / np.linalg.norm(matrix)
    assert 0.1 < first.truncation < 0.9 and 0 < first.rounding < 1e-3
    assert abs(lost - first.truncation) <= first.rounding
    assert second.truncation == 0 and 0 < second.rounding < 1e-3
    assert (first.number, first.clipped, first.size) == (1, 0, 6 + 3 * (6 + 8))
    assert str(start) == (
        f"Begins with the weights of x (hash {start.fingerprint}): layer 1: its ranks lose "
        f"{first.truncation:.2%} of the weights, rounding {first.rounding:.2%}; layer 2: its ranks "
        f"lose 0.00% of the weights, rounding {second.rounding:.2%}."
    )


def test_every_parameter_is_the_nearest() -> None:
    arrays = weights()
    layers = real(NETWORK, FORMATS, fit(given("x", arrays), NETWORK, FORMATS).theta).layers
    pairs = [(layers[0].bias, arrays["0.bias"]), (layers[1].matrix, arrays["2.weight"])]
    for found, wanted in pairs:
        assert found is not None
        assert abs(found - wanted).max() <= FORMATS.weight.resolution / 2


def test_balance_saves_the_format() -> None:
    """TT-cores that would clip are made equal in size."""
    arrays = weights(scale=1.0)
    start = fit(given("x", arrays), NETWORK, FORMATS)
    assert not start.layers[0].clipped
    lopsided = tt_arrays(NETWORK, FORMATS, start.theta)
    lopsided["layers.0.tt_cores.0"] *= 64
    lopsided["layers.0.tt_cores.1"] /= 64
    again = fit(given("x", lopsided), NETWORK, FORMATS)
    assert not again.layers[0].clipped and again.layers[0].truncation < 1e-12


def test_what_clips_is_counted() -> None:
    arrays = weights()
    arrays["0.bias"][:2] = [7.0, -7.0]
    arrays["2.weight"][1, 1] = 4.5
    start = fit(given("x", arrays), NETWORK, FORMATS)
    assert [found.clipped for found in start.layers] == [2, 1]
    assert str(start.layers[1]).endswith(", 1 of 24 parameters are clipped")
    wide = Formats(weight=QFormat(16, 12))
    assert [found.clipped for found in fit(given("x", arrays), NETWORK, wide).layers] == [0, 0]


def test_a_bias_that_is_not_given_is_zero() -> None:
    arrays = weights()
    del arrays["0.bias"]
    bias = real(NETWORK, FORMATS, fit(given("x", arrays), NETWORK, FORMATS).theta).layers[0].bias
    assert bias is not None and not bias.any()
    zero = fit(given("x", arrays | {"2.bias": np.zeros(4)}), NETWORK, FORMATS)
    assert len(zero.layers) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"0.weight": np.ones((8, 6))},
         "x: 0 is a matrix of 8 x 6 (outputs x inputs), layer 1 of the network is one of 6 x 8: "
         "transpose it"),
        ({"0.weight": np.ones((6, 9))},
         "x: 0 is a matrix of 6 x 9 (outputs x inputs), layer 1 of the network is one of 6 x 8"),
        ({"0.bias": np.ones(5)},
         "x: 0.bias has the shape (5,), layer 1 of the network has a bias of shape (6,)"),
        ({"2.bias": np.ones(4)},
         "x: 2 has a bias, layer 2 of the network has none: set its bias = true, or leave the bias "
         "out"),
        ({"4.weight": np.ones((4, 4))},
         "x holds 3 layers (0, 2, 4), network network has 2"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        fit(given("x", weights() | change), NETWORK, FORMATS)
    assert str(caught.value) == sentence
