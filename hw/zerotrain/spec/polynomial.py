"""Polynomials with exact rational coefficients: what an equation is before anything is rounded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import reduce
from itertools import groupby
from typing import NamedTuple, Self

__all__ = ["Kind", "Monomial", "Polynomial", "Variable"]


#: Terms of a product of two sums, before like ones are added.
_MOST_PRODUCTS = 1 << 18


class Kind(IntEnum):
    """What a variable stands for, in the order of variables in a product."""

    COORDINATE = 0  # at (i,): coordinate i of the point
    DATA = 1  # at (j,): word j of the point, from the host
    VALUE = 2  # at (k,): functional k of the field
    OUTPUT = 3  # at (): the output f of the network
    JET = 4  # at (i, ...): the solution u, differentiated by these coordinates; never on a chip


class Variable(NamedTuple):
    """A variable of a polynomial. Variables are ordered by kind, then by place."""

    kind: Kind
    at: tuple[int, ...] = ()


#: Variables of a product in ascending order, one entry per power.
Monomial = tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of terms ``(monomial, coefficient)``.

    Monomials ascend, coefficients are not zero: equal polynomials are equal objects.
    """

    terms: tuple[tuple[Monomial, Fraction], ...] = ()

    @classmethod
    def of(cls, terms: Mapping[Monomial, Fraction]) -> Self:
        """From coefficients by monomial; zeros are dropped."""
        return cls(tuple(sorted((m, c) for m, c in terms.items() if c)))

    @classmethod
    def variable(cls, kind: Kind, *index: int) -> Self:
        """A single variable."""
        return cls((((Variable(kind, index),), Fraction(1)),))

    @classmethod
    def constant(cls, value: int | Fraction) -> Self:
        """A number."""
        return cls.of({(): Fraction(value)})

    @property
    def constant_term(self) -> Fraction:
        """The coefficient of no variable at all."""
        return self.terms[0][1] if self.terms and not self.terms[0][0] else Fraction(0)

    @property
    def variables(self) -> list[Variable]:
        """All variables, ascending."""
        return sorted({v for monomial, _ in self.terms for v in monomial})

    def __add__(self, other: "Polynomial | int | Fraction") -> "Polynomial":
        other = _lifted(other)
        total = dict(self.terms)
        for monomial, c in other.terms:
            total[monomial] = total.get(monomial, Fraction(0)) + c
        return Polynomial.of(total)

    __radd__ = __add__

    def __neg__(self) -> "Polynomial":
        return Polynomial(tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: "Polynomial | int | Fraction") -> "Polynomial":
        return self + -_lifted(other)

    def __rsub__(self, other: "Polynomial | int | Fraction") -> "Polynomial":
        return -self + other

    def __mul__(self, other: "Polynomial | int | Fraction") -> "Polynomial":
        other = _lifted(other)
        if len(self.terms) * len(other.terms) > _MOST_PRODUCTS:
            raise ValueError(
                "An equation is written out as a sum of products, and this one has far too many: "
                f"expected at most {_MOST_PRODUCTS:,} for one product of sums"
            )
        total: dict[Monomial, Fraction] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted(left + right))
                total[monomial] = total.get(monomial, Fraction(0)) + a * b
        return Polynomial.of(total)

    __rmul__ = __mul__

    def __truediv__(self, other: "Polynomial | int | Fraction") -> "Polynomial":
        divisor = _lifted(other)
        if divisor.variables or not divisor.constant_term:
            raise ValueError("An equation is divided by numbers other than zero, nothing else")
        return self * (1 / divisor.constant_term)

    def __pow__(self, exponent: int) -> "Polynomial":
        if type(exponent) is not int or exponent < 0:
            raise ValueError(f"An exponent is an integer, 0 or more, not {exponent!r}")
        return reduce(lambda a, b: a * b, [self] * exponent, Polynomial.constant(1))

    def derive(self, derivative: Callable[[Variable], "Polynomial"]) -> "Polynomial":
        """The derivative, by the product rule, from that of every variable."""
        return _total(
            Polynomial(((monomial[:k] + monomial[k + 1 :], c),)) * derivative(variable)
            for monomial, c in self.terms
            for k, variable in enumerate(monomial)
        )

    def substitute(self, value: Callable[[Variable], "Polynomial"]) -> "Polynomial":
        """The polynomial with ``value`` of every variable in its place."""
        return _total(
            reduce(lambda a, v: a * value(v), monomial, Polynomial.constant(c))
            for monomial, c in self.terms
        )

    def by_size(self) -> list[tuple[Fraction, list[tuple[int, Monomial]]]]:
        """Terms but for the constant by the size of their coefficient, ascending: the size, and
        ``(sign, monomial)`` of each of its terms in the order of the terms."""
        found = sorted(((abs(c), m, c) for m, c in self.terms if m), key=lambda t: t[:2])
        return [
            (size, [(1 if c > 0 else -1, monomial) for _, monomial, c in group])
            for size, group in groupby(found, key=lambda t: t[0])
        ]


def _total(polynomials: Iterable[Polynomial]) -> Polynomial:
    """A long sum, sorted once."""
    total: dict[Monomial, Fraction] = {}
    for polynomial in polynomials:
        for monomial, c in polynomial.terms:
            total[monomial] = total.get(monomial, Fraction(0)) + c
    return Polynomial.of(total)


def _lifted(value: Polynomial | int | Fraction) -> Polynomial:
    if isinstance(value, Polynomial):
        return value
    if isinstance(value, int | Fraction):
        return Polynomial.constant(value)
    raise TypeError(
        f'Numbers of an equation are integers or exact fractions, such as Q("0.05"), not {value!r}'
    )
