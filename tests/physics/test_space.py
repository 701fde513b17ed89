"""The language: what comes out of it as canonical form, and what it refuses."""

import re
from collections.abc import Callable
from fractions import Fraction

import pytest

from zerotrain.physics.space import Q, Residual, Space, d, d2, dot, grad, laplacian, norm2
from zerotrain.spec.equation import Functional
from zerotrain.spec.polynomial import Kind, Monomial, Polynomial, Variable

value = Polynomial.variable


def line(*names: str, data: tuple[str, ...] = ()) -> tuple[Space, list[Polynomial]]:
    """A space of plain coordinates."""
    space = Space(*names, data=data)
    return space, [c for c in space.coordinates if isinstance(c, Polynomial)]


def test_hjb_as_the_paper_has_it() -> None:
    """u = (1 - t) f + sum x: what b adds is folded into exact constants, and the Laplacian is one
    functional."""
    space = Space("x[20]", "t")
    x, t = space.coordinates
    u, f = space.unknown, space.network
    equation = space.equation(
        ansatz=(1 - t) * f + sum(x),
        residuals=[d(u, t) + laplacian(u, x) - Q("0.05") * norm2(grad(u, x)) + 2],
    )
    (group,) = equation.groups
    assert group.name == "interior"
    first, second = group.functionals[:21], group.functionals[21]
    assert first == tuple(Functional.of((i,)) for i in range(21))
    assert second == Functional.of(*((i, i) for i in range(20)))
    v = [value(Kind.VALUE, k) for k in range(22)]
    # 0.05 (F_i + 1)^2, of 20 coordinates
    wanted = v[20] + v[21] - sum((v[i] ** 2 + 2 * v[i] for i in range(20)), Polynomial()) / 20 + 1
    assert group.residuals == (wanted,)
    assert equation.factor == 1 - value(Kind.COORDINATE, 20)
    assert equation.offset == sum((value(Kind.COORDINATE, i) for i in range(20)), Polynomial())


def test_offset_is_differentiated() -> None:
    space, (x, t) = line("x", "t")
    u, f = space.unknown, space.network
    equation = space.equation(ansatz=f + x**3 * t, residuals=[d2(u, x) * x + d(d(u, t), x) + u])
    (group,) = equation.groups
    names = [part for one in group.functionals for part, _ in one.parts]
    # The two second derivatives have different cofactors, x and 1.
    assert names == [(), (0, 0), (0, 1)]
    f0, fxx, fxt = (value(Kind.VALUE, k) for k in range(3))
    assert group.residuals == (x * fxx + 6 * x**2 * t + fxt + 3 * x**2 + f0 + x**3 * t,)


def test_second_derivatives_share_a_functional_where_they_occur_alike() -> None:
    space, (x, y) = line("x", "y")
    u, f = space.unknown, space.network
    equation = space.equation(
        ansatz=f,
        residuals=[x * (d2(u, x) + 3 * d2(u, y)) + u, Residual(d(u, x), "boundary", weight=2)],
    )
    interior, boundary = equation.groups
    both = Functional((((0, 0), Fraction(1)), ((1, 1), Fraction(3))))
    assert interior.functionals == (Functional.of(()), both)
    assert boundary.functionals == (Functional.of((0,)),)
    assert boundary.residuals == (2 * value(Kind.VALUE, 0),)
    # A square needs it apart.
    squared = space.equation(ansatz=f, residuals=[d2(u, x) ** 2 + d2(u, y)])
    assert [len(one.parts) for one in squared.groups[0].functionals] == [1, 1]


def test_black_scholes() -> None:
    space = Space("x[3]", "t")
    x, t = space.coordinates
    u = space.unknown
    squares = tuple(one * one for one in x)
    expression = d(u, t) + Q("0.08") * dot(squares, d2(u, x)) + Q("0.05") * (dot(x, grad(u, x)) - u)
    (group,) = space.equation(ansatz=space.network, residuals=[expression]).groups
    assert len(group.functionals) == 1 + 4 + 3
    assert sum(len(terms) for _, terms in group.residuals[0].by_size()) == 1 + 3 + 4


def test_numbers_are_exact() -> None:
    space, (x,) = line("x")
    assert (Q("0.1") * x + x / 5 - 3 * x / 10).terms == ()
    with pytest.raises(TypeError) as caught:
        x * 0.1  # type: ignore[operator]
    assert str(caught.value) == (
        'Numbers of an equation are integers or exact fractions, such as Q("0.05"), not 0.1'
    )


def refused() -> dict[str, tuple[Callable[[], object], str]]:
    space, (x, t) = line("x", "t", data=("g",))
    u, f, (g,) = space.unknown, space.network, space.data

    def solve(residual: Polynomial, ansatz: Polynomial = f) -> Callable[[], object]:
        return lambda: space.equation(ansatz=ansatz, residuals=[residual])

    return {
        "third order": (
            lambda: d2(d(u, x), t),
            "Nodes give derivatives of u to the second order, the equation has one of the third: "
            "write it as several equations of lower order",
        ),
        "data": (
            lambda: d(g * u, x),
            "Data words are known at their point only: they have no derivatives",
        ),
        "by an expression": (
            lambda: d(u, 2 * x), "A derivative is by a coordinate, not by an expression",
        ),
        "of f": (
            lambda: d(f, x),
            "Derivatives are of u, not of the network's output f: write them in u",
        ),
        "f": (
            solve(f + u),
             "Residuals are written in the solution u, not in the network's output f",
        ),
        "no u": (
            solve(x + g),
            "A residual depends on the solution u, got one of group 'interior' that does not",
        ),
        "ansatz": (
            solve(u, f * f + x),
            "An ansatz is a(x) * f + b(x): linear in the network's output f, with polynomials a "
            "and b in the coordinates and nothing else",
        ),
        "no f": (solve(u, x), "An ansatz has the network's output f in it, got one without"),
        "nothing": (
            lambda: space.equation(ansatz=f, residuals=[]),
            "An equation has one residual at least, got none",
        ),
        "weight": (
            lambda: space.equation(ansatz=f, residuals=[Residual(u, weight=0)]),
            "The weight of a residual is a number other than 0, got 0",
        ),
        "quotient": (
            lambda: u / x, "An equation is divided by numbers other than zero, nothing else",
        ),
        "exponent": (lambda: u**-1, "An exponent is an integer, 0 or more, not -1"),
        "lengths": (
            lambda: dot((u, u), (u,)), "Vectors of a dot product have one length, got 2 and 1",
        ),
        "name": (
            lambda: Space("X"),
            'A coordinate is a name, such as "t", or a vector, such as "x[20]", and a data word is '
            "a name, got 'X'",
        ),
        "twice": (
            lambda: Space("x", "x[2]"),
            "Coordinates and data words have names of their own, other than u and f: got 'x' twice "
            "or as one of these",
        ),
        "many": (
            lambda: Space("x[300]"),
            "A point has 1 to 256 coordinates and up to 256 data words, got 300 and 0",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", refused())
def test_refused_in_one_sentence(case: str) -> None:
    attempt, sentence = refused()[case]
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        attempt()
    assert str(caught.value) == sentence


def test_polynomials_are_equal_objects() -> None:
    _, (x, t) = line("x", "t")
    assert (x + t) * (x - t) == x**2 - t**2
    assert (x + 1) ** 0 == Polynomial.constant(1)
    assert (x - x).terms == () and (2 - x).constant_term == 2
    assert (x * t).variables == [Variable(Kind.COORDINATE, (0,)), Variable(Kind.COORDINATE, (1,))]
    wanted: list[tuple[Fraction, list[tuple[int, Monomial]]]] = [
        (Fraction(1), [(1, (t.variables[0],) * 2)]),
        (Fraction(3), [(1, (x.variables[0],)), (-1, (t.variables[0],))]),
    ]
    assert (3 * x - 3 * t + t**2).by_size() == wanted
