"""Gauss-Newton in the subspace: the exact solve, and what becomes of it on a chip."""

from fractions import Fraction

import numpy as np
import pytest

from zerotrain.host.subspace import coefficients, solve


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_solve_is_exact(n: int) -> None:
    rng = np.random.default_rng(n)
    matrix = rng.integers(-(1 << 40), 1 << 40, (n, n)).tolist()
    right = rng.integers(-(1 << 50), 1 << 50, n).tolist()
    found = solve(matrix, right)
    for row, b in zip(matrix, right, strict=True):
        assert sum((a * c for a, c in zip(row, found, strict=True)), Fraction(0)) == b


def test_solve_exchanges_rows_where_it_must() -> None:
    assert solve([[0, 1], [2, 0]], [3, 4]) == [2, 3]
    with pytest.raises(ValueError, match=r"^A singular system has no single solution$"):
        solve([[1, 2], [2, 4]], [1, 2])


def test_coefficients_solve_the_damped_problem() -> None:
    rng = np.random.default_rng(7)
    vectors = rng.integers(-(1 << 20), 1 << 20, (6, 40))
    found = coefficients(vectors, damping=0.25, step=38.4, limit=999)
    moved = (vectors[1:] - vectors[0]).astype(float)
    gram = moved @ moved.T
    gram += 0.25 * np.trace(gram) / 5 * np.eye(5)
    wanted = 38.4 * np.linalg.solve(gram, moved @ vectors[0])
    assert np.array(found.values) / 2**found.shift == pytest.approx(wanted, abs=2.0**-found.shift)
    assert 1 << 10 <= max(map(abs, found.values)) < 1 << 11


def test_a_full_step_ends_a_linear_problem() -> None:
    """Residuals that are linear in as many directions as there are: nothing is left."""
    rng = np.random.default_rng(3)
    jacobian, at = rng.integers(-999, 999, (4, 4)), rng.integers(-99999, 99999, 4)
    found = coefficients(
        np.concatenate([at[None], at + jacobian.T]), damping=1e-7, step=1, limit=1e6
    )
    moved = np.array(found.values) / 2**found.shift
    assert abs(at - jacobian @ moved).max() < abs(jacobian).sum() / 2**found.shift


def test_residuals_that_do_not_move() -> None:
    assert coefficients(np.ones((4, 3), np.int64), damping=0.1, step=1, limit=1).values == (0, 0, 0)


def test_huge_coefficients_are_held() -> None:
    """A step of no use at all, not an error: the damping is too small."""
    vectors = np.array([[1 << 20], [(1 << 20) + 1]])
    found = coefficients(vectors, damping=1e-9, step=300, limit=1e9)
    assert found.values == (2047,) and found.shift == 0


def test_long_steps_are_shortened() -> None:
    """All coefficients alike: the direction stays."""
    rng = np.random.default_rng(5)
    vectors = rng.integers(-(1 << 20), 1 << 20, (6, 40))
    free, held = (coefficients(vectors, damping=0.1, step=9, limit=n) for n in (99, 0.5))
    long, short = (np.array(c.values) / 2**c.shift for c in (free, held))
    assert abs(short).max() == 0.5
    assert short == pytest.approx(long / abs(long).max() / 2, abs=0.01)
