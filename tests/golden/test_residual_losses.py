"""Losses of an equation: readable, fast, behind the registers; and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.fast.engine import FAST
from zerotrain.golden.fixed import Flags
from zerotrain.golden.model import Model, State
from zerotrain.golden.steps import READABLE, query_copies, rge_step
from zerotrain.golden.tt import forward
from zerotrain.host.driver import Driver
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Loss, Network
from zerotrain.spec.registers import Baseline, Command, UpdateRule
from zerotrain.spec.step import StepSettings

from ..physics.small import FORMATS, GROUPS, heat, network

Ints = NDArray[np.int64]
SETTINGS = StepSettings(
    queries=3, baseline=Baseline.BASE, update_rule=UpdateRule.LINEAR, mu=128, gradient_shift=2,
    step_mantissa=3, step_shift=12,
)  # fmt: skip
CHIP = Chip(
    3, FORMATS, Loss.RESIDUAL, Cge.NONE, sine=True, split=True, residual_depth=64, sample_depth=64,
    target_depth=64,
)  # fmt: skip


def drawn(count: int = 7) -> tuple[Ints, Ints, Ints]:
    """Parameters, points and data."""
    rng = np.random.default_rng(4)
    theta = rng.integers(-9000, 9000, network().n_parameters)
    return theta, rng.integers(0, 4097, (count, 2)), rng.integers(-(1 << 20), 1 << 20, (count, 1))


def test_fast_equals_readable() -> None:
    model = Model(network(), FORMATS, GROUPS, 3, environments=False)
    theta, x, data = drawn()
    state = State(theta, np.zeros_like(theta), 5)
    copies = query_copies(model, SETTINGS, state, Flags())
    found = []
    for engine in (READABLE, FAST):
        flags = Flags()
        vectors = engine.residuals(model, copies, x, data, flags)
        losses = engine.forward_losses(model, copies, x, data, flags)
        error = engine.evaluate(model, theta, x, data, flags)
        after, step_losses = rge_step(model, SETTINGS, state, x, data, flags, engine)
        assert step_losses.tolist() == losses.tolist()
        found.append((vectors.tolist(), losses.tolist(), error, after.theta.tolist(), flags.value))
    assert found[0] == found[1]
    vectors = np.array(found[0][0])
    assert vectors.shape == (4, 7)
    exact = (vectors**2).sum(axis=1) / 2**40
    assert abs(np.array(found[0][1]) / 2**26 - exact).max() <= 2**-27


def test_evaluate_sums_squared_errors() -> None:
    """Of u at any number of points; targets are exact values less b."""
    theta, x, data = drawn(11)
    model = Model(network(), FORMATS, GROUPS, 3, environments=False)
    f = forward(model.network, FORMATS, GROUPS, theta, x, Flags())[:, 0] * 2.0**-20
    missed = x[:, 1] * 2.0**-12 * f - data[:, 0] * 2.0**-20
    found, correct = READABLE.evaluate(model, theta, x, data, Flags())
    assert found * 2.0**-26 == pytest.approx((missed**2).sum(), abs=1e-4)
    assert correct == 0


def test_the_golden_chip_gives_residuals_and_takes_coefficients() -> None:
    theta, x, data = drawn()
    model = Model.of(CHIP, network(), GROUPS)
    driver = Driver(GoldenChip(CHIP, network(), GROUPS), CHIP, network())
    driver.parameters, driver.momentum, driver.lfsr_state = theta, np.zeros_like(theta), 5
    driver.load_batch(x, data, 0)
    half = driver.step(Command.LOSSES, SETTINGS, bank=0)
    state = State(theta, np.zeros_like(theta), 5)
    copies = query_copies(model, SETTINGS, state, Flags())
    vectors = READABLE.residuals(model, copies, x, data, Flags())
    assert driver.residuals(4).tolist() == vectors.tolist()
    after, losses = rge_step(model, SETTINGS, state, x, data, Flags())
    assert half.losses.tolist() == losses.tolist()
    driver.write_coefficients(losses[1:] - losses[0])
    driver.step(Command.UPDATE, SETTINGS, bank=0)
    assert driver.parameters.tolist() == after.theta.tolist() != theta.tolist()


def test_refused() -> None:
    def sentence(attempt: object) -> str:
        with pytest.raises(ValueError) as caught:
            attempt()  # type: ignore[operator]
        return str(caught.value)

    theta, x, data = drawn(5)
    model = Model.of(CHIP, network(), GROUPS)
    assert sentence(lambda: READABLE.residuals(model, theta[None], x, data, Flags())) == (
        "A batch of this equation has 7 points, (4, 3) of its groups, got 5"
    )
    coarse = replace(CHIP, formats=replace(FORMATS, logit=QFormat(24, 19)))
    assert sentence(lambda: Model.of(coarse, network(), GROUPS)) == (
        "The equation of network 'heat' was made for inputs Q1.12 and outputs Q3.20, the chip has "
        "Q1.12 and Q4.19"
    )
    assert sentence(lambda: Network(network().layers, Loss.RESIDUAL)) == (
        'A network has an equation if its loss is "residual", and only then: got the loss '
        '"residual" without one'
    )
    assert sentence(lambda: Network(network().layers[1:], Loss.RESIDUAL, problem=heat())) == (
        "An equation in 2 coordinates takes a network of 2 inputs and 1 output, got one of 6 and 1"
    )
    assert sentence(lambda: replace(CHIP, cge=Cge.FORWARD, sine=False, residual_depth=1 << 17)) == (
        "residual_depth is 0 to 65536 words, not 131072"
    )
    assert sentence(lambda: replace(CHIP, cge=Cge.ENVIRONMENTS, sine=False)) == (
        'Residuals of an equation have no environments: expected cge = "none" or "forward", got '
        'cge = "environments"'
    )
