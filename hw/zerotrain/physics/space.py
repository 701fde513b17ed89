"""The language of equations: coordinates, the unknown solution, and operators on it.

::

    space = Space("x[20]", "t")
    x, t = space.coordinates
    u, f = space.unknown, space.network
    hjb = space.equation(
        ansatz=(1 - t) * f + sum(x),
        residuals=[Residual(d(u, t) + laplacian(u, x) - Q("0.05") * norm2(grad(u, x)) + 2)],
    )

Expressions are polynomials with exact rational coefficients
(:class:`~zerotrain.spec.polynomial.Polynomial`): ``+ - *``, division by numbers, powers.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, overload

from zerotrain.physics.canonical import canonical
from zerotrain.spec.equation import Equation
from zerotrain.spec.polynomial import Kind, Polynomial, Variable

__all__ = [
    "Q", "Residual", "Space", "d", "d2", "dot", "grad", "laplacian", "norm2",
]  # fmt: skip

Vector = tuple[Polynomial, ...]

#: An exact number: ``Q("0.05")``, ``Q(1, 20)``.
Q = Fraction

_NAME = re.compile(r"([a-z]\w*)(?:\[(\d{1,3})\])?", re.ASCII)
#: Order of derivatives that nodes give.
_MOST_ORDER = 2
#: Most coordinates, and most data words of a point.
_MOST_NAMES = 256


@dataclass(frozen=True, slots=True)
class Residual:
    """What is to vanish, at which group of points, and how much it counts.

    Attributes
    ----------
    value : Polynomial
    points : str
        Name of the group.
    weight : Fraction or int
        Factor of the residual: it counts by the square in the loss.
    """

    value: Polynomial
    points: str = "interior"
    weight: Fraction | int = 1


class Space:
    """Coordinates and data words of a point, and what can be written in them.

    Parameters
    ----------
    coordinates : str
        Names such as ``"t"``, or ``"x[20]"`` for a vector of 20.
    data : sequence of str
        Names of words that come with every point.

    Attributes
    ----------
    coordinates : tuple
        One for each name: a polynomial, or a tuple of them for a vector.
    data : tuple of Polynomial
        One for each name.
    unknown : Polynomial
        The solution u.
    network : Polynomial
        The network's output f, for the ansatz.
    """

    def __init__(self, *coordinates: str, data: Sequence[str] = ()) -> None:
        self.names: list[str] = []
        self.vector_names: list[str] = []
        self.data_names = tuple(data)
        vectors: list[Any] = []
        bound: set[str] = set()
        for text in (*coordinates, *data):
            match = _NAME.fullmatch(text)
            if match is None or (text in self.data_names and match[2]):
                raise ValueError(
                    'A coordinate is a name, such as "t", or a vector, such as "x[20]", and a data '
                    f"word is a name, got {text!r}"
                )
            if match[1] in bound | {"u", "f"}:
                raise ValueError(
                    f"Coordinates and data words have names of their own, other than u and f: got "
                    f"{match[1]!r} twice or as one of these"
                )
            bound.add(match[1])
        for text in coordinates:
            match = _NAME.fullmatch(text)
            assert match is not None
            first, size = len(self.names), int(match[2] or 1)
            one = tuple(Polynomial.variable(Kind.COORDINATE, first + k) for k in range(size))
            self.names += [f"{match[1]}[{k}]" for k in range(size)] if match[2] else [match[1]]
            vectors.append(one if match[2] else one[0])
            self.vector_names.append(match[1])
        if not 1 <= len(self.names) <= _MOST_NAMES or len(self.data_names) > _MOST_NAMES:
            raise ValueError(
                f"A point has 1 to {_MOST_NAMES} coordinates and up to {_MOST_NAMES} data words, "
                f"got {len(self.names)} and {len(self.data_names)}"
            )
        #: Any: a type checker cannot know which of them are vectors.
        self.coordinates: tuple[Any, ...] = tuple(vectors)
        self.data = tuple(Polynomial.variable(Kind.DATA, k) for k in range(len(self.data_names)))
        self.unknown = Polynomial.variable(Kind.JET)
        self.network = Polynomial.variable(Kind.OUTPUT)

    def equation(
        self, *, ansatz: Polynomial, residuals: Iterable[Residual | Polynomial]
    ) -> Equation:
        """The equation, in canonical form.

        Parameters
        ----------
        ansatz : Polynomial
            u in terms of f: ``a f + b`` with a and b in the coordinates.
        residuals : iterable
            A plain polynomial is a residual of the interior with weight 1.

        Raises
        ------
        ValueError
            In one sentence, if a chip cannot compute it.
        """
        listed = [r if isinstance(r, Residual) else Residual(r) for r in residuals]
        groups: dict[str, list[Polynomial]] = {}
        for residual in listed:
            if not residual.weight:
                raise ValueError("The weight of a residual is a number other than 0, got 0")
            weighted = residual.value * residual.weight
            groups.setdefault(residual.points, []).append(weighted)
        return canonical(tuple(self.names), self.data_names, ansatz, groups)


def _coordinate(variable: object) -> int:
    if isinstance(variable, Polynomial) and len(variable.terms) == 1:
        monomial, c = variable.terms[0]
        if len(monomial) == 1 and monomial[0].kind == Kind.COORDINATE and c == 1:
            return monomial[0].at[0]
    raise ValueError("A derivative is by a coordinate, not by an expression")


def _derivative(variable: Variable, by: int) -> Polynomial:
    kind, index = variable
    if kind == Kind.COORDINATE:
        return Polynomial.constant(int(index == (by,)))
    if kind == Kind.JET:
        if len(index) == _MOST_ORDER:
            raise ValueError(
                "Nodes give derivatives of u to the second order, the equation has one of the "
                "third: write it as several equations of lower order"
            )
        return Polynomial.variable(Kind.JET, *sorted((*index, by)))
    if kind == Kind.DATA:
        raise ValueError("Data words are known at their point only: they have no derivatives")
    raise ValueError("Derivatives are of u, not of the network's output f: write them in u")


@overload
def d(value: Polynomial, by: Polynomial) -> Polynomial: ...
@overload
def d(value: Polynomial, by: Sequence[Polynomial]) -> Vector: ...
def d(value: Polynomial, by: Polynomial | Sequence[Polynomial]) -> Polynomial | Vector:
    """The derivative by a coordinate; by a vector, that by each of its coordinates."""
    if isinstance(by, Polynomial):
        index = _coordinate(by)
        return value.derive(lambda variable: _derivative(variable, index))
    return tuple(d(value, coordinate) for coordinate in by)


@overload
def d2(value: Polynomial, by: Polynomial) -> Polynomial: ...
@overload
def d2(value: Polynomial, by: Sequence[Polynomial]) -> Vector: ...
def d2(value: Polynomial, by: Polynomial | Sequence[Polynomial]) -> Polynomial | Vector:
    """The second derivative by a coordinate; by a vector, those by each of its coordinates."""
    if isinstance(by, Polynomial):
        return d(d(value, by), by)
    return tuple(d2(value, coordinate) for coordinate in by)


def _vector(value: Polynomial | Sequence[Polynomial]) -> Sequence[Polynomial]:
    """A vector; what is none is one of length 1."""
    return (value,) if isinstance(value, Polynomial) else value


def grad(value: Polynomial, by: Polynomial | Sequence[Polynomial]) -> Vector:
    """The derivatives by the coordinates of a vector, or by one coordinate."""
    return d(value, _vector(by))


def laplacian(value: Polynomial, by: Polynomial | Sequence[Polynomial]) -> Polynomial:
    """The sum of the second derivatives by the coordinates of a vector, or by one coordinate."""
    return sum(d2(value, _vector(by)), Polynomial())


def dot(
    left: Polynomial | Sequence[Polynomial], right: Polynomial | Sequence[Polynomial]
) -> Polynomial:
    """The sum of products."""
    left, right = _vector(left), _vector(right)
    if len(left) != len(right):
        raise ValueError(
            f"Vectors of a dot product have one length, got {len(left)} and {len(right)}"
        )
    return sum((a * b for a, b in zip(left, right, strict=True)), Polynomial())


def norm2(vector: Polynomial | Sequence[Polynomial]) -> Polynomial:
    """The sum of squares."""
    return dot(vector, vector)
