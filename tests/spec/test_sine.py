"""Formats and table of the sine."""

import re

import pytest

from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.sine import argument, sine_table, value

from ..golden.plain.layer import sine_entry


def test_formats() -> None:
    """An argument reaches 4 where pre-activations do; a sine resolves more than they."""
    assert argument(QFormat(16, 13)) == QFormat(16, 13)
    assert argument(QFormat(18, 10)) == QFormat(13, 10)
    assert argument(QFormat(16, 15)) == QFormat(16, 15)
    assert value(QFormat(18, 15)) == QFormat(18, 16)


@pytest.mark.parametrize("width", range(9, 25))
def test_tables(width: int) -> None:
    """Rules in exact integers give what the chip has, whatever ``sin`` a machine has."""
    for frac_bits in range(8, width):
        table = sine_table(QFormat(width, frac_bits))
        assert len(table) == 1 + 128 * min(4, 1 << (width - 1 - frac_bits))
        assert table == [sine_entry(k, width - 2) for k in range(len(table))]


@pytest.mark.parametrize("preact", [QFormat(16, 7), QFormat(12, 12), QFormat(8, 8)], ids=str)
def test_refused_pre_activations(preact: QFormat) -> None:
    expected = (
        "A sine takes pre-activations with 8 fraction bits at least that reach from -1 to 1 or "
        f"further, got the format preact {preact}; Q2.13 is one"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Chip(lanes=2, cge=Cge.FORWARD, sine=True, formats=Formats(preact=preact))


def test_refused_with_environments() -> None:
    expected = (
        "CGE by environments needs an activation whose differences are no larger than those of its "
        'pre-activation, got sine; use cge = "forward" with it'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Chip(lanes=2, sine=True)


def test_refused_where_a_sum_would_shift_left() -> None:
    wide = QFormat(16, 13)
    formats = Formats(
        weight=QFormat(6, 4), input=wide, tt=wide, preact=QFormat(10, 9), delta=wide,
        logit=QFormat(20, 10), dlogit=QFormat(20, 10), cge_mu_shift=2,
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"^Requantisation only .* missing 1 bits with sines in Q1"
    ):
        Chip(lanes=2, cge=Cge.NONE, sine=True, formats=formats)
