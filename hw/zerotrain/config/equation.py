"""A differential equation in a configuration: the table ``[equation]``.

::

    [equation]
    coordinates = ["x[20]", "t"]
    ansatz = "(1 - t) * f + sum(x)"
    residual = "d(u, t) + laplacian(u, x) - 0.05 * norm2(grad(u, x)) + 2"
    exact = "sum(x) + 1 - t"

    [equation.nodes]
    method = "differences"
    step = 0.25

Conditions are residuals at faces of the domain, at points of their own::

    [[equation.conditions]]
    residual = "u - h"
    at = ["t = 0"]
    points = 16
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from typing import Any, Self

from zerotrain.config.table import Table, show
from zerotrain.physics.nodes import Method, Nodes
from zerotrain.physics.space import Residual, Space
from zerotrain.physics.stencil import check_noise, problem_of
from zerotrain.physics.text import polynomial
from zerotrain.spec.equation import Equation, Problem
from zerotrain.spec.formats import Formats, QFormat

__all__ = ["EQUATION", "Condition", "EquationOptions", "Face"]

#: What stands for the name of the data set.
EQUATION = "equation"

_FACE = re.compile(r"\s*([a-z]\w*(?:\[\d+\])?)\s*=\s*(-?\d+(?:\.\d*)?|-?\.\d+)\s*", re.ASCII)

#: A coordinate, and the value that it has there.
Face = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Condition:
    """A residual at faces of the domain.

    Parameters
    ----------
    residual : str
        What is to vanish there.
    at : list of texts
        Faces, such as ``"t = 0"``: every point is on one of them, drawn at random.
    points : int, 1 to 32768
        Points of a batch.
    weight : str
        Factor of the residual: a number, or a text such as ``"1/8"``.
    """

    residual: str
    at: tuple[str, ...]
    points: int
    weight: str = "1"


def _number(key: str, value: Any) -> Fraction:
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{key} is a number or a text such as '1/8', not {show(value)}") from None


@dataclass(frozen=True)
class EquationOptions:
    """What a configuration says about its equation.

    Parameters
    ----------
    coordinates : list of texts
        Names, ``"t"``, or vectors, ``"x[20]"``; together they are the network's inputs.
    ansatz : str
        The solution u in terms of the network's output f: ``a * f + b``.
    residual : str
        What is to vanish in the domain.
    exact : str
        The exact solution, to measure with: a formula in the coordinates.
    weight : str
        Factor of the residual: a number, or a text such as ``"1/8"``. Residuals are below 8.
    domain : table of lists of two numbers
        From where to where a coordinate, or all of a vector, reaches; 0 to 1 if it is left out.
    data : table of texts
        Formulas of words that come with every point, by the names that residuals have for them.
    conditions : tuple of Condition
    nodes : Nodes
    """

    coordinates: tuple[str, ...]
    ansatz: str
    residual: str
    exact: str
    weight: str = "1"
    domain: dict[str, tuple[float, float]] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    nodes: Nodes = field(default_factory=Nodes)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Read the table."""
        table = Table(values, "equation", [f.name for f in fields(cls)])
        table.require(dict.fromkeys(("ansatz", "residual", "exact"), "a text"))
        arguments: dict[str, Any] = {k: table.get(k, str) for k in ("ansatz", "residual", "exact")}
        if "weight" in table.values:
            arguments["weight"] = str(table.values["weight"])
        arguments["coordinates"] = _texts(table, "coordinates")
        for name in ("domain", "data"):
            given = table.values.get(name, {})
            if not isinstance(given, Mapping):
                raise ValueError(f"equation.{name} is a table, not {show(given)}")
            arguments[name] = dict(given)
        arguments["domain"] = {k: _range(k, v) for k, v in arguments["domain"].items()}
        for name, text in arguments["data"].items():
            if not isinstance(text, str):
                raise ValueError(f"equation.data.{name} is a formula, not {show(text)}")
        rows = table.values.get("conditions", [])
        if not isinstance(rows, list):
            raise ValueError(f"equation.conditions is a list of tables, not {show(rows)}")
        arguments["conditions"] = tuple(
            _condition(row, f"equation.conditions.{k + 1}") for k, row in enumerate(rows)
        )
        arguments["nodes"] = _nodes(table.values.get("nodes", {}))
        found = cls(**arguments)
        try:
            _ = found.equation  # every mistake in it is found here
        except ValueError as error:
            raise ValueError(f"[equation] {error}") from None
        return found

    @cached_property
    def space(self) -> Space:
        """Coordinates and data words."""
        return Space(*self.coordinates, data=tuple(self.data))

    @cached_property
    def equation(self) -> Equation:
        """The equation in canonical form."""
        space = self.space
        residuals = [
            Residual(polynomial(self.residual, space), weight=_number("weight", self.weight))
        ]
        for k, condition in enumerate(self.conditions):
            value, weight = polynomial(condition.residual, space), condition.weight
            residuals.append(Residual(value, f"condition {k + 1}", _number("weight", weight)))
        for name in self.domain:
            if name not in space.vector_names:
                known = ", ".join(space.vector_names)
                raise ValueError(f"domain has ranges of the coordinates {known}, not of {name!r}")
        for condition in self.conditions:
            for face in condition.at:
                self.face(face)
        return space.equation(ansatz=polynomial(self.ansatz, space), residuals=residuals)

    def face(self, text: str) -> Face:
        """A face of the domain from its text."""
        match, names = _FACE.fullmatch(text), self.space.names
        if match is None or match[1] not in names:
            raise ValueError(
                f"A face of the domain is a coordinate and its value, such as '{names[-1]} = 0', "
                f"not {text!r}"
            )
        index, value = names.index(match[1]), float(match[2])
        low, high = self.ranges[index]
        if not low <= value <= high:
            raise ValueError(
                f"A face is in the domain, where {match[1]} reaches from {low:g} to {high:g}, got "
                f"{text!r}"
            )
        return index, value

    @cached_property
    def ranges(self) -> list[tuple[float, float]]:
        """From where to where every coordinate reaches."""
        found = []
        for name, vector in zip(self.space.vector_names, self.space.coordinates, strict=True):
            size = len(vector) if isinstance(vector, tuple) else 1
            found += [self.domain.get(name, (0.0, 1.0))] * size
        return found

    @property
    def unbounded(self) -> bool:
        """Whether nothing but the equation says what u is: its solution may not be unique."""
        return not self.conditions and not self.equation.factor.variables

    def build(self, formats: Formats, batch: int, state: QFormat) -> Problem:
        """The problem for a chip's formats and batches.

        Parameters
        ----------
        state : QFormat
            Of the network's last hidden words.

        Raises
        ------
        ValueError
            If formats or batch do not suffice.
        """
        others = [condition.points for condition in self.conditions]
        points = (batch - sum(others), *others)
        if min(points) < 1:
            raise ValueError(
                f"A batch of {batch} points has {sum(others)} for conditions: expected at least "
                "one more for the equation itself, and one for each condition"
            )
        problem = problem_of(
            self.equation, self.nodes, points, input=formats.input, output=formats.logit
        )
        self._check_reach(problem)
        check_noise(problem, self.nodes, state)
        return problem

    def _check_reach(self, problem: Problem) -> None:
        fmt = problem.input
        for k, (low, high) in enumerate(self.ranges):
            moves = [dict(o).get(k, 0) for s in problem.stencils for o in s.offsets]
            ends = low / fmt.resolution + min(moves), high / fmt.resolution + max(moves)
            if not fmt.raw_min <= ends[0] <= ends[1] <= fmt.raw_max:
                raise ValueError(
                    f"Coordinate {self.space.names[k]} reaches from {low:g} to {high:g}, its nodes "
                    f"from {ends[0] * fmt.resolution:g} to {ends[1] * fmt.resolution:g}: format "
                    f"input {fmt} holds {fmt.raw_min * fmt.resolution:g} to "
                    f"{fmt.raw_max * fmt.resolution:g}, give it more integer bits or the nodes a "
                    "smaller step"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; :meth:`from_dict` reads them back."""
        rows = [
            {
                "residual": c.residual, "at": list(c.at), "points": c.points, "weight": c.weight,
            }
            for c in self.conditions
        ]  # fmt: skip
        nodes = {f.name: getattr(self.nodes, f.name) for f in fields(Nodes)}
        values: dict[str, Any] = {
            "coordinates": list(self.coordinates), "ansatz": self.ansatz,
            "residual": self.residual, "exact": self.exact, "weight": self.weight,
            "domain": {k: list(v) for k, v in self.domain.items()}, "data": dict(self.data),
            "nodes": nodes | {"method": str(self.nodes.method)},
        }  # fmt: skip
        return values | ({"conditions": rows} if rows else {})


def _texts(table: Table, key: str) -> tuple[str, ...]:
    value = table.values.get(key)
    if not isinstance(value, list) or not value or any(type(v) is not str for v in value):
        raise ValueError(f"{table.name(key)} is a list of texts, not {show(value)}")
    return tuple(value)


def _range(name: str, value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and len(value) == 2
    if not numbers or any(type(v) not in (int, float) for v in value) or not value[0] < value[1]:
        raise ValueError(
            f"equation.domain.{name} is a list of two numbers, ascending, not {show(value)}"
        )
    return float(value[0]), float(value[1])


def _condition(values: Any, path: str) -> Condition:
    table = Table(values, path, [f.name for f in fields(Condition)])
    table.require({"residual": "a text", "points": "an integer"})
    points = table.get("points", int)
    if not 1 <= points <= 1 << 15:
        raise ValueError(f"{path}.points is 1 to 32768, not {points}")
    weight = str(table.values.get("weight", "1"))
    return Condition(table.get("residual", str), _texts(table, "at"), points, weight)


def _nodes(values: Any) -> Nodes:
    table = Table(values, "equation.nodes", [f.name for f in fields(Nodes)])
    kinds: dict[str, type] = {"method": Method, "step": float}
    arguments: dict[str, Any] = {k: table.get(k, kinds.get(k, int)) for k in table.values}
    try:
        return Nodes(**arguments)
    except ValueError as error:
        raise ValueError(f"[equation.nodes] {error}") from None
