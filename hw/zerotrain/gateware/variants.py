"""Which component each choice of a chip stands for. Nowhere else is a choice asked for a class."""

from zerotrain.gateware.loss.loss_units import loss_unit
from zerotrain.gateware.storage.common_store import CommonStore
from zerotrain.gateware.storage.separate_store import SeparateStore
from zerotrain.gateware.storage.shared import SharedMemory
from zerotrain.gateware.storage.store import Store
from zerotrain.gateware.update.update import Update
from zerotrain.gateware.update.update_serial import SerialUpdate
from zerotrain.spec import chip as choices
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import windows

__all__ = ["loss_memory", "loss_unit", "store", "update_unit"]

_STORES: dict[choices.Store, type[Store]] = {
    choices.Store.BLOCKS: SeparateStore,
    choices.Store.SPRAM: SeparateStore,
    choices.Store.COMMON: CommonStore,
}
_UPDATES: dict[choices.Core, type[Update]] = {
    choices.Core.PIPELINED: Update,
    choices.Core.COMPACT: SerialUpdate,
}


def store(chip: Chip) -> Store:
    """Where samples, parameters and momentum are."""
    return _STORES[chip.store](chip)


def update_unit(chip: Chip) -> Update:
    """What turns losses into a step of every parameter."""
    return _UPDATES[chip.core](chip)


def loss_memory(chip: Chip) -> SharedMemory:
    """Losses of all evaluations; for the update unit and the loss unit."""
    return SharedMemory(
        chip, windows(chip)["losses"], width=chip.loss_word_width, depth=chip.loss_rows,
        columns=chip.loss_columns, readers=2, writers=2,
    )  # fmt: skip
