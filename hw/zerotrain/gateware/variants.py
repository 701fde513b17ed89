"""Which class builds what a chip chose: the only place that knows both."""

from zerotrain.gateware.engine.compact_lanes import CompactLanes, row_at_a_time, word_at_a_time
from zerotrain.gateware.engine.compact_memories import (
    CommonMemories,
    CompactMemories,
    OwnMemories,
    SharedMemories,
)
from zerotrain.gateware.engine.lane_array import LaneArray
from zerotrain.gateware.engine.pipelined_lanes import PipelinedLanes
from zerotrain.gateware.loss.error_losses import ERROR_LOSSES
from zerotrain.gateware.loss.logits import DifferenceSweep, LogitSweep
from zerotrain.gateware.loss.loss import LossUnit
from zerotrain.gateware.loss.loss_serial import SerialDifferenceLoss, SerialSoftmaxLoss
from zerotrain.gateware.loss.softmax_loss import SoftmaxLoss
from zerotrain.gateware.storage.common_store import CommonStore
from zerotrain.gateware.storage.separate_store import SeparateStore
from zerotrain.gateware.storage.shared import SharedMemory
from zerotrain.gateware.storage.store import Store
from zerotrain.gateware.update.update import Update
from zerotrain.gateware.update.update_pipelined import PipelinedUpdate
from zerotrain.gateware.update.update_serial import SerialUpdate
from zerotrain.spec import chip as choices
from zerotrain.spec.chip import Chip, Core
from zerotrain.spec.registers import windows

__all__ = ["lane_array", "loss_memory", "loss_unit", "store", "update_unit"]

_STORES: dict[choices.Store, type[Store]] = {
    choices.Store.BLOCKS: SeparateStore,
    choices.Store.SPRAM: SeparateStore,
    choices.Store.COMMON: CommonStore,
}


def lane_array(chip: Chip) -> LaneArray:
    """The lanes of a chip."""
    if chip.core == Core.PIPELINED:
        return PipelinedLanes(chip)
    memories: type[CompactMemories] = SharedMemories
    if chip.has_environments:
        memories = OwnMemories
    if chip.common:
        memories = CommonMemories
    logits = word_at_a_time if chip.serial_loss else row_at_a_time
    return CompactLanes(chip, memories(chip), logits)


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
    unit = ERROR_LOSSES.get(chip.loss, SoftmaxLoss)
    sweep = DifferenceSweep if chip.has_environments else LogitSweep
    return unit(chip, sweep, fabric_multiplier=fabric_multiplier)


def update_unit(chip: Chip) -> Update:
    """What turns losses into a step of every parameter."""
    return SerialUpdate(chip) if chip.core == Core.COMPACT else PipelinedUpdate(chip)


def store(chip: Chip) -> Store:
    """Where samples, parameters and momentum are."""
    return _STORES[chip.store](chip)


def loss_memory(chip: Chip) -> SharedMemory:
    """Losses of all evaluations; for the update unit and the loss unit."""
    return SharedMemory(
        chip, windows(chip)["losses"], width=chip.loss_word, depth=chip.loss_rows,
        columns=chip.loss_columns, readers=2, writers=2,
    )  # fmt: skip
