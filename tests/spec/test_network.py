"""Networks: shapes, parameter order, refusals."""

from operator import mul

import numpy as np
import pytest

from zerotrain.spec.network import Activation, Layer, Loss, Network, dense, plain_tt


def test_parameter_order() -> None:
    network = Network((Layer((2, 3), (4, 1), (2,), True, Activation.RELU), dense(4, 2, bias=False)))
    assert [(b.layer, b.tt_core, b.offset, b.shape, b.strides) for b in network.blocks()] == [
        (0, 0, 0, (1, 4, 2, 2), (4, 1, 8, 4)),  # [j, b, a, i] left of the middle
        (0, 1, 16, (2, 1, 3, 1), (1, 1, 2, 1)),  # [j, a, b, i] from it on
        (0, None, 22, (4,), (1,)),
        (1, 0, 26, (1, 2, 4, 1), (2, 1, 2, 2)),  # [j, i]
    ]
    assert network.n_parameters == 34
    assert network.block(1, 0).slice == slice(26, 34)


def test_natural_order() -> None:
    """Where entry (a, i, j, b) of a TT-core is, by the strides and by the view."""
    network = Network((Layer((2, 3, 2), (2, 3, 2), (4, 5), bias=True),))
    vectors = np.arange(3 * network.n_parameters).reshape(3, -1)
    for block in network.blocks():
        found = block.natural(vectors)
        assert found.shape == (3, *block.shape)
        for entry in np.ndindex(*block.shape):
            p = block.offset + sum(map(mul, entry, block.strides))
            assert found[(slice(None), *entry)].tolist() == vectors[:, p].tolist()


def test_plain_tt() -> None:
    """``W[i_1 i_2, j_1 j_2] = G_1(i_1) G_2(i_2) H_1(j_1) H_2(j_2)``, every TT-core of one index."""
    layer = plain_tt((7, 3), (4, 2), (2, 5, 3), activation=Activation.SINE)
    assert layer == Layer((1, 1, 7, 3), (4, 2, 1, 1), (2, 5, 3), True, Activation.SINE)
    assert layer.core_shapes == ((1, 4, 1, 2), (2, 2, 1, 5), (5, 1, 7, 3), (3, 1, 3, 1))
    assert layer.is_plain
    assert str(layer) == "21=7·3 -> 8=4·2, plain TT, ranks 2,5,3, sine"
    assert str(plain_tt((5,), (1,), (2,))) == "5 -> 1, plain TT, ranks 2"


def test_what_is_not_plain() -> None:
    for layer in (
        dense(1, 4),
        dense(4, 1),
        Layer((2, 3), (3, 2), (2,)),
        Layer((2, 1), (1, 2), (2,)),
    ):
        assert not layer.is_plain and "plain" not in str(layer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layer((2, 2), (2,), (1,)), r"one output mode per TT-core, got 2 input modes"),
        (lambda: Layer((2, 2), (2, 2), ()), r"^A TT layer of 2 TT-cores has one inner rank"),
        (lambda: Layer((2, 0), (2, 2), (1,)), r"^in_modes are positive integers, got \(2, 0\)$"),
        (
            lambda: plain_tt((), (2, 2), (1,)),
            r"^A plain TT layer has one input mode and one output mode at least, got \(\) and "
            r"\(2, 2\)$",
        ),
        (
            lambda: plain_tt((3, 2), (2, 2), (1,)),
            r"^A TT layer of 4 TT-cores has 3 inner ranks, one per bond, got 1: \(1,\)$",
        ),
        (lambda: Network(()), r"^A network has at least one layer, got none$"),
        (
            lambda: Network((dense(4, 3), dense(4, 2))),
            r"^Layer 2 takes as many inputs as layer 1 has outputs: expected 3, got 4 ",
        ),
        (
            lambda: Network((dense(4, 2, activation=Activation.RELU),)),
            r"^The last layer has no activation \(the loss takes its outputs\), got relu$",
        ),
        (lambda: Network((dense(4, 1),)), r"^Softmax cross-entropy needs at least 2 outputs"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_targets() -> None:
    assert Network((dense(4, 3),)).n_targets == 1
    assert Network((dense(4, 3),), Loss.MEAN_SQUARED_ERROR).n_targets == 3
