"""Nodes and weights: sizes, exactness on the grid, noise, refusals."""

from fractions import Fraction

import pytest

from zerotrain.physics.nodes import Method, Nodes
from zerotrain.physics.space import Q, Space, d, grad, laplacian, norm2
from zerotrain.physics.stencil import check_noise, expected_noise, problem_of, stencil_of
from zerotrain.spec.equation import Equation, Functional, Problem, ResidualFormats, Stencil
from zerotrain.spec.formats import QFormat

POINT = QFormat(14, 12)
EVERY = [
    Nodes(), Nodes(step=1 / 16), Nodes(Method.STROUD, 0.1), Nodes(Method.SPARSE_GRID, 0.1),
    Nodes(Method.MONTE_CARLO, 0.1),
]  # fmt: skip


def hjb() -> Equation:
    space = Space("x[20]", "t")
    x, t = space.coordinates
    u, f = space.unknown, space.network
    return space.equation(
        ansatz=(1 - t) * f + sum(x),
        residuals=[d(u, t) + laplacian(u, x) - Q("0.05") * norm2(grad(u, x)) + 2],
    )


def problem(nodes: Nodes) -> Problem:
    return problem_of(hjb(), nodes, (1,), input=POINT, output=QFormat(24, 20))


def applied(stencil: Stencil, functional: int, coordinate: int, power: int) -> Fraction:
    """A functional of a power of a coordinate, in units of format ``word``, unrounded."""
    total = Fraction(0)
    for weight, offset in zip(stencil.weights[functional], stencil.offsets, strict=True):
        total += weight * Fraction(dict(offset).get(coordinate, 0), 1 << 12) ** power
    return total * 2**4 / (1 << stencil.shifts[functional])


@pytest.mark.parametrize(
    ("nodes", "count", "gain"),
    [
        (Nodes(), 43, 648), (Nodes(Method.STROUD, 0.1), 883, 183),
        (Nodes(Method.MONTE_CARLO, 0.25), 1025, 12.87),
        (Nodes(Method.SPARSE_GRID, 0.1), 925, 413_700),
    ],
    ids=lambda value: value.method if isinstance(value, Nodes) else "",
)  # fmt: skip
def test_sizes_and_gains(nodes: Nodes, count: int, gain: float) -> None:
    """Of the HJB equation in 20 dimensions and time."""
    found = problem(nodes)
    assert found.n_nodes(0) == count
    assert found.gains(0)[-1] == pytest.approx(gain, rel=0.01)


@pytest.mark.parametrize("nodes", EVERY, ids=lambda nodes: f"{nodes.method}-{nodes.step:g}")
def test_weights_are_exact_on_their_monomials(nodes: Nodes) -> None:
    """As far as a word of 24 bits goes; constants have no derivative at all."""
    (stencil,) = problem(nodes).stencils
    assert all(sum(row) == 0 for row in stencil.weights)
    assert all(abs(w) < 1 << 23 for row in stencil.weights for w in row)
    for coordinate in (0, 13, 20):
        assert applied(stencil, coordinate, coordinate, 1) == pytest.approx(1, abs=1e-4)
        assert applied(stencil, coordinate, (coordinate + 1) % 21, 1) == pytest.approx(0, abs=0.2)
    total = sum(applied(stencil, 21, i, 2) for i in range(20))
    assert total / 20 == pytest.approx(2, abs=1e-2)


def test_differences_are_whole_numbers() -> None:
    (stencil,) = problem(Nodes()).stencils
    assert sorted(set(stencil.weights[21])) == [-640, 0, 16] and stencil.shifts[21] == 4
    assert stencil.offsets[:3] == ((), ((0, 1024),), ((0, -1024),))
    assert set(map(abs, stencil.weights[0])) == {0, 2}


def test_a_group_has_the_nodes_that_it_needs() -> None:
    """Boundary values need the point alone; a mixed derivative four corners."""
    formats = ResidualFormats()

    def nodes_of(*derivatives: tuple[int, ...]) -> int:
        functionals = [Functional.of(one) for one in derivatives]
        return len(stencil_of(Nodes(), "xyz", functionals, POINT, formats).offsets)

    assert nodes_of(()) == 1
    assert nodes_of((), (1,)) == 3
    assert nodes_of((0, 2), (1,)) == 1 + 2 + 4
    value = stencil_of(Nodes(), "xyz", [Functional.of(())], POINT, formats)
    assert value.weights == ((1,),) and value.shifts == (4,)


def test_noise_decides() -> None:
    """At 16 fraction bits a sparse grid is lost, at 22 it trains; differences and Stroud's rule do
    at 14."""
    for nodes, state, fits in (
        (Nodes(), QFormat(16, 14), True), (Nodes(Method.STROUD, 0.1), QFormat(16, 14), True),
        (Nodes(Method.MONTE_CARLO, 0.1), QFormat(16, 14), True),
        (Nodes(Method.SPARSE_GRID, 0.1), QFormat(24, 22), False),
    ):  # fmt: skip
        found = problem(nodes)
        assert (expected_noise(found, state)[0] <= 0.1) == fits
        if fits:
            check_noise(found, nodes, state)
    fine = problem_of(
        hjb(), Nodes(Method.SPARSE_GRID, 0.1), (1,), input=POINT, output=QFormat(28, 24)
    )
    check_noise(fine, Nodes(Method.SPARSE_GRID, 0.1), QFormat(24, 22))
    with pytest.raises(ValueError) as caught:
        check_noise(fine, Nodes(Method.SPARSE_GRID, 0.1), QFormat(18, 16))
    assert str(caught.value) == (
        "The sparse-grid nodes of step 0.1 amplify noise 413,686 times: with hidden words Q1.16 "
        "and outputs Q3.24, residuals have an expected noise of 1.1, at most 0.1 can be trained "
        "with; use words with 4 more fraction bits, a larger step, or differences with step 0.25"
    )


def test_refused() -> None:
    def sentence(nodes: Nodes, *functionals: Functional) -> str:
        with pytest.raises(ValueError) as caught:
            stencil_of(nodes, "xt", functionals, POINT, ResidualFormats())
        return str(caught.value)

    second, mixed = Functional.of((0, 0)), Functional.of((0, 1))
    assert sentence(Nodes(step=2.0**-13), second) == (
        "A step of differences is on the grid of the inputs: expected a multiple of 0.000244141 "
        "(format input Q1.12), got 0.00012207"
    )
    assert sentence(Nodes(Method.SPARSE_GRID, 0.25, level=2), mixed) == (
        "The sparse-grid nodes of step 0.25 do not give the derivative by x, t: expected 1 for "
        "that of the monomial itself, got 0; use differences, or a rule of a higher level"
    )
    assert sentence(Nodes(step=2.0**-12), second) == (
        "Weights of nodes have 24 bits, the largest is 1.68e+07: use a larger step"
    )
    wide = "A point has at most 4096 nodes, the stroud rule has 5,001 or more in 50 dimensions: "
    with pytest.raises(ValueError) as caught:
        Nodes(Method.STROUD).rule(50, [second])
    assert str(caught.value) == wide + "use differences, with two a dimension"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"step": 0}, "The step of nodes is above 0 and at most 4, not 0"),
        (
            {"step": 0.1},
            "Central differences have a step that is a power of two, such as 0.25 or 0.0625: their "
            "weights are shifts then; got 0.1",
        ),
        ({"level": 9}, "A sparse grid has a level of 1 to 8, not 9"),
        (
            {"samples": 3},
            "Monte-Carlo nodes come in pairs: samples is even and at least 2, not 3",
        ),
    ],
)
def test_refused_settings(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        Nodes(**values)  # type: ignore[arg-type]
    assert str(caught.value) == sentence
