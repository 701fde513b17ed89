"""Metrics against NumPy on the chip's own integers."""

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.compiler.planner import chip_for, plan
from zerotrain.data.dataset import Samples, TargetScale
from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import forward
from zerotrain.host.driver import Driver, Evaluation
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.metric import Measurement, measure, metrics_of, spread
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.losses import OUTPUT_LOSSES, Loss
from zerotrain.spec.network import Activation, Layer, Network, dense
from zerotrain.spec.registers import Saturation

Ints = NDArray[np.int64]
FORMATS = Formats(logit=QFormat(20, 14))


def measured(
    loss: Loss, n_outputs: int, count: int, *, scale: TargetScale | None = None, amplitude: int = 1
) -> tuple[Measurement, Ints, Samples]:
    """A network with random parameters and samples on a golden chip; its outputs besides."""
    layers = Layer((2, 3), (3, 2), (2,), True, Activation.RELU), dense(6, n_outputs)
    network = Network(layers, loss)
    chip = chip_for(network, lanes=3, batch=7, formats=FORMATS)
    planned = plan(network, chip, batch=7)
    bus = GoldenChip(chip, network, planned.groups)
    driver = Driver.loaded(bus, chip, network, planned.program)
    theta = initial_parameters(network, FORMATS, 3)
    driver.parameters = theta
    rng = np.random.default_rng(n_outputs + count)
    x = rng.integers(-4000, 4000, (count, 6))
    if loss.record.labels:
        targets = rng.integers(0, n_outputs, count)
    else:
        most = FORMATS.logit.raw_max if amplitude > 1 else 20000
        targets = rng.integers(-most, most, (count, n_outputs))
    z = forward(network, FORMATS, planned.groups, theta, x, Flags())
    samples = Samples(x, targets, FORMATS)
    return measure(driver, samples, scale or TargetScale()), z, samples


@pytest.mark.parametrize(("n_outputs", "count"), [(1, 1), (1, 30), (3, 41)])
def test_squared_errors(n_outputs: int, count: int) -> None:
    scale = TargetScale(2.5, (7.0,) * n_outputs, "mm")
    found, z, samples = measured(Loss.MEAN_SQUARED_ERROR, n_outputs, count, scale=scale)
    # The chip: 17 fraction bits, every square rounded down to 20.
    errors = (z - samples.targets) << (17 - FORMATS.logit.frac_bits)
    total = int(((errors * errors) >> 14).sum())
    assert (found.evaluation.loss, found.evaluation.count) == (total, count)
    rmse, r2 = found.values
    assert rmse == sqrt(total / count / 2**20 / n_outputs) * 2.5
    assert found.by_key == {"rmse": rmse, "r2": r2}
    # Real arithmetic on the same integers: less than 2**-20 of a square is lost to rounding.
    outputs, targets = z * 2.0**-14, samples.targets * 2.0**-14
    squares = float(((outputs - targets) ** 2).sum())
    assert 0 <= squares - total / 2**20 < count * n_outputs / 2**20
    assert rmse == pytest.approx(2.5 * sqrt(((outputs - targets) ** 2).mean()), rel=1e-6)
    if count > 1:
        deviations = float(((targets - targets.mean(axis=0)) ** 2).sum())
        assert r2 == pytest.approx(1 - squares / deviations, abs=1e-6)
    assert found.show() == f"RMSE {rmse:.4g} mm, R² {r2:.3f}"


def test_accuracy() -> None:
    found, z, samples = measured(Loss.SOFTMAX_CROSS_ENTROPY, 4, 50)
    correct = int((z.argmax(axis=1) == samples.targets).sum())
    assert 0 < correct < 50
    assert found.by_key == {"accuracy": correct / 50}
    assert found.show() == f"accuracy {2 * correct}.0%"
    assert found.show(exact=True) == f"accuracy {2 * correct}.00%"


def test_clamped_losses_are_told() -> None:
    """Thirty squares of up to 32² pass the largest loss of a batch, 2048."""
    found, z, samples = measured(Loss.MEAN_SQUARED_ERROR, 3, 7, amplitude=2)
    assert found.evaluation.saturation == Saturation.LOSS
    assert found.show().endswith(" (clamped: loss)")
    errors = (z - samples.targets) * 2.0**-14
    assert found.values[0] < sqrt((errors**2).mean())


def test_spread_is_exact() -> None:
    rng = np.random.default_rng(1)
    assert spread(np.array([[3], [5], [10]])) == 26.0
    targets = rng.integers(-(1 << 23), 1 << 23, (1000, 2))
    expected = sum(
        1000 * sum(int(t) ** 2 for t in column) - sum(int(t) for t in column) ** 2
        for column in targets.T
    )
    assert spread(targets) == expected / 1000
    # A common shift changes nothing, however large it is beside the deviations.
    assert spread(np.array([[3], [5], [10]]) + (1 << 22)) == 26.0


def test_what_cannot_be_explained() -> None:
    """Targets that do not deviate: R² is 1 for a network without errors, else 0."""
    _, r2 = metrics_of(Loss.MEAN_SQUARED_ERROR)
    samples = Samples(np.zeros((4, 1), np.int64), np.full((4, 1), 77), FORMATS)
    assert r2.compute(Evaluation(0, 0, 4), samples, 1.0) == 1.0
    assert r2.compute(Evaluation(9, 0, 4), samples, 1.0) == 0.0
    # Always saying the mean explains nothing; half of the deviations, half.
    samples = Samples(samples.x, np.array([[-(1 << 14)], [1 << 14]] * 2), FORMATS)
    assert r2.compute(Evaluation(4 << 20, 0, 4), samples, 1.0) == 0.0
    assert r2.compute(Evaluation(2 << 20, 0, 4), samples, 1.0) == 0.5


@pytest.mark.parametrize("loss", OUTPUT_LOSSES)
def test_every_loss_has_a_metric(loss: Loss) -> None:
    main = metrics_of(loss, "m")[0]
    assert main.name == loss.record.metric and main.higher_is_better == loss.record.labels
    best, worst = (0.9, 0.1) if main.higher_is_better else (0.1, 0.9)
    assert main.worst([0.5, worst, best]) == worst
    assert main.label == ("accuracy, %" if loss.record.labels else f"{main.name}, m")
    assert main.cell([0.5, 0.7]) == ("60.00 % ± 14.14" if main.percent else "0.600 ± 0.141")
