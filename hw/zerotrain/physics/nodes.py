"""Sets of nodes around a point, and the weights with which derivatives follow from them.

Differences take neighbours on the coordinate axes. The others are rules for expectations over a
normal vector z: by Stein's identity the derivatives of the smoothed field ``E F(x + sigma z)`` are
expectations of F times polynomials in z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import comb, ldexp, log2
from random import Random
from statistics import NormalDist

from zerotrain.physics.smolyak import Node, sparse_grid
from zerotrain.spec.equation import Derivative, Functional
from zerotrain.spec.formats import QFormat

__all__ = ["Method", "Nodes", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Nodes and the weights of derivatives where the step is 1.

    Attributes
    ----------
    nodes : list of Node
        In units of the step, the centre first.
    weights : callable
        Of a derivative, one per node; that of the centre does not count.
    exact : bool
        Whether the nodes are where they should be also after they have been moved to the grid.
    """

    nodes: list[Node]
    weights: Callable[[Derivative], list[float]]
    exact: bool


#: Most nodes of a point.
_MOST_NODES = 4096


class Method(StrEnum):
    """Where the nodes are."""

    DIFFERENCES = "differences"
    STROUD = "stroud"
    SPARSE_GRID = "sparse-grid"
    MONTE_CARLO = "monte-carlo"


@dataclass(frozen=True, slots=True)
class Nodes:
    """How derivatives are found from evaluations.

    Parameters
    ----------
    method : Method
        ``differences``: central, at distance ``step`` along the axes, and at the corners of pairs
        of axes where mixed derivatives are asked for. ``stroud``: Stroud's rule of degree 5.
        ``sparse-grid``: Smolyak's of ``level``. ``monte-carlo``: ``samples`` normal vectors from
        ``seed``, half of them the negatives of the others, and the centre.
    step : float, above 0, up to 4
        h of differences, a power of two; sigma of the others.
    level : int, 1 to 8
        See ``method``.
    samples : int, even, at least 2
        See ``method``.
    seed : int
        See ``method``.
    """

    method: Method = Method.DIFFERENCES
    step: float = 0.25
    level: int = 3
    samples: int = 1024
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.step <= 4:
            raise ValueError(f"The step of nodes is above 0 and at most 4, not {self.step!r}")
        if self.method == Method.DIFFERENCES and not log2(self.step).is_integer():
            raise ValueError(
                "Central differences have a step that is a power of two, such as 0.25 or 0.0625: "
                f"their weights are shifts then; got {self.step!r}"
            )
        if not 1 <= self.level <= 8:
            raise ValueError(f"A sparse grid has a level of 1 to 8, not {self.level!r}")
        if self.samples < 2 or self.samples % 2:
            raise ValueError(
                f"Monte-Carlo nodes come in pairs: samples is even and at least 2, not "
                f"{self.samples!r}"
            )

    def rule(self, dimensions: int, functionals: Sequence[Functional]) -> Rule:
        """The nodes for some functionals; differences have those only that are needed."""
        if self.method == Method.DIFFERENCES:
            return _differences(dimensions, functionals)
        self._check_count(dimensions)
        if self.method == Method.STROUD:
            found = _stroud(dimensions)
        elif self.method == Method.SPARSE_GRID:
            found = sparse_grid(dimensions, self.level)
        else:
            found = _monte_carlo(dimensions, self.samples, self.seed)
        return _stein(found)

    def _check_count(self, dimensions: int) -> None:
        """Refuse too many nodes before any is made."""
        count = {
            Method.STROUD: 2 * dimensions**2 + 1,
            Method.MONTE_CARLO: self.samples + 1,
            # Those with a coordinate of level 2 for every level above the first.
            Method.SPARSE_GRID: comb(dimensions, self.level - 1) << max(0, self.level - 1),
        }[self.method]
        if count > _MOST_NODES:
            raise ValueError(
                f"A point has at most {_MOST_NODES} nodes, the {self.method} rule has {count:,} or "
                f"more in {dimensions} dimensions: use differences, with two a dimension"
            )

    def move(self, node: Node, fmt: QFormat) -> tuple[tuple[int, int], ...]:
        """What a node adds to a point, raw: the nearest on the grid of the format.

        Raises
        ------
        ValueError
            If a step of differences is not on the grid.
        """
        moved = []
        for coordinate, z in node:
            exact = ldexp(z * self.step, fmt.frac_bits)
            amount = round(exact)
            if self.method == Method.DIFFERENCES and amount != exact:
                raise ValueError(
                    f"A step of differences is on the grid of the inputs: expected a multiple of "
                    f"{fmt.resolution:g} (format input {fmt}), got {self.step:g}"
                )
            if amount:
                moved.append((coordinate, amount))
        return tuple(moved)


def _differences(dimensions: int, functionals: Sequence[Functional]) -> Rule:
    asked = {derivative for one in functionals for derivative, _ in one.parts}
    axes = {i for derivative in asked for i in derivative if len(set(derivative)) == 1}
    pairs = {d for d in asked if len(set(d)) == 2}
    nodes: list[Node] = [()]
    nodes += [((i, sign),) for i in sorted(axes) for sign in (1.0, -1.0)]
    nodes += [
        ((i, a), (j, b)) for i, j in sorted(pairs) for a in (1.0, -1.0) for b in (1.0, -1.0)
    ]  # fmt: skip

    def weights(derivative: Derivative) -> list[float]:
        def weight(node: Node) -> float:
            where = tuple(i for i, _ in node)
            if where != tuple(sorted(set(derivative))) or not node:
                return 0.0
            if len(node) == 2:
                return node[0][1] * node[1][1] / 4
            return node[0][1] / 2 if len(derivative) == 1 else 1.0

        return [weight(node) for node in nodes]

    return Rule(nodes, weights, exact=True)


def _stroud(n: int) -> list[tuple[Node, float]]:
    """Stroud's rule of degree 5 for the normal density, with 2 n^2 + 1 nodes."""
    far, near = (n + 2) ** 0.5, ((n + 2) / 2) ** 0.5
    found: list[tuple[Node, float]] = [((), 2 / (n + 2))]
    axis, pair = (4 - n) / (2 * (n + 2) ** 2), 1 / (n + 2) ** 2
    found += [(((i, sign * far),), axis) for i in range(n) for sign in (1, -1) if axis]
    found += [
        (((i, a * near), (j, b * near)), pair)
        for i, j in combinations(range(n), 2) for a in (1, -1) for b in (1, -1)
    ]  # fmt: skip
    return found


def _monte_carlo(n: int, samples: int, seed: int) -> list[tuple[Node, float]]:
    draw, normal = Random(seed), NormalDist()
    found: list[tuple[Node, float]] = [((), 0.0)]
    for _ in range(samples // 2):
        z = [normal.inv_cdf((draw.getrandbits(32) + 0.5) / 2**32) for _ in range(n)]
        found += [(tuple((i, s * v) for i, v in enumerate(z)), 1 / samples) for s in (1, -1)]
    return found


def _stein(rule: list[tuple[Node, float]]) -> Rule:
    """Weights of derivatives by Stein's identity."""
    values = [dict(node) for node, _ in rule]

    def weights(derivative: Derivative) -> list[float]:
        def weight(z: dict[int, float], q: float) -> float:
            if len(derivative) == 1:
                return q * z.get(derivative[0], 0.0)
            i, j = derivative
            return q * (z.get(i, 0.0) * z.get(j, 0.0) - (i == j))

        return [weight(z, q) for z, (_, q) in zip(values, rule, strict=True)]

    return Rule([node for node, _ in rule], weights, exact=False)
