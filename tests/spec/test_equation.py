"""Records of equations: constants, and what does not fit."""

from fractions import Fraction

import pytest

from zerotrain.physics.nodes import Nodes
from zerotrain.physics.space import Space
from zerotrain.physics.stencil import problem_of
from zerotrain.spec.equation import ResidualFormats, constant_word, offset_word
from zerotrain.spec.formats import QFormat

WORD = QFormat(28, 20)


def test_constants_use_the_whole_word() -> None:
    """Whatever their size, they are exact to 27 bits."""
    for value in (Fraction(1, 20), Fraction(7, 3), Fraction(10**6, 7), Fraction(1, 10**5)):
        mantissa, shift = constant_word(value, WORD)
        assert 1 << 26 <= mantissa < 1 << 27
        assert abs(Fraction(mantissa, 1 << shift) / value - 1) <= Fraction(1, 1 << 27)
    assert constant_word(Fraction(4), WORD) == (1 << 26, 24)
    assert constant_word(Fraction(1, 10**20), WORD) == (0, 56)
    assert offset_word(Fraction(-1, 3), WORD) == -349525


def test_constants_out_of_range() -> None:
    with pytest.raises(ValueError) as caught:
        constant_word(Fraction(1 << 27), WORD)
    assert str(caught.value) == "A number in an equation is below 2**27, got 134217728"
    with pytest.raises(ValueError) as caught:
        offset_word(Fraction(200), WORD)
    assert str(caught.value) == (
        "A number that an equation adds fits format Q7.20, -128 to 128, got 200: give the residual "
        "a weight"
    )


def test_formats_that_do_not_fit() -> None:
    with pytest.raises(ValueError) as caught:
        ResidualFormats(word=QFormat(32, 20))
    assert str(caught.value) == (
        "Format word of residuals has 8 to 28 bits and holds the value 1, got Q11.20"
    )
    with pytest.raises(ValueError) as caught:
        ResidualFormats(word=QFormat(20, 9))
    assert str(caught.value) == (
        "Residuals have at most twice the fraction bits of words, got Q3.20 and Q10.9"
    )
    space = Space("x")
    equation = space.equation(ansatz=space.network, residuals=[space.unknown])
    with pytest.raises(ValueError) as caught:
        problem_of(equation, Nodes(), (1,), input=QFormat(24, 21), output=QFormat(24, 20))
    assert str(caught.value) == (
        "Coordinates become words of residuals by shifts to the left: expected at most 20 fraction "
        "bits, got Q2.21"
    )


def test_a_sum_has_an_end() -> None:
    space = Space("x[16]", "y[16]")
    x, y = space.coordinates
    products = sum(a * b for a in x for b in y)
    equation = space.equation(ansatz=space.network, residuals=[space.unknown + products])
    with pytest.raises(ValueError) as caught:
        problem_of(equation, Nodes(), (1,), input=QFormat(14, 12), output=QFormat(24, 20))
    assert str(caught.value) == (
        "A sum of a residual has at most 255 terms with the same coefficient, got 257 with 1: make "
        "a smaller equation of it"
    )
