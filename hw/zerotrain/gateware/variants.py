"""Which class builds what a chip chose: the only place that knows both."""

from zerotrain.gateware.engine.compact_lanes import CompactLanes, row_at_a_time, word_at_a_time
from zerotrain.gateware.engine.compact_memories import (
    CommonMemories,
    CompactMemories,
    OwnMemories,
    ScratchMemories,
)
from zerotrain.gateware.engine.lane_array import LaneArray
from zerotrain.gateware.engine.pipelined_lanes import PipelinedLanes
from zerotrain.gateware.loss.error_losses import ERROR_LOSSES
from zerotrain.gateware.loss.logits import DifferenceSweep, LogitSweep
from zerotrain.gateware.loss.loss import LossUnit
from zerotrain.gateware.loss.serial_loss import SerialDifferenceLoss, SerialSoftmaxLoss
from zerotrain.gateware.loss.softmax_loss import SoftmaxLoss
from zerotrain.gateware.storage.common_store import CommonStore
from zerotrain.gateware.storage.separate_store import SeparateStore
from zerotrain.gateware.storage.store import Store
from zerotrain.gateware.update.pipelined_update import PipelinedUpdate
from zerotrain.gateware.update.serial_update import SerialUpdate
from zerotrain.gateware.update.update import Update
from zerotrain.spec import choices
from zerotrain.spec.chip import Chip
from zerotrain.spec.choices import Core

__all__ = ["lane_array", "loss_unit", "store", "update_unit"]

_STORES: dict[choices.Store, type[Store]] = {
    choices.Store.BLOCKS: SeparateStore,
    choices.Store.SPRAM: SeparateStore,
    choices.Store.COMMON: CommonStore,
}
_UPDATES: dict[Core, type[PipelinedUpdate | SerialUpdate]] = {
    Core.PIPELINED: PipelinedUpdate,
    Core.COMPACT: SerialUpdate,
}
#: Memories of compact lanes, by where pre-activations are.
_COMPACT_MEMORIES: dict[choices.Place, type[CompactMemories]] = {
    choices.Place.OWN: OwnMemories,
    choices.Place.SCRATCH: ScratchMemories,
    choices.Place.COMMON: CommonMemories,
}


def lane_array(chip: Chip) -> LaneArray:
    """The lanes of a chip."""
    if chip.core == Core.PIPELINED:
        return PipelinedLanes(chip)
    memories = _COMPACT_MEMORIES[chip.preact_place](chip)
    return CompactLanes(chip, memories, word_at_a_time if chip.serial_loss else row_at_a_time)


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
    return _UPDATES[chip.core](chip)


def store(chip: Chip) -> Store:
    """Where samples, parameters and momentum are."""
    return _STORES[chip.store](chip)
