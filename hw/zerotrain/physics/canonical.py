"""From what a user writes to the canonical form: the ansatz is taken apart, and what residuals take
from the field becomes as few functionals as their derivatives allow."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from zerotrain.spec.equation import Derivative, Equation, Functional, PointGroup
from zerotrain.spec.polynomial import Kind, Monomial, Polynomial, Variable

__all__ = ["canonical"]

#: What polynomials of an ansatz may have besides the coordinates.
_OUTPUT = (Variable(Kind.OUTPUT),)


def canonical(
    coordinates: tuple[str, ...],
    data: tuple[str, ...],
    ansatz: Polynomial,
    groups: Mapping[str, Sequence[Polynomial]],
) -> Equation:
    """The equation ``residual(u) = 0`` with ``u = a f + b`` put in: in F = a f, nothing rounded.

    Second derivatives that occur in one and the same way, such as those of a Laplacian, are one
    functional.

    Parameters
    ----------
    ansatz : Polynomial
        In coordinates and ``OUTPUT``.
    groups : mapping
        Residuals of each group, in coordinates, data and ``JET``.

    Raises
    ------
    ValueError
        If the ansatz is not of that form, or a residual does not depend on the solution.
    """
    factor, offset = _parts(ansatz)
    if not groups:
        raise ValueError("An equation has one residual at least, got none")
    found = []
    for name, residuals in groups.items():
        inserted = [_insert(residual, offset) for residual in residuals]
        for polynomial in inserted:
            _check(polynomial, name)
        merged = _merge_second_derivatives(inserted)
        found.append(_numbered(name, merged))
    return Equation(coordinates, data, factor, offset, tuple(found))


def _parts(ansatz: Polynomial) -> tuple[Polynomial, Polynomial]:
    """a and b of ``a f + b``."""
    parts: dict[int, dict[Monomial, Fraction]] = {0: {}, 1: {}}
    for monomial, c in ansatz.terms:
        rest = tuple(v for v in monomial if v.kind != Kind.OUTPUT)
        power = len(monomial) - len(rest)
        if power > 1 or any(v.kind != Kind.COORDINATE for v in rest):
            raise ValueError(
                "An ansatz is a(x) * f + b(x): linear in the network's output f, with polynomials "
                "a and b in the coordinates and nothing else"
            )
        parts[power][rest] = c
    if not parts[1]:
        raise ValueError("An ansatz has the network's output f in it, got one without")
    return Polynomial.of(parts[1]), Polynomial.of(parts[0])


def _differentiate(polynomial: Polynomial, by: Derivative) -> Polynomial:
    for index in by:

        def one(variable: Variable, index: int = index) -> Polynomial:
            return Polynomial.constant(int(variable.at == (index,)))

        polynomial = polynomial.derive(one)
    return polynomial


def _insert(residual: Polynomial, offset: Polynomial) -> Polynomial:
    """The residual in derivatives of F, as ``JET``: those of b are added."""

    def value(variable: Variable) -> Polynomial:
        same = Polynomial((((variable,), Fraction(1)),))
        if variable.kind != Kind.JET:
            return same
        return same + _differentiate(offset, variable.at)

    return residual.substitute(value)


def _check(residual: Polynomial, group: str) -> None:
    kinds = {variable.kind for variable in residual.variables}
    if Kind.OUTPUT in kinds:
        raise ValueError("Residuals are written in the solution u, not in the network's output f")
    if Kind.JET not in kinds:
        raise ValueError(
            f"A residual depends on the solution u, got one of group {group!r} that does not"
        )


#: Functionals of some derivatives: a polynomial in VALUE, and what each VALUE stands for.
_Merged = tuple[list[Polynomial], list[Functional]]


def _merge_second_derivatives(residuals: list[Polynomial]) -> _Merged:
    """Every derivative becomes a ``VALUE``; second ones share one where, in all residuals, they
    have the same cofactors but for a number, and are multiplied with none of their like."""
    jets = sorted({v for r in residuals for v in r.variables if v.kind == Kind.JET})
    seconds = {v for v in jets if len(v.at) == 2}
    shared: dict[tuple[Polynomial, ...], list[tuple[Variable, Fraction]]] = {}
    alone = []
    for jet in jets:
        cofactors = [_cofactor(residual, jet) for residual in residuals]
        if jet not in seconds or any(_mixed(c, seconds) for c in cofactors):
            alone.append(jet)
            continue
        scale = next(c.terms[0][1] for c in cofactors if c.terms)
        key = tuple(c * (1 / scale) for c in cofactors)
        shared.setdefault(key, []).append((jet, scale))
    values: dict[Variable, Polynomial] = {}
    functionals: list[Functional] = []
    for jet in alone:
        values[jet] = Polynomial.variable(Kind.VALUE, len(functionals))
        functionals.append(Functional.of(jet.at))
    for members in shared.values():
        (first, one), *others = members
        values[first] = Polynomial.variable(Kind.VALUE, len(functionals))
        values |= {jet: Polynomial() for jet, _ in others}
        functionals.append(Functional(tuple((jet.at, scale / one) for jet, scale in members)))

    def value(variable: Variable) -> Polynomial:
        same = Polynomial((((variable,), Fraction(1)),))
        return values.get(variable, same)

    return [residual.substitute(value) for residual in residuals], functionals


def _cofactor(polynomial: Polynomial, variable: Variable) -> Polynomial:
    """What a variable is multiplied with; of its powers, one is taken out."""
    found: dict[Monomial, Fraction] = {}
    for monomial, c in polynomial.terms:
        if variable in monomial:
            k = monomial.index(variable)
            found[monomial[:k] + monomial[k + 1 :]] = c
    return Polynomial.of(found)


def _mixed(cofactor: Polynomial, seconds: set[Variable]) -> bool:
    return any(variable in seconds for variable in cofactor.variables)


def _numbered(name: str, merged: _Merged) -> PointGroup:
    residuals, functionals = merged
    return PointGroup(name, tuple(functionals), tuple(residuals))
