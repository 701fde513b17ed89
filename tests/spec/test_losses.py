"""What losses declare of themselves, held against what they compute."""

from math import ceil
from typing import Any

import numpy as np
import pytest

from zerotrain.golden.fixed import Flags
from zerotrain.golden.loss import SAMPLE_LOSSES
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.losses import OUTPUT_LOSSES, Loss
from zerotrain.spec.network import Network, dense
from zerotrain.spec.registers import windows

FORMATS = Formats(logit=QFormat(20, 12), dlogit=QFormat(20, 16))


@pytest.mark.parametrize("loss", OUTPUT_LOSSES)
def test_a_common_shift_of_the_outputs_changes_a_loss_or_not(loss: Loss) -> None:
    rng, record = np.random.default_rng(1), loss.record
    z = rng.integers(-9000, 9000, (50, 4))
    targets = rng.integers(0, 4, 50) if record.labels else rng.integers(-9000, 9000, (50, 4))

    def losses(shift: int) -> list[int]:
        compute = SAMPLE_LOSSES[loss]
        return compute(z + shift, targets, FORMATS, Flags(), None, None).tolist()

    assert (losses(0) == losses(1234)) == record.shift_invariant


@pytest.mark.parametrize("loss", [loss for loss in Loss if loss.record.error_power])
def test_the_power_of_the_errors(loss: Loss) -> None:
    """In exact steps of the formats there is no rounding."""
    errors = np.array([[3, -2], [0, 0], [-5, 1]])
    z = np.zeros((3, 2), np.int64)
    found = SAMPLE_LOSSES[loss](z, errors << 12, FORMATS, Flags(), None, None)
    expected = (np.abs(errors) ** loss.record.error_power).sum(axis=1) << 20
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("loss", OUTPUT_LOSSES)
def test_targets_on_the_chip(loss: Loss) -> None:
    record, chip = loss.record, Chip(lanes=3, loss=loss, loss_ways=1, output_depth=16)
    assert record.labels == (record.error_power == 0)
    network = Network((dense(3, 5),), loss)
    assert network.n_targets == (1 if record.labels else 5)
    window = windows(chip)["targets"]
    expected = ceil(np.log2(16)) if record.labels else chip.formats.logit.width
    assert (window.width, window.signed) == (expected, not record.labels)


@pytest.mark.parametrize("loss", OUTPUT_LOSSES)
def test_fewest_outputs(loss: Loss) -> None:
    least = loss.record.least_outputs
    assert Network((dense(3, least),), loss).n_outputs == least
    if least > 1:
        message = f"^{loss.record.title} needs at least {least} outputs, got {least - 1}$"
        with pytest.raises(ValueError, match=message):
            Network((dense(3, least - 1),), loss)


@pytest.mark.parametrize("loss", OUTPUT_LOSSES)
def test_fraction_bits(loss: Loss) -> None:
    most = loss.record.frac_bits

    def formats(name: str, frac_bits: int) -> Formats:
        chosen: dict[str, Any] = {"logit": QFormat(20, 12), name: QFormat(20, frac_bits)}
        return Formats(**chosen)

    for name in ("logit", "dlogit"):
        Chip(lanes=3, loss=loss, formats=formats(name, most))
        if most < 20:  # no format has more
            with pytest.raises(ValueError, match=f"^{loss.record.title} needs format {name} to "
                               f"have at most {most} fraction bits, got Q1.18$"):  # fmt: skip
                Chip(lanes=3, loss=loss, formats=formats(name, most + 1))


def test_fraction_bits_of_the_loss() -> None:
    """Sums of residuals become small: they may have more."""
    fine = Formats(logit=QFormat(20, 12), loss=QFormat(32, 26))
    Chip(lanes=3, loss=Loss.RESIDUAL, cge=Cge.NONE, formats=fine)
    with pytest.raises(ValueError) as caught:
        Chip(lanes=3, loss=Loss.MEAN_SQUARED_ERROR, formats=fine)
    assert str(caught.value) == (
        "Mean squared error needs format loss to have 20 fraction bits, got Q5.26"
    )
