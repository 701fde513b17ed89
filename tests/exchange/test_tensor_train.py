"""TT-SVD against linear algebra."""

from math import prod

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.golden.draw import layer, modes, pick
from tests.golden.test_tt import dense_matrix

from zerotrain.exchange.tensor_train import balanced, full_matrix, tt_svd
from zerotrain.spec.network import Activation, Layer, dense

Reals = NDArray[np.floating]
SEEDS = range(40)


def drawn(seed: int) -> tuple[np.random.Generator, Layer]:
    """A layer of 1 to 5 TT-cores with drawn modes and ranks."""
    rng = np.random.default_rng(seed)
    d = pick(rng, 1, 5)
    return rng, layer(rng, modes(rng, d, 30), modes(rng, d, 30), Activation.NONE)


def full_ranks(part: Layer) -> Layer:
    """The same modes with the ranks that every matrix fits into."""
    sizes = [m * n for m, n in zip(part.out_modes, part.in_modes, strict=True)]
    ranks = [min(prod(sizes[:k]), prod(sizes[k:])) for k in range(1, len(sizes))]
    return Layer(part.in_modes, part.out_modes, tuple(ranks))


def unfolding(matrix: Reals, part: Layer, k: int) -> Reals:
    """The matrix whose rank is that of bond k."""
    d = part.n_tt_cores
    tensor = matrix.reshape(*part.out_modes, *part.in_modes)
    order = [*range(k), *range(d, d + k), *range(k, d), *range(d + k, 2 * d)]
    return tensor.transpose(order).reshape(prod(part.out_modes[:k]) * prod(part.in_modes[:k]), -1)


@pytest.mark.parametrize("seed", SEEDS)
def test_full_ranks_lose_nothing(seed: int) -> None:
    rng, part = drawn(seed)
    part = full_ranks(part)
    matrix = rng.normal(size=(part.n_outputs, part.n_inputs)) * 10.0 ** pick(rng, -3, 3)
    tt_cores, dropped = tt_svd(matrix, part)
    assert tuple(core.shape for core in tt_cores) == part.core_shapes
    assert dropped == 0
    for cores in (tt_cores, balanced(tt_cores)):
        assert np.linalg.norm(full_matrix(cores) - matrix) <= 1e-12 * np.linalg.norm(matrix)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_error_is_what_was_dropped(seed: int) -> None:
    """Exactly, and below the sum of what the unfoldings of the matrix itself lose."""
    rng, part = drawn(seed)
    matrix = rng.normal(size=(part.n_outputs, part.n_inputs))
    tt_cores, dropped = tt_svd(matrix, part)
    error = float(np.linalg.norm(full_matrix(tt_cores) - matrix) ** 2)
    assert error == pytest.approx(dropped, rel=1e-9, abs=1e-20)
    tails = []
    for k, rank in enumerate(part.ranks, 1):
        s = np.linalg.svd(unfolding(matrix, part, k), compute_uv=False)
        tails.append(float((s[rank:] ** 2).sum()))
    assert max([0.0, *tails]) <= error + 1e-12
    assert error <= sum(tails) + 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_a_matrix_of_such_ranks_comes_back(seed: int) -> None:
    rng, part = drawn(seed)
    cores: list[Reals] = [rng.normal(size=shape) for shape in part.core_shapes]
    matrix = full_matrix(cores)
    assert np.allclose(matrix, dense_matrix(part, cores), atol=1e-12)
    again, dropped = tt_svd(matrix, part)
    assert dropped <= 1e-24 * np.linalg.norm(matrix) ** 2
    assert np.linalg.norm(full_matrix(again) - matrix) <= 1e-12 * np.linalg.norm(matrix)


@pytest.mark.parametrize("seed", SEEDS)
def test_balanced_bonds_have_equal_sides(seed: int) -> None:
    rng, part = drawn(seed)
    matrix = rng.normal(size=(part.n_outputs, part.n_inputs)) * 100
    cores = balanced(tt_svd(matrix, part)[0])
    for left, right in zip(cores, cores[1:], strict=False):
        a, b = (left**2).mean(axis=(0, 1, 2)), (right**2).mean(axis=(1, 2, 3))
        used = (a > 0) & (b > 0)
        assert a[used] == pytest.approx(b[used], rel=1e-6)


def test_ranks_that_a_matrix_does_not_use_can_be_trained() -> None:
    """One side is zero, so the matrix is what it was; the other is not, so that its gradient is
    not either."""
    part = Layer((4, 4), (3, 3), (5,))
    rng = np.random.default_rng(1)
    matrix = full_matrix([rng.normal(size=(1, 3, 4, 2)), rng.normal(size=(2, 3, 4, 1))])
    left, right = balanced(tt_svd(matrix, part)[0])
    assert np.allclose(full_matrix([left, right]), matrix, atol=1e-12)
    assert (right[2:] == 0).all()
    size = np.sqrt((left**2).mean(axis=(0, 1, 2))[:2].max())
    assert abs(left[..., 2:]).max(axis=(0, 1, 2)) == pytest.approx(size)


def test_ranks_beyond_the_shapes_are_zeros() -> None:
    part = Layer((1, 2), (2, 1), (5,))
    matrix = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert np.allclose(full_matrix(balanced(tt_svd(matrix, part)[0])), matrix, atol=1e-12)


def test_matrices_of_zeros_and_of_one_core() -> None:
    part = Layer((2, 3), (3, 2), (2,))
    cores = balanced(tt_svd(np.zeros((6, 6)), part)[0])
    assert (full_matrix(cores) == 0).all() and all(np.isfinite(core).all() for core in cores)
    matrix = np.arange(6.0).reshape(2, 3)
    assert (full_matrix(tt_svd(matrix, dense(3, 2))[0]) == matrix).all()
