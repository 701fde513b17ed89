"""What is declared of activations."""

from dataclasses import replace

import numpy as np
import pytest

from zerotrain.golden.activations import difference
from zerotrain.spec.activations import (
    ACTIVATION_BITS,
    ACTIVATIONS,
    Activation,
    check_differences,
)
from zerotrain.spec.formats import Formats


def test_codes() -> None:
    """Every activation that lanes apply has a code of its own that fits the control word; none is
    zero, and so is what reads words that are activated."""
    read = [record for record in ACTIVATIONS.values() if not record.on_write]
    codes = [record.code for record in read]
    assert len({*codes}) == len(codes)
    assert all(record.code == 0 for record in ACTIVATIONS.values() if record.on_write)
    assert all(0 <= code < 1 << ACTIVATION_BITS for code in codes)
    assert ACTIVATIONS[Activation.NONE].code == 0


@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU])
def test_what_shrinks(activation: Activation) -> None:
    """Declared as it is: no pair of small integers shows otherwise."""
    y, dy = np.meshgrid(np.arange(-70, 70), np.arange(-70, 70))
    grown = np.abs(difference(y, dy, activation, Formats())) > np.abs(dy)
    assert ACTIVATIONS[activation].shrinks == (not grown.any())


def test_formats_of_values() -> None:
    """What is applied on reading keeps the format of the word."""
    preact = Formats().preact
    for activation, record in ACTIVATIONS.items():
        same = record.argument(preact) == record.value(preact) == preact
        assert same == (not record.on_write), activation


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_differences(Activation.RELU)
    grows = replace(ACTIVATIONS[Activation.RELU], shrinks=False)
    monkeypatch.setitem(ACTIVATIONS, Activation.RELU, grows)
    with pytest.raises(ValueError, match=r"^CGE by environments needs an activation whose differ"):
        check_differences(Activation.RELU)
