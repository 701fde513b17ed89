"""Which loss unit a chip has."""

from zerotrain.gateware.loss.loss import LossUnit, SoftmaxLoss, SquaredErrorLoss
from zerotrain.gateware.loss.loss_serial import SerialSoftmaxLoss
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Loss

__all__ = ["loss_unit"]


def loss_unit(chip: Chip, *, fabric_multiplier: bool = False) -> LossUnit:
    """The loss unit of a chip.

    Parameters
    ----------
    chip : Chip
    fabric_multiplier : bool
        Interpolate the softmax without DSP blocks, where the lanes need them all.
    """
    if chip.loss == Loss.MEAN_SQUARED_ERROR:
        return SquaredErrorLoss(chip, fabric_multiplier=fabric_multiplier)
    if chip.serial_loss:
        return SerialSoftmaxLoss(chip)
    return SoftmaxLoss(chip, fabric_multiplier=fabric_multiplier)
