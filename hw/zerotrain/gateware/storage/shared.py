"""A memory that units and the host share, one of them at a time."""

from dataclasses import replace

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import (
    ReadPort,
    WritePort,
    add_memory,
    address_bits,
)
from zerotrain.gateware.storage.window import WindowPort
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Window, windows

__all__ = ["SharedMemory", "loss_memory", "show_losses"]


class SharedMemory(wiring.Component):
    """A memory that is the host's while the chip is idle, otherwise that of one unit at a time.

    Latency: a unit's word is there ``chip.timing.read_latency`` cycles after its address; all
    units see it. A word is written a cycle later than told, on a compact chip at once, and so much
    later than a unit's comes the host's: block RAM is slow, and the host has time.

    Parameters
    ----------
    chip : Chip
    window : Window
        The host's view.
    width, depth : int
        Bits of a unit's word, of which the host may see fewer, and words.
    columns : int
        The lowest bits of a word, which are in SPRAM.
    readers, writers : int
        Units of each kind.

    Members
    -------
    idle : In(1)
    host : In(WindowPort(window))
    read : In(ReadPort).array(readers)
        The first that is ``active`` has the port, otherwise the last.
    active : In(readers)
        That of the last does not matter.
    write : In(WritePort).array(writers)
        They never write at once.
    """

    idle: Signal
    host: wiring.PureInterface
    active: Signal
    read: list[wiring.PureInterface]
    write: list[wiring.PureInterface]

    def __init__(
        self, chip: Chip, window: Window, *, width: int, depth: int, columns: int = 0,
        readers: int = 1, writers: int = 1,
    ) -> None:  # fmt: skip
        self._crossing, self._depth, self._columns = chip.timing.crossing, depth, columns
        bits = address_bits(depth)
        super().__init__(
            {
                "idle": In(1),
                "host": In(WindowPort(window)),
                "active": In(readers),
                "read": In(ReadPort(bits, width)).array(readers),
                "write": In(WritePort(bits, width)).array(writers),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host, steps, width = self.host, self._crossing, len(self.write[0].data)
        write, read = add_memory(m, "words", width, self._depth, self._columns)
        m.d.comb += host.granted.eq(self.idle)

        address: Value = self.read[-1].addr
        for k in reversed(range(len(self.read) - 1)):
            address = Mux(self.active[k], self.read[k].addr, address)
        address = Mux(self.idle, host.addr, address)
        m.d.comb += read.addr.eq(pipe(m, address, steps, "row", reset_less=True))
        word = pipe(m, Value.cast(read.data), steps, "word", reset_less=True)
        m.d.comb += [port.data.eq(word) for port in self.read]
        m.d.comb += host.r_data.eq(pipe(m, word, steps, "held", reset_less=True))

        unit = WritePort(len(write.addr), width).create()
        for port in self.write:
            with m.If(port.en):
                m.d.comb += [unit.en.eq(1), unit.addr.eq(port.addr), unit.data.eq(port.data)]
        told = Cat(
            unit.en | host.w_en,
            Mux(unit.en, unit.addr, host.addr),
            Mux(unit.en, unit.data, host.w_data),
        )
        told = pipe(m, told, steps, "told", reset_less=True)
        m.d.comb += Cat(write.en, write.addr, write.data).eq(told)
        return m


def loss_memory(chip: Chip) -> SharedMemory:
    """Losses of all evaluations; for the update unit, which goes first, and the loss unit. Where
    steps are split, the host sees whole rows, with differences (:func:`show_losses`)."""
    window = windows(chip)["losses"]
    if chip.split:
        window = replace(window, words=chip.loss_rows, width=chip.loss_word)
    return SharedMemory(
        chip, window, width=chip.loss_word, depth=chip.loss_rows,
        columns=chip.loss_columns, readers=2, writers=2,
    )  # fmt: skip


def show_losses(
    m: Module, chip: Chip, rows: wiring.PureInterface, losses: wiring.PureInterface,
    coefficients: wiring.PureInterface,
) -> None:  # fmt: skip
    """Show rows of the loss memory in the two windows of a chip that splits its steps.

    Parameters
    ----------
    rows : WindowPort
        The memory's.
    losses, coefficients : WindowPort
        The bank's, of which one is accessed at a time.
    """
    # Whose access it is stays known as long as the word is on its way.
    reads = Signal()
    with m.If(losses.r_en | coefficients.r_en):
        m.d.sync += reads.eq(coefficients.r_en)
    row = coefficients.addr + chip.difference_row
    m.d.comb += [
        rows.addr.eq(Mux(coefficients.w_en | reads, row, losses.addr)),
        rows.w_en.eq(coefficients.w_en),
        rows.w_data.eq(coefficients.w_data.as_signed()),
        losses.r_data.eq(rows.r_data),
        coefficients.r_data.eq(rows.r_data),
        losses.granted.eq(rows.granted),
        coefficients.granted.eq(rows.granted),
    ]
