"""Sparse grids for expectations over a standard normal vector (Smolyak's construction).

Level l of one coordinate is Gauss' rule with l points for the standard normal density, exact to
degree 2 l - 1. The grid of level L is exact to that degree in total:

    A(L, D) = sum_k (-1)^(L-1-k) C(D-1, L-1-k) sum_{|l| = D + k} U(l_1) x ... x U(l_D)

with k from max(0, L - D) to L - 1 (Wasilkowski and Wozniakowski 1995).
"""

from collections.abc import Iterator
from itertools import combinations, product
from math import comb, factorial, prod

__all__ = ["Node", "gauss", "sparse_grid"]

#: A node's coordinates that are not zero, ascending: ``(coordinate, value)``.
Node = tuple[tuple[int, float], ...]

#: Nodes whose values differ by less are one.
_DIGITS = 10
#: Largest level: Gauss' rules are exact to rounding up to here.
_MOST_LEVEL = 8
#: The positive roots of Hermite polynomials up to there lie in different ones of so many intervals.
_STEPS, _WIDTH = 60, 0.1


def _hermite(n: int, x: float) -> float:
    """The Hermite polynomial of degree n that belongs to the density ``exp(-x^2 / 2)``."""
    before, now = 0.0, 1.0
    for k in range(n):
        before, now = now, x * now - k * before
    return now


def gauss(points: int) -> list[tuple[float, float]]:
    """Gauss' rule for the standard normal density: ``(value, weight)``, weights sum to 1.

    In plain arithmetic of fixed order: the same on every machine.
    """
    found = [(0.0, 0.0)] * (points % 2)
    for k in range(_STEPS):
        low, high = (k + 0.5) * _WIDTH, (k + 1.5) * _WIDTH
        if _hermite(points, low) * _hermite(points, high) < 0:
            for _ in range(60):
                middle = (low + high) / 2
                same = _hermite(points, low) * _hermite(points, middle) > 0
                low, high = (middle, high) if same else (low, middle)
            found = [(-low, 0.0), *found, (low, 0.0)]
    scale = factorial(points) / points**2
    return [(x, scale / _hermite(points - 1, x) ** 2) for x, _ in found]


def _raised(dimensions: int, excess: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Levels ``l`` with ``|l| = D + excess``: the coordinates above level 1, with their levels."""
    for count in range(min(dimensions, excess) + 1):
        for where in combinations(range(dimensions), count):
            for levels in product(range(2, excess + 2), repeat=count):
                if sum(levels) - count == excess:
                    yield tuple(zip(where, levels, strict=True))


def sparse_grid(dimensions: int, level: int) -> list[tuple[Node, float]]:
    """Nodes and weights; the centre comes first. Weights may be negative; they sum to 1.

    Raises
    ------
    ValueError
        If there are no dimensions, or the level is none of 1 to 8.
    """
    if dimensions < 1 or not 1 <= level <= _MOST_LEVEL:
        raise ValueError(
            f"A sparse grid has 1 dimension or more and a level of 1 to {_MOST_LEVEL}, got "
            f"{dimensions} and {level}"
        )
    rules = {n: gauss(n) for n in range(1, level + 1)}
    found: dict[Node, float] = {(): 0.0}
    for excess in range(max(0, level - dimensions), level):
        left = level - 1 - excess
        factor = (-1) ** left * comb(dimensions - 1, left)
        for raised in _raised(dimensions, excess):
            for points in product(*(rules[n] for _, n in raised)):
                values = (round(value, _DIGITS) for value, _ in points)
                node = tuple(
                    (i, v) for (i, _), v in zip(raised, values, strict=True) if v
                )  # fmt: skip
                weight = factor * prod(weight for _, weight in points)
                found[node] = found.get(node, 0.0) + weight
    return [(node, w) for node, w in sorted(found.items()) if abs(w) > 1e-12 or not node]
