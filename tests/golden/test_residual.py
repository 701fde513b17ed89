"""Residuals against the compiled program run in plain integers, and against the mathematics."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.compiler.residuals import compile_problem
from zerotrain.golden.fixed import Flags
from zerotrain.golden.residual import moved_points, residual_loss, residuals
from zerotrain.physics.nodes import Method, Nodes
from zerotrain.physics.space import Q, Residual, Space, d, grad, laplacian, norm2
from zerotrain.physics.stencil import problem_of
from zerotrain.spec.equation import Problem
from zerotrain.spec.formats import QFormat
from zerotrain.spec.registers import Saturation

from ..physics.draw import draw_problem
from ..physics.machine import Machine

Ints = NDArray[np.int64]
Reals = NDArray[Any]
POINT, OUTPUT = QFormat(14, 12), QFormat(24, 20)


def draw_words(rng: np.random.Generator, fmt: QFormat, shape: tuple[int, ...]) -> Ints:
    """Words of every magnitude."""
    width = rng.integers(2, fmt.width + 1, size=shape)
    return rng.integers(-(1 << (width - 1)), 1 << (width - 1), size=shape)


@pytest.mark.parametrize("seed", range(40))
def test_program_equals_the_mathematics(seed: int) -> None:
    """Drawn equations, nodes and formats: compiled and run, and evaluated."""
    rng = np.random.default_rng(seed)
    problem = draw_problem(rng)
    points, batch, copies = problem.points, problem.batch, 2
    n = problem.equation.n_coordinates
    x = rng.integers(0, 4097, size=(batch, n))
    data = draw_words(rng, problem.formats.word, (batch, 2))
    f = [
        draw_words(rng, problem.output, (copies, p, problem.n_nodes(g)))
        for g, p in enumerate(points)
    ]
    flags = Flags()
    found = residuals(problem, f, x, data, flags)
    machine = Machine(problem, compile_problem(problem))
    for e in range(copies):
        expected, first = [], 0
        for g, p in enumerate(points):
            for k in range(p):
                at = first + k
                words = data[at, : len(problem.equation.data)].tolist()
                expected += machine.residuals(g, x[at].tolist(), words, f[g][e, k].tolist())
            first += p
        assert found[e].tolist() == expected
    assert bool(flags.value) == machine.clamped
    assert problem.n_residuals == found.shape[-1]


def hjb(nodes: Nodes, points: int = 1) -> Problem:
    space = Space("x[5]", "t")
    x, t = space.coordinates
    u, f = space.unknown, space.network
    equation = space.equation(
        ansatz=(1 - t) * f + sum(x),
        residuals=[d(u, t) + laplacian(u, x) - Q("0.05") * norm2(grad(u, x)) + Q("1.25")],
    )
    return problem_of(equation, nodes, (points,), input=POINT, output=OUTPUT)


def sampled(problem: Problem, x: Ints, function: Callable[[Reals], Reals]) -> list[Ints]:
    """Outputs of a network that is a known function, at the nodes of points of one group."""
    (moved,) = moved_points(problem, x)
    values = function(moved * problem.input.resolution)
    return [np.rint(values / problem.output.resolution).astype(np.int64)]


@pytest.mark.parametrize(
    ("nodes", "bound"),
    [
        (Nodes(), 1e-3), (Nodes(step=0.125), 1e-3), (Nodes(Method.STROUD, 0.125), 5e-3),
        (Nodes(Method.SPARSE_GRID, 0.25), 5e-2), (Nodes(Method.SPARSE_GRID, 0.25, level=4), 5e-2),
    ],
    ids=lambda value: value.method if isinstance(value, Nodes) else "",
)  # fmt: skip
def test_residual_is_near_the_derivatives(nodes: Nodes, bound: float) -> None:
    """Of a quadratic field, for which all rules are exact."""
    problem = hjb(nodes, 20)
    x = np.random.default_rng(1).integers(0, 4096, size=(20, 6))
    a = np.linspace(0.1, 0.5, 5)

    def network(p: Reals) -> Reals:
        # (1 - t) f is no quadratic unless f is free of t and linear in x.
        return p[..., :5] @ a / 4

    flags = Flags()
    found = residuals(problem, sampled(problem, x, network), x, x[:, :0], flags)
    p = x * POINT.resolution
    u_t = -network(p)
    gradient = (1 - p[:, 5:]) * a / 4 + 1
    wanted = u_t - 0.05 * (gradient**2).sum(axis=1) + 1.25
    assert abs(found * 2.0**-20 - wanted).max() < bound
    assert not flags.value


def test_constants_are_folded_before_anything_is_rounded() -> None:
    """At the solution the residual is 0, not what a rounded 0.05 would leave."""
    problem = hjb(Nodes(), 9)
    x = np.random.default_rng(2).integers(0, 4096, size=(9, 6))
    f = sampled(problem, x, lambda p: np.ones(p.shape[:-1]))
    assert not residuals(problem, f, x, x[:, :0], Flags()).any()


def test_second_derivatives_of_a_smooth_field() -> None:
    """Differences of a sine are wrong by the mathematical h^2 / 12 of the fourth derivative."""
    space = Space("x[2]", data=["g"])
    (x,) = space.coordinates
    u, f, (g,) = space.unknown, space.network, space.data
    equation = space.equation(
        ansatz=f + 0, residuals=[Residual(laplacian(u, x) - g, weight=Q(1, 8))]
    )
    problem = problem_of(equation, Nodes(step=1 / 16), (50,), input=POINT, output=OUTPUT)
    points = np.random.default_rng(3).integers(0, 4096, size=(50, 2))

    def network(p: Reals) -> Reals:
        return np.sin(3 * p[..., 0]) * np.cos(2 * p[..., 1])

    outputs = sampled(problem, points, network)
    exact = -13 * network(points * POINT.resolution)
    data = np.rint(exact * 2.0**20).astype(np.int64)[:, None]
    found = residuals(problem, outputs, points, data, Flags())
    fourth = (81 + 16) / 12 / 16**2 / 8
    assert abs(found * 2.0**-20).max() < fourth + 1e-3


def test_loss_is_rounded_once_and_clamps() -> None:
    problem, loss = hjb(Nodes()), QFormat(32, 26)
    words = np.array([[3 << 10, -(1 << 20), 7], [(1 << 23) - 1] * 3])
    flags = Flags()
    found = residual_loss(problem, words[:1], loss, flags)
    exact = Fraction(sum(int(w) ** 2 for w in words[0]), 1 << 14)
    assert found.tolist() == [int(exact + Fraction(1, 2))] and not flags.value
    assert residual_loss(problem, words, loss, flags)[1] == loss.raw_max
    assert flags.value == Saturation.LOSS


def test_moved_points_are_sums() -> None:
    problem = hjb(Nodes(), 2)
    x = np.arange(12).reshape(2, 6)
    (moved,) = moved_points(problem, x)
    assert moved.shape == (2, 13, 6)
    assert (moved[:, 0] == x).all()
    assert sorted((moved - x[:, None]).sum(axis=2).ravel().tolist()) == sorted(
        [0, *[1024, -1024] * 6] * 2
    )
