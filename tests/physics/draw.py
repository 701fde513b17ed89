"""Random equations, nodes and formats, from a seeded generator."""

from fractions import Fraction

import numpy as np

from zerotrain.physics.nodes import Method, Nodes
from zerotrain.physics.space import Residual, Space, d, d2, grad, laplacian, norm2
from zerotrain.physics.stencil import problem_of
from zerotrain.spec.equation import Problem, ResidualFormats
from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Polynomial


def draw_number(rng: np.random.Generator) -> Fraction:
    """A number of any size, often 1 or -1."""
    if rng.integers(3) == 0:
        return Fraction(int(rng.choice([-1, 1])))
    return Fraction(int(rng.integers(-400, 400)) or 1, int(rng.integers(1, 1000)))


def draw_space(rng: np.random.Generator) -> Space:
    n = int(rng.integers(1, 5))
    return Space(f"x[{n}]", "t", data=["g", "h"][: int(rng.integers(3))])


def draw_problem(rng: np.random.Generator) -> Problem:
    """An equation with drawn terms, nodes and formats."""
    space = draw_space(rng)
    x, t = space.coordinates
    u, f = space.unknown, space.network
    parts = [
        u, d(u, t), laplacian(u, x), norm2(grad(u, x)), u * d(u, x[0]), x[-1] ** 2 * d2(u, x[-1]),
        d2(u, t) * d(u, t), t * x[0] * u**2, u**3, Polynomial.constant(1), x[0] - t, *space.data,
    ]  # fmt: skip
    method = Method(rng.choice(list(Method)))
    mixed = method == Method.DIFFERENCES or (method == Method.STROUD)
    if mixed:
        parts.append(d(d(u, x[0]), t))

    def expression() -> Polynomial:
        chosen = rng.choice(len(parts), size=int(rng.integers(1, 6)), replace=False)
        return sum((draw_number(rng) * parts[k] for k in chosen), draw_number(rng) * u)

    factors = [Polynomial.constant(1), 1 - t, 4 * x[0] * (1 - x[0]), t * x[-1] * draw_number(rng)]
    offsets = [Polynomial(), sum(x, Polynomial()) + 1 - t, x[0] ** 3 * t, draw_number(rng) * x[0]]
    residuals = [Residual(expression()) for _ in range(int(rng.integers(1, 3)))]
    if rng.integers(2):
        residuals.append(Residual(u - draw_number(rng), "boundary", Fraction(1, 2)))
    ansatz = factors[rng.integers(4)] * f + offsets[rng.integers(4)]
    equation = space.equation(ansatz=ansatz, residuals=residuals)
    points = [int(rng.integers(1, 4)) for _ in equation.groups]
    nodes = Nodes(
        method, step=2.0 ** -int(rng.integers(1, 4)), samples=1024,
        seed=int(rng.integers(9)),
    )  # fmt: skip
    width = int(rng.integers(22, 29))
    formats = ResidualFormats(
        QFormat(28, int(rng.integers(20, 25))), QFormat(width, int(rng.integers(14, width - 6))),
        QFormat(24, int(rng.integers(12, 21))),
    )  # fmt: skip
    output = QFormat(24, int(rng.integers(12, 20)))
    return problem_of(
        equation, nodes, points, input=QFormat(14, 12), output=output, formats=formats
    )
