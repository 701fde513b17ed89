"""Sparse grids: sizes from the paper, and exactness on polynomials against the moments."""

from itertools import product
from math import prod

import pytest

from zerotrain.physics.smolyak import gauss, sparse_grid


def moment(degree: int) -> int:
    """Of a standard normal variable."""
    return prod(range(degree - 1, 0, -2)) if degree % 2 == 0 else 0


@pytest.mark.parametrize(("dimensions", "nodes"), [(2, 13), (3, 25), (4, 41), (21, 925)])
def test_sizes_of_level_three(dimensions: int, nodes: int) -> None:
    grid = sparse_grid(dimensions, 3)
    assert len(grid) == nodes == 2 * dimensions**2 + 2 * dimensions + 1
    assert grid[0][0] == () and len({node for node, _ in grid}) == nodes
    assert abs(sum(w for _, w in grid) - 1) < 1e-9


@pytest.mark.parametrize(("dimensions", "level"), [(1, 1), (1, 4), (2, 2), (2, 5), (3, 4), (4, 3)])
def test_exact_to_its_degree(dimensions: int, level: int) -> None:
    grid = [(dict(node), w) for node, w in sparse_grid(dimensions, level)]
    for degrees in product(range(2 * level), repeat=dimensions):
        if sum(degrees) < 2 * level:
            found = sum(
                w * prod(z.get(i, 0.0) ** n for i, n in enumerate(degrees)) for z, w in grid
            )
            assert found == pytest.approx(prod(map(moment, degrees)), abs=1e-7)


def test_one_dimension_is_gauss() -> None:
    for level in range(1, 9):
        grid = {(node[0][1] if node else 0.0): w for node, w in sparse_grid(1, level)}
        for value, weight in gauss(level):
            assert grid[round(value, 10)] == pytest.approx(weight)


@pytest.mark.parametrize(("dimensions", "level"), [(0, 3), (2, 0), (2, 9)])
def test_refused(dimensions: int, level: int) -> None:
    with pytest.raises(ValueError) as caught:
        sparse_grid(dimensions, level)
    assert str(caught.value) == (
        f"A sparse grid has 1 dimension or more and a level of 1 to 8, got {dimensions} and {level}"
    )
