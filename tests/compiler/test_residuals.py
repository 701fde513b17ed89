"""Programs of the residual unit: their size, their rows, what they cannot be."""

from dataclasses import replace

import pytest

from zerotrain.compiler.residuals import compile_problem
from zerotrain.physics.nodes import Nodes
from zerotrain.physics.space import Q, Space, d, grad, laplacian, norm2
from zerotrain.physics.stencil import problem_of
from zerotrain.spec.equation import Problem
from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Polynomial
from zerotrain.spec.residual_program import Instruction


def problem(space: Space, residual: Polynomial, ansatz: Polynomial) -> Problem:
    equation = space.equation(ansatz=ansatz, residuals=[residual])
    return problem_of(equation, Nodes(), (1,), input=QFormat(14, 12), output=QFormat(24, 20))


def test_hjb_takes_some_fifty_instructions() -> None:
    """20 squares, 20 first derivatives, two constants to multiply with, and the final sum."""
    space = Space("x[20]", "t")
    x, t = space.coordinates
    u, f = space.unknown, space.network
    residual = d(u, t) + laplacian(u, x) - Q("0.05") * norm2(grad(u, x)) + 2
    programs = compile_problem(problem(space, residual, (1 - t) * f + sum(x)))
    (group,) = programs.groups
    assert len(group.rows) == 20 + 20 + 2 + 5
    assert sum(row.residual for row in group.rows) == 1
    assert len(programs.field.rows) == 2  # f - t f
    assert not any(row.residual for row in programs.field.rows)
    assert programs.field.result == programs.field.registers - 1


def test_products_are_made_once() -> None:
    space = Space("x[2]")
    (x,) = space.coordinates
    u = space.unknown
    square = x[0] * x[1] * u
    (group,) = compile_problem(problem(space, square + square * d(u, x[0]), space.network)).groups
    # x0 x1, then x0 x1 u, then two terms of a sum.
    assert len(group.rows) == 4


def test_rows_are_read_back() -> None:
    row = Instruction(3, 1023, True, False, True, False, 17, 48, 28)
    assert Instruction.decode(row.encode()) == row
    assert row.encode() < 1 << 64
    with pytest.raises(ValueError) as caught:
        replace(row, a=1024).encode()
    assert str(caught.value) == "Field a of a residual instruction is 10 bits: 1024"


def test_too_many_registers() -> None:
    space = Space("x[40]")
    (x,) = space.coordinates
    residual = sum(
        (a**k * space.unknown / (i + 2) for i, a in enumerate(x) for k in range(1, 28)),
        space.unknown,
    )
    with pytest.raises(ValueError) as caught:
        compile_problem(problem(space, residual, space.network))
    assert str(caught.value) == (
        "The residual unit has 1024 registers, this equation needs 1184: write it with fewer "
        "products"
    )
