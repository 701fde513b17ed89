"""Which unit a chip has, where there is a choice: the one place that maps choices to classes."""

from zerotrain.gateware.loss.logits import DifferenceSweep, LogitSweep
from zerotrain.gateware.loss.loss import LossUnit, SoftmaxLoss, SquaredErrorLoss
from zerotrain.gateware.loss.loss_serial import SerialDifferenceLoss, SerialSoftmaxLoss
from zerotrain.gateware.update.update import Update
from zerotrain.gateware.update.update_pipelined import PipelinedUpdate
from zerotrain.gateware.update.update_serial import SerialUpdate
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Loss

__all__ = ["loss_unit", "update_unit"]


def loss_unit(chip: Chip, *, fabric_multiplier: bool = False) -> LossUnit:
    """The loss unit of a chip.

    Parameters
    ----------
    chip : Chip
    fabric_multiplier : bool
        Interpolate the softmax without DSP blocks, where the lanes need them all.
    """
    if chip.serial_loss:
        return SerialDifferenceLoss(chip) if chip.has_environments else SerialSoftmaxLoss(chip)
    unit = SquaredErrorLoss if chip.loss == Loss.MEAN_SQUARED_ERROR else SoftmaxLoss
    sweep = DifferenceSweep if chip.has_environments else LogitSweep
    return unit(chip, sweep, fabric_multiplier=fabric_multiplier)


def update_unit(chip: Chip) -> Update:
    """The update unit of a chip."""
    return SerialUpdate(chip) if chip.compact else PipelinedUpdate(chip)
