"""Real weights of functionals at nodes that were moved to the grid of the inputs.

A node that is moved by half a step of the grid makes a rule inexact. The weights of the first
derivatives by all coordinates are therefore mixed so that they are exact for linear fields at the
moved nodes, those of pure second derivatives for sums of squares. Sums are exactly rounded, and all
else is plain arithmetic of fixed order: the weights are the same on every machine.
"""

from collections.abc import Sequence
from functools import cached_property
from math import fsum, ldexp

from zerotrain.physics.nodes import Nodes, Rule
from zerotrain.spec.equation import Derivative, Functional
from zerotrain.spec.formats import QFormat

__all__ = ["Calibration"]

#: A rule gives a derivative if that of the matching monomial is as near to 1 as this.
_SLACK = 0.75

_Matrix = list[list[float]]


class Calibration:
    """Weights of functionals for the nodes of a rule.

    Parameters
    ----------
    rule : Rule
    moved : sequence
        Of every node what it adds to a point, raw in ``input``.
    nodes : Nodes
        What the rule was made of.
    coordinates : sequence of str
        Their names.
    """

    def __init__(
        self, rule: Rule, moved: Sequence[tuple[tuple[int, int], ...]], nodes: Nodes,
        coordinates: Sequence[str], input: QFormat,
    ) -> None:  # fmt: skip
        self._rule, self._nodes, self._names = rule, nodes, coordinates
        self._at = [{i: ldexp(a, -input.frac_bits) for i, a in offset} for offset in moved]

    def weights(self, functional: Functional) -> list[float]:
        """One weight per node; what a functional takes of the field itself is left out."""
        total = [0.0] * len(self._at)
        for order in (1, 2):
            factors = [0.0] * len(self._names)
            for derivative, factor in functional.parts:
                if len(derivative) == order and len(set(derivative)) == 1:
                    self._check(derivative)
                    factors[derivative[0]] = float(factor)
                elif len(derivative) == order:
                    scale = float(factor) / self._check(derivative)
                    _add(total, self._basic(derivative), scale)
            if any(factors):
                for i, mixed in enumerate(self._mixed(factors, order)):
                    if mixed:
                        _add(total, self._basic((i,) * order), mixed)
        return total

    def _basic(self, derivative: Derivative) -> list[float]:
        scale = self._nodes.step ** len(derivative)
        return [w / scale for w in self._rule.weights(derivative)]

    def _check(self, derivative: Derivative) -> float:
        """The derivative of the monomial that should give 1.

        Raises
        ------
        ValueError
            If it is far from that.
        """
        i, j = derivative[0], derivative[-1]
        own = 2.0 if len(derivative) == 2 and i == j else 1.0
        found = fsum(
            w * at.get(i, 0.0) * (at.get(j, 0.0) if len(derivative) == 2 else 1.0)
            for w, at in zip(self._basic(derivative), self._at, strict=True)
        ) / own  # fmt: skip
        if not abs(found - 1) <= _SLACK:
            names = ", ".join(self._names[k] for k in derivative)
            raise ValueError(
                f"The {self._nodes.method} nodes of step {self._nodes.step:g} do not give the "
                f"derivative by {names}: expected 1 for that of the monomial itself, got "
                f"{found:.3g}; use differences, or a rule of a higher level"
            )
        return found

    def _mixed(self, factors: list[float], order: int) -> list[float]:
        """Factors of the basic weights, from those of the derivatives."""
        if self._rule.exact:
            return factors
        inverse = self._first if order == 1 else self._second
        return [
            fsum(f * row[j] for f, row in zip(factors, inverse, strict=True))
            for j in range(len(factors))
        ]

    @cached_property
    def _first(self) -> _Matrix:
        return _inverse(self._moments(1))

    @cached_property
    def _second(self) -> _Matrix:
        return _inverse(self._moments(2))

    def _moments(self, order: int) -> _Matrix:
        """Row i: what the basic weights of coordinate i make of the monomials of every one."""
        columns = range(len(self._names))
        moments = [[at.get(j, 0.0) ** order / order for at in self._at] for j in columns]
        found = []
        for i in columns:
            basic = self._basic((i,) * order)
            found.append([fsum(w * m for w, m in zip(basic, row, strict=True)) for row in moments])
        return found


def _add(total: list[float], values: list[float], scale: float) -> None:
    for k, value in enumerate(values):
        total[k] += scale * value


def _inverse(matrix: _Matrix) -> _Matrix:
    """By Gauss and Jordan; the matrix is near the unit matrix, so that no row is exchanged."""
    n = len(matrix)
    rows = [row + [float(i == j) for j in range(n)] for i, row in enumerate(matrix)]
    for i, pivot in enumerate(rows):
        scale = pivot[i]
        pivot[:] = [value / scale for value in pivot]
        for k, row in enumerate(rows):
            if k != i and row[i]:
                factor = row[i]
                row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
    return [row[n:] for row in rows]
