"""Weights by name."""

from typing import Any

import numpy as np
import pytest

from zerotrain.exchange.given import given

FORMS = (
    "expected NAME.weight [outputs, inputs] and NAME.bias [outputs] of every layer, or "
    "layers.K.tt_cores.J and layers.K.bias as zerotrain export writes them"
)


def test_names_are_ordered_as_people_count() -> None:
    arrays = {f"{k}.weight": np.full((2, 2), k, np.float32) for k in (10, 2, 0)}
    found = given("w", arrays | {"2.bias": np.array([1, 2])})
    assert [layer.name for layer in found.layers] == ["0", "2", "10"]
    assert [layer.matrix[0, 0] for layer in found.layers] == [0, 2, 10]
    assert [layer.bias is not None for layer in found.layers] == [False, True, False]
    assert found.layers[1].matrix.dtype == np.float64


def test_tt_cores_are_multiplied_out() -> None:
    left, right = np.ones((1, 2, 3, 2)), np.ones((2, 2, 1, 1))
    arrays = {"layers.0.tt_cores.1": right, "layers.0.tt_cores.0": left, "theta": np.zeros(9)}
    (layer,) = given("w", arrays).layers
    assert (layer.matrix == np.full((4, 3), 2.0)).all()


def test_the_fingerprint_is_that_of_every_value() -> None:
    arrays = {"0.weight": np.ones((2, 3)), "0.bias": np.zeros(2)}
    first = given("w", arrays).fingerprint
    assert first == given("v", dict(reversed(arrays.items()))).fingerprint
    assert first == given("v", arrays | {"description": np.array("x")}).fingerprint
    changed: list[dict[str, Any]] = [
        {"0.weight": np.ones((3, 2)), "0.bias": np.zeros(2)},
        {"0.weight": np.ones((2, 3))},
        {"0.weight": np.ones((2, 3)), "0.bias": np.array([0, 1e-9])},
    ]
    assert len({first, *(given("w", a).fingerprint for a in changed)}) == 4


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, f"w holds no weights: {FORMS}"),
        ({"0.weight": np.ones(3)}, "w: 0.weight is a matrix [outputs, inputs], not of shape (3,)"),
        ({"0.weight": np.ones((0, 3))},
         "w: 0.weight is a matrix [outputs, inputs], not of shape (0, 3)"),
        ({"0.bias": np.ones(3), "1.weight": np.ones((1, 1))},
         f"w: 0.bias has no weight beside it: {FORMS}"),
        ({"running_mean": np.ones(3)},
         f"w: 'running_mean' is no weight of a linear layer: {FORMS}"),
        ({"0.weight": np.array([["a"]])}, "w: 0.weight is an array of numbers, not of <U1"),
        ({"0.weight": np.array([[np.nan]])},
         "w: 0.weight has values that are not finite, or above 1e+09"),
        ({"0.weight": np.array([[-1e308]])},
         "w: 0.weight has values that are not finite, or above 1e+09"),
        ({"layers.0.tt_cores.0": np.ones((1, 2))},
         "w: layers.0.tt_cores.0 is a TT-core [r, m, n, r'], not of shape (1, 2)"),
        ({"layers.0.tt_cores.0": np.ones((1, 2, 2, 3)),
          "layers.0.tt_cores.1": np.ones((2, 2, 2, 1))},
         "w: the TT-cores of layers.0 do not fit one another: expected every rank twice and 1 at "
         "both ends, got (1, 2, 2, 3), (2, 2, 2, 1)"),
        ({"layers.0.tt_cores.1": np.ones((1, 2, 2, 1))},
         "w: the TT-cores of layers.0 do not fit one another: expected every rank twice and 1 at "
         "both ends, got (1, 2, 2, 1)"),
        ({"layers.0.tt_cores.0": np.ones((1, 2, 2, 2))},
         "w: the TT-cores of layers.0 do not fit one another: expected every rank twice and 1 at "
         "both ends, got (1, 2, 2, 2)"),
    ],
)  # fmt: skip
def test_what_is_refused(arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        given("w", arrays)
    assert str(caught.value) == sentence
