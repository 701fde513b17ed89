"""Expressions as text: the same as in Python, exact; formulas in numbers; what is refused."""

import numpy as np
import pytest

from zerotrain.physics.space import Q, Space, d, d2, grad, laplacian, norm2
from zerotrain.physics.text import formula, polynomial

SPACE = Space("x[3]", "t", data=["g"])


def test_residuals() -> None:
    x, t = SPACE.coordinates
    u, (g,) = SPACE.unknown, SPACE.data
    for text, wanted in (
        ("d(u, t) + laplacian(u, x) - 0.05 * norm2(grad(u, x)) + 2",
         d(u, t) + laplacian(u, x) - Q("0.05") * norm2(grad(u, x)) + 2),
        ("u * d(u, x[0]) - g / 3", u * d(u, x[0]) - g / 3),
        ("sum(x[i] ** 2 * d2(u, x[i]) for i in range(3)) - (1e-3 * u)",
         sum(x[i] ** 2 * d2(u, x[i]) for i in range(3)) - Q("0.001") * u),
        ("dot(x, x) * 2 / 4 - -u", norm2(x) / 2 + u), ("1 / 3", 0 * u + Q(1, 3)),
        ("1_000", 0 * u + 1000),
    ):  # fmt: skip
        assert polynomial(text, SPACE) == wanted
    assert polynomial("(1 - t) * f + sum(x)", SPACE) == (1 - t) * SPACE.network + sum(x)


def test_one_coordinate_is_a_vector_of_one_and_a_list_is_a_vector() -> None:
    (x, t), u = SPACE.coordinates, SPACE.unknown
    assert polynomial("laplacian(u, t)", SPACE) == d2(u, t)
    assert polynomial("norm2(grad(u, t)) + dot(x, x)", SPACE) == d(u, t) ** 2 + norm2(x)
    both = polynomial("laplacian(u, [x[0], t])", SPACE)
    assert both == d2(u, x[0]) + d2(u, t)


def test_formulas() -> None:
    points = np.random.default_rng(1).uniform(0, 1, (7, 4))
    x, t = points[:, :3].T, points[:, 3]
    found = formula(
        "exp(-t) * sin(pi * x[1]) + sum(x[i] ** 2 for i in range(3)) / 2", SPACE, points
    )
    wanted = np.exp(-t) * np.sin(np.pi * x[1]) + (x**2).sum(axis=0) / 2
    assert found == pytest.approx(wanted)
    assert formula("sum(x)", SPACE, points) == pytest.approx(x.sum(axis=0))
    assert formula("2", SPACE, points).tolist() == [2.0] * 7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("d(u, t", "'d(u, t' is no expression"),
        ("(" * 900 + ")", f"{'(' * 200 + '...'!r} is no expression"),
        ("d(u, y)", "'y' in 'd(u, y)' is not known: known are d, d2, dot, f, g, grad, laplacian, "
         "norm2, sum, t, u, x"),
        ("u.real", "'u.real' in 'u.real' is not understood: expected names, numbers, + - * / **, "
         "lists, calls, and sums over ... for i in range(n)"),
        ("u if t else x", "'u if t else x' in 'u if t else x' is not understood: expected names, "
         "numbers, + - * / **, lists, calls, and sums over ... for i in range(n)"),
        ("t(u)", "t in 't(u)' is no function"),
        ("u ** 40", "Exponents are numbers of at most 16, got another in 'u ** 40'"),
        ("x", "'x' is no expression with one value"),
        ("x[5] * u", "'x[5] * u' does not make sense: tuple index out of range"),
        ("u / 0", "An equation is divided by numbers other than zero, nothing else"),
        ("1 / 0", "'1 / 0' divides by zero"),
        ("sum(u for i in x)", "A sum is over ... for i in range(n), got another in "
         "'sum(u for i in x)'"),
        ("sum(u for i in range(9999))", "A sum has up to 1024 terms, got another in "
         "'sum(u for i in range(9999))'"),
    ],
)  # fmt: skip
def test_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        polynomial(text, SPACE)
    assert str(caught.value) == sentence


def test_formulas_refused() -> None:
    points = np.zeros((2, 4))
    for text, sentence in (
        ("x", "'x' is no function with one value at each point"),
        ("1 / t", "'1 / t' is not finite everywhere in the domain"),
        ("__import__('os')", "'__import__' in \"__import__('os')\" is not known: known are abs, "
         "cos, exp, log, pi, sin, sqrt, sum, t, tanh, x"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as caught:
            formula(text, SPACE, points)
        assert str(caught.value) == sentence
