"""Perturbation, gradients and update, rule by rule (whole steps: test_steps.py)."""

import numpy as np
import pytest

from zerotrain.golden.fixed import Flags
from zerotrain.golden.update import cge_gradient, differences, perturb, rge_gradient, update
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Network, dense
from zerotrain.spec.registers import Baseline, Saturation, UpdateRule
from zerotrain.spec.step import StepSettings

from . import draw
from .as_plain import plain_model, plain_settings


def test_perturb() -> None:
    flags, theta = Flags(), np.array([5, -5, 32767, -32768])
    bits = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], np.uint8)
    assert perturb(theta, bits, 7, Formats(), flags).tolist() == [
        [12, -12, 32760, -32761],
        [-2, 2, 32760, -32761],
    ]
    assert not flags.value
    assert perturb(theta, 1 - bits, 7, Formats(), flags)[0].tolist() == [-2, 2, 32767, -32768]
    assert flags.value == Saturation.PERTURB


def test_differences() -> None:
    losses = np.array([10, 13, 4])
    assert differences(losses, Baseline.BASE).tolist() == [3, -6]
    assert differences(losses, Baseline.MEAN).tolist() == [3, 12, -15]
    assert differences(losses, Baseline.MEAN).sum() == 0


def test_gradients() -> None:
    bits = np.array([[1, 0, 1], [1, 1, 0]], np.uint8)
    assert rge_gradient(np.array([5, -2]), bits).tolist() == [3, -7, 7]
    assert cge_gradient(np.array([10, 13, 4])).tolist() == [3, -6]


def test_sign_rule() -> None:
    theta, zero = np.array([100, 100, 100]), np.zeros(3, np.int64)
    settings = StepSettings(update_rule=UpdateRule.SIGN, step_mantissa=3)
    new, v = update(theta, zero, np.array([9, 0, -9]), settings, Formats(), Flags())
    assert new.tolist() == [97, 100, 103]
    assert v.tolist() == [9, 0, -9]
    assert theta.tolist() == [100, 100, 100]


def test_linear_rule_with_momentum() -> None:
    settings = StepSettings(
        update_rule=UpdateRule.LINEAR, gradient_shift=2, decay=14, step_mantissa=3, step_shift=1
    )
    gradient, momentum = np.array([10, -10]), np.array([16, -16])
    new, v = update(np.array([0, 0]), momentum, gradient, settings, Formats(), Flags())
    # gq = 3 and -2 (halves round up), v = 14 + 3 and -14 - 2, deltas 25.5 and -24.
    assert v.tolist() == [17, -16]
    assert new.tolist() == [-26, 24]


def test_flags_tell_what_was_clamped() -> None:
    formats, zero = Formats(), np.zeros(1, np.int64)
    settings = StepSettings(update_rule=UpdateRule.SIGN, decay=15)
    flags = Flags()
    update(zero, zero, np.array([1 << 30]), settings, formats, flags)
    assert flags.value == Saturation.GRADIENT
    flags = Flags()
    update(np.array([-32768]), zero, np.array([1]), settings, formats, flags)
    assert flags.value == Saturation.PARAMETER


@pytest.mark.parametrize("seed", range(60))
def test_equals_plain_integers(seed: int) -> None:
    rng = np.random.default_rng([8, seed])
    formats, settings, n = draw.formats(rng), draw.settings(rng), 30
    plain = plain_model(Network((dense(2, 2),)), formats, ((1,),), 1, 48)
    theta, momentum = (draw.words(rng, f, n) for f in (formats.weight, formats.momentum))
    gradient = draw.words(rng, QFormat(48, 0), n)
    flags = Flags()
    new, v = update(theta, momentum, gradient, settings, formats, flags)
    expected = plain.update(
        plain_settings(settings), theta.tolist(), momentum.tolist(), gradient.tolist()
    )
    assert (new.tolist(), v.tolist()) == expected
    assert flags.value == plain.flags
