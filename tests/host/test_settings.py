"""Real numbers as the chip's integers, and back."""

from dataclasses import replace

import numpy as np
import pytest

from zerotrain.config.training import CgeStage, Decay, RgeStage, Rule, Training
from zerotrain.golden.fixed import Flags
from zerotrain.golden.update import update
from zerotrain.host.schedule import Schedule
from zerotrain.host.settings import chip_values, rounding, step_settings
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.registers import Baseline, UpdateRule

FORMATS = Formats()
CGE = CgeStage(10, 0.03, 0.001, momentum=0.9)
RGE = RgeStage(20, 2e-3, 5e-4, momentum=0.5, mu=0.03, queries=8)


@pytest.mark.parametrize("batch", [1, 32, 64])
@pytest.mark.parametrize("size", [0.1, 0.03, 1e-3])
@pytest.mark.parametrize("limit", [1.0, 8.0, 50.0])
@pytest.mark.parametrize("formats", [FORMATS, Formats(weight=QFormat(16, 12), cge_mu_shift=4)])
def test_cge_moves_a_weight_by_step_size_times_gradient(
    batch: int, size: float, limit: float, formats: Formats
) -> None:
    """Through the golden update, for a loss with a known slope."""
    settings = step_settings(replace(CGE, momentum=0.0, gradient_limit=limit), formats, batch, size)
    slope = 0.5
    raw_gradient = round(slope * 2.0**-formats.cge_mu_shift * batch * 2**20)
    theta, _ = update(
        np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([raw_gradient]), settings, formats,
        Flags(),
    )  # fmt: skip
    moved = -float(theta[0]) * formats.weight.resolution
    expected = size * slope
    # One weight LSB, a mantissa of at least 7 significant bits, one LSB of the scaled gradient.
    assert abs(moved - expected) <= formats.weight.resolution + expected * (2**-7 + 2**-12)


@pytest.mark.parametrize(("baseline", "gain"), [("base", 4), ("mean", 4 * 3)])
def test_plain_rge_moves_a_weight_by_step_size_times_gradient(baseline: str, gain: int) -> None:
    """All 2**4 sign patterns of 4 queries: the mean over them is the expectation."""
    stage = replace(RGE, rule=Rule.LINEAR, queries=4, baseline=baseline, mu=2.0**-5, momentum=0.0)
    settings = step_settings(stage, FORMATS, 32, 0.05)
    slope, unit = 0.25, round(0.25 * 2**-5 * 32 * 2**20)  # the loss's change by mu
    gradients = []
    for pattern in range(16):
        signs = np.array([1 if pattern >> k & 1 else -1 for k in range(4)])
        losses = 1000 + unit * signs
        differences = losses - 1000 if baseline == "base" else 4 * losses - losses.sum()
        gradients.append(int((differences * signs).sum()))
    assert sum(gradients) / 16 == gain * unit
    theta, _ = update(
        np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([gain * unit]), settings, FORMATS,
        Flags(),
    )  # fmt: skip
    assert -theta[0] / 2**13 == pytest.approx(0.05 * slope, rel=0.01, abs=2**-13)


def test_sign_rge_registers() -> None:
    settings = step_settings(RGE, FORMATS, 32, 2e-3)
    assert settings.update_rule == UpdateRule.SIGN
    assert (settings.mu, settings.step_mantissa, settings.decay) == (246, 16, 8)
    assert (settings.queries, settings.baseline) == (8, Baseline.MEAN)


def test_momentum_word_holds_the_gradient_limit_and_not_much_more() -> None:
    for limit in (0.5, 8.0, 100.0):
        settings = step_settings(replace(CGE, gradient_limit=limit), FORMATS, 32, 0.03)
        full = limit * 32 * 2**20 / 2**6 / 2**settings.gradient_shift
        assert full <= FORMATS.momentum.raw_max
        assert settings.gradient_shift == 0 or full * 2 > FORMATS.momentum.raw_max


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (replace(RGE, mu=1e-5), "[training.rge] mu 1e-05 is not representable on this chip: "
         "expected 0.00012207 to 7.99988"),
        (replace(RGE, step_size=0.1), "[training.rge] step_size 0.1 is not representable on this "
         "chip: expected 0.00012207 to 0.0311279"),
        (replace(RGE, final_step_size=1e-5), "[training.rge] step_size 1e-05 is not representable "
         "on this chip: expected 0.00012207 to 0.0311279"),
        (replace(CGE, momentum=0.99), "[training.cge] momentum 0.99 is not representable on this "
         "chip: expected 0 to 0.9375"),
        (replace(CGE, step_size=1e9), "[training.cge] step_size 1e+09 is not representable on this "
         "chip: expected 2.98e-08 to 1.63e+04 (a larger or smaller gradient_limit moves this "
         "range)"),
        (replace(CGE, gradient_limit=1e12), "[training.cge] gradient_limit 1e+12 is not "
         "representable on this chip: expected at most 3.43597e+10"),
    ],
)  # fmt: skip
def test_values_out_of_reach_are_refused(stage: RgeStage | CgeStage, message: str) -> None:
    key = "rge" if isinstance(stage, RgeStage) else "cge"
    with pytest.raises(ValueError) as caught:
        Schedule(Training("digits", **{key: stage}), FORMATS)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("size", [1e-3, 4e-3, 0.02])
def test_the_step_size_is_what_the_chip_takes(rule: Rule, size: float) -> None:
    """Through the golden update: a gradient of one moves a weight by it, to an LSB."""
    for stage in (
        replace(CGE, step_size=size),
        replace(RGE, step_size=size, rule=rule, momentum=0),
    ):
        key = "cge" if isinstance(stage, CgeStage) else "rge"
        training = Training("digits", batch=32, **{key: stage})  # type: ignore[arg-type]
        planned = Schedule(training, FORMATS).next()
        assert planned is not None
        assert planned.step_size == chip_values(training, FORMATS)[key]["step_size"]
        gain = 2.0**-FORMATS.cge_mu_shift if key == "cge" else 246 / 2**13 * 8 * 7
        raw = np.array([round(32 * 2**20 * gain)])
        theta, _ = update(
            np.zeros(1, np.int64), np.zeros(1, np.int64), raw, planned.settings, FORMATS, Flags()
        )
        one = 2.0**-FORMATS.weight.frac_bits
        assert -theta[0] * one == pytest.approx(planned.step_size, rel=1e-5, abs=one)
        assert planned.step_size == pytest.approx(size, rel=0.2)


def test_rounding_is_said() -> None:
    rge = replace(RGE, step_size=2e-3, final_step_size=2.0**-9, decay=Decay.LINEAR, mu=2.0**-5)
    training = Training("digits", rge=rge, cge=replace(CGE, momentum=0.9))
    assert list(rounding(training, FORMATS)) == [
        "Rounded to what the chip has, [training.rge]: step_size 0.002 is 0.001953.",
        "Rounded to what the chip has, [training.cge]: momentum 0.9 is 0.875.",
    ]
    exact = replace(rge, step_size=2.0**-9)
    alone = replace(exact, steps=1, final_step_size=2.0**-12)
    for stage in (exact, alone):
        assert not list(rounding(Training("digits", rge=stage), FORMATS))


def test_a_momentum_that_would_vanish_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        Schedule(Training("digits", cge=replace(CGE, momentum=0.01)), FORMATS)
    assert str(caught.value) == (
        "[training.cge] momentum 0.01 would be 0 on this chip, which has sixteenths: expected 0 or "
        "0.0625 to 0.9375"
    )
    assert Schedule(Training("digits", cge=replace(CGE, momentum=0.0)), FORMATS).next() is not None
