"""The weight memory: one area, or two banks of which one is prepared while the other is used."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from zerotrain.gateware.memory import ReadPort, WritePort, address_bits
from zerotrain.spec.chip import Chip

__all__ = ["WeightMemory"]


class WeightMemory(wiring.Component):
    """Weights under evaluation, and on chips with a merge unit a copy of the lowest ones.

    Without a merge unit this is one memory. With one it is two halves. They are used as one area,
    even words in one half and odd ones in the other, or, with ``banked``, either of them alone:
    ``read_bank`` and ``write_bank`` say which, and addresses stay below half the depth. What is
    written to the first ``merge_depth`` words is written to the copy one cycle later, which the
    merge unit reads through two ports of its own. The copy is that of whichever bank was written
    last. It has two ports in all, like block RAM: while it is written, no factor is read.

    Latency: a word is read one cycle after its address.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    banked, read_bank, write_bank : In(1)
        They hold still while anything is read or written.
    read : In(ReadPort)
        The engine's weights.
    write : In(WritePort)
    left, right : In(ReadPort)
        The merge unit's factors; on chips with a merge unit. An address in the cycle after a
        write below ``merge_depth`` is ignored.
    """

    banked: Signal
    read_bank: Signal
    write_bank: Signal
    read: wiring.PureInterface
    write: wiring.PureInterface

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        bits, word = address_bits(chip.weight_depth), signed(chip.formats.weight.width)
        factors = {
            name: In(ReadPort(address_bits(chip.merge_depth), word)) for name in ("left", "right")
        }
        super().__init__(
            {
                "banked": In(1),
                "read_bank": In(1),
                "write_bank": In(1),
                "read": In(ReadPort(bits, word)),
                "write": In(WritePort(bits, word)),
                **(factors if chip.merge_depth else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, word = self._chip, signed(self._chip.formats.weight.width)
        if not chip.merge_depth:
            m.submodules.words = words = Memory(shape=word, depth=chip.weight_depth, init=[])
            r, w = words.read_port(), words.write_port()
            m.d.comb += [
                r.addr.eq(self.read.addr),
                self.read.data.eq(r.data),
                w.en.eq(self.write.en),
                w.addr.eq(self.write.addr),
                w.data.eq(self.write.data),
            ]
            return m

        depth = chip.weight_depth // 2
        reads = Mux(self.banked, self.read_bank, self.read.addr[0])
        writes = Mux(self.banked, self.write_bank, self.write.addr[0])
        data = []
        for k in range(2):
            half = Memory(shape=word, depth=depth, init=[])
            m.submodules[f"half_{k}"] = half
            r, w = half.read_port(), half.write_port()
            m.d.comb += [
                r.addr.eq(Mux(self.banked, self.read.addr, self.read.addr >> 1)),
                w.addr.eq(Mux(self.banked, self.write.addr, self.write.addr >> 1)),
                w.en.eq(self.write.en & (writes == k)),
                w.data.eq(self.write.data),
            ]
            data.append(r.data)
        second = Signal(reset_less=True)
        m.d.sync += second.eq(reads)
        m.d.comb += self.read.data.eq(Mux(second, data[1], data[0]))

        m.submodules.factors = factors = Memory(shape=word, depth=chip.merge_depth, init=[])
        w, left, right = factors.write_port(), factors.read_port(), factors.read_port()
        copied = Signal.like(self.write.addr, reset_less=True)
        m.d.sync += [
            w.en.eq(self.write.en & (self.write.addr < chip.merge_depth)),
            copied.eq(self.write.addr),
            w.data.eq(self.write.data),
        ]
        # Synthesis finds that the write port can share one with the left factor: same address,
        # never at once. With three ports it would make two memories.
        m.d.comb += [
            left.addr.eq(Mux(w.en, copied, self.left.addr)),
            w.addr.eq(left.addr),
            right.addr.eq(self.right.addr),
            left.en.eq(~w.en),
            right.en.eq(~w.en),
            self.left.data.eq(left.data),
            self.right.data.eq(right.data),
        ]
        return m
