"""Samples and targets as the host writes them: parts of rows, in one bank or two."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import ReadPort, address_bits
from zerotrain.gateware.storage.window import WindowPort
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import windows

__all__ = ["TargetMemory", "batch_place"]


def batch_place(
    m: Module, chip: Chip, host: wiring.PureInterface, depth: int, idle: Value, bank: Value
) -> tuple[Value, Value]:
    """Grant the host's access to a memory of a batch, and say which part and row it means.

    With two banks, the one that no step works on may be written at any time; the second begins at
    row ``depth``.
    """
    bits = address_bits(depth)
    if chip.sample_banks == 1:
        m.d.comb += host.granted.eq(idle)
        return host.addr[bits:], host.addr[:bits]
    half = host.addr[bits]
    m.d.comb += host.granted.eq(idle | (host.writing & (half != bank)))
    return host.addr[bits + 1 :], host.addr[:bits] + Mux(half, depth, 0)


class TargetMemory(wiring.Component):
    """Targets: a row holds one word of every way of the loss unit.

    Latency: a word is read one cycle after its address. The host's words cross the chip like those
    of other memories (``chip.timing.crossing``).

    Parameters
    ----------
    chip : Chip

    Members
    -------
    idle : In(1)
        The host may also read.
    bank : In(1)
        The bank that a step works on.
    host : In(WindowPort)
    read : In(ReadPort)
        Rows of all ways.
    """

    idle: Signal
    bank: Signal
    host: wiring.PureInterface
    read: wiring.PureInterface

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        window = windows(chip)["targets"]
        row = chip.loss_ways * window.width
        super().__init__(
            {
                "idle": In(1),
                "bank": In(1),
                "host": In(WindowPort(window)),
                "read": In(ReadPort(address_bits(chip.target_rows), row)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, host, bits = self._chip, self.host, len(self.host.w_data)
        m.submodules.rows = rows = Memory(
            shape=chip.loss_ways * bits, depth=chip.target_rows, init=[]
        )
        write, read = rows.write_port(granularity=bits), rows.read_port()
        part, row = batch_place(m, chip, host, chip.target_depth, self.idle, self.bank)
        en, part, row, word = (
            pipe(m, value, chip.timing.crossing, f"host_{name}")
            for name, value in (
                ("en", host.w_en), ("part", part), ("row", row), ("word", host.w_data)
            )
        )  # fmt: skip
        answer = read.data.word_select(part, bits)
        m.d.comb += [
            read.addr.eq(Mux(self.idle, row, self.read.addr)),
            self.read.data.eq(read.data),
            write.addr.eq(row),
            write.data.eq(word.replicate(chip.loss_ways)),
            write.en.eq(en << part),
            host.r_data.eq(pipe(m, answer, chip.timing.crossing, "held", reset_less=True)),
        ]
        return m
