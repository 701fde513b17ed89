"""The weight memory: one area, or two banks of which one is prepared while the other is used."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import ReadPort, WritePort, add_memory, address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.memories import segments

__all__ = ["FACTOR_LATENCY", "WeightMemory", "weight_latency"]

#: Cycles from the address of a factor to its word.
FACTOR_LATENCY = 4


def weight_latency(chip: Chip) -> int:
    """Cycles from the address of a weight to its word."""
    return 2 + chip.timing.weight_lead


class WeightMemory(wiring.Component):
    """Weights under evaluation, and on chips with a merge unit a copy of the lowest ones.

    Without a merge unit this is one memory; with a common store it reads or writes in a cycle, and
    no word may be on its way out of it when another is written. With a unit it is two halves. They
    are used as one area, even words in one half and odd ones in the other, or, with ``banked``,
    either of them alone: ``read_bank`` and ``write_bank`` say which, and addresses stay below half
    the depth. What is written to the first ``merge_depth`` words is also written to the copy, which
    the merge unit reads through two ports of its own. The copy is that of whichever bank was
    written last. It has two ports in all, like block RAM: while it is written, no factor is read.

    Halves lie all over the chip. Each segment of one has its own address registers, marked ``keep``
    since synthesis would merge them, and a register alone behind its words, which goes into the
    block RAM (``boards/pack_registers.py``).

    Latency: a word is read ``weight_latency(chip)`` cycles after its address: 2, or with a merge
    unit 5 (address, address of the segment, word, word of the segment, word of the half); a factor
    ``FACTOR_LATENCY`` = 4 cycles (address, word, word of the segment, factor). What is written can
    be read by an address that is given one cycle later, a factor by one that is given two later.

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
        The merge unit's factors; idle without one. An address in the cycle after a write below
        ``merge_depth`` is ignored.
    """

    banked: Signal
    read_bank: Signal
    write_bank: Signal
    read: wiring.PureInterface
    write: wiring.PureInterface

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        bits, word = address_bits(chip.weight_depth), signed(chip.formats.weight.width)
        factors = ReadPort(address_bits(chip.merge_depth), word)
        super().__init__(
            {
                "banked": In(1),
                "read_bank": In(1),
                "write_bank": In(1),
                "read": In(ReadPort(bits, word)),
                "write": In(WritePort(bits, word)),
                "left": In(factors),
                "right": In(factors),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._chip.merge_depth:
            self._halves(m)
            self._factors(m)
            return m
        width, depth = self._chip.formats.weight.width, self._chip.weight_depth
        columns = self._chip.spram_columns("weights", depth, width)
        w, r = add_memory(m, "words", width, depth, columns)
        p1_row = Signal.like(self.read.addr, reset_less=True)
        m.d.sync += p1_row.eq(self.read.addr)
        m.d.comb += [
            r.addr.eq(p1_row),
            self.read.data.eq(r.data),
            w.en.eq(self.write.en),
            w.addr.eq(self.write.addr),
            w.data.eq(self.write.data),
        ]
        return m

    def _halves(self, m: Module) -> None:
        depth = self._chip.weight_depth // 2
        parts, word = segments(depth), self.write.data
        p1_row = Signal(address_bits(depth), reset_less=True)
        p1_half = Signal(reset_less=True)
        w1_row, w1_data = (Signal.like(s, reset_less=True) for s in (p1_row, word))
        row = Mux(self.banked, self.write.addr, self.write.addr >> 1)[: len(w1_row)]
        m.d.sync += [
            p1_row.eq(Mux(self.banked, self.read.addr, self.read.addr >> 1)),
            p1_half.eq(Mux(self.banked, self.read_bank, self.read.addr[0])),
            w1_row.eq(row),
            w1_data.eq(word),
        ]
        writes = Mux(self.banked, self.write_bank, self.write.addr[0])
        p3_select = pipe(m, _leading(p1_row, parts), 2, "select", reset_less=True)
        p5_words = []
        for k in range(2):
            p4_words = []
            for s, (part, hit) in enumerate(zip(parts, _hits(row, parts), strict=True)):
                name = f"half_{k}_{s}"
                m.submodules[name] = memory = Memory(shape=word.shape(), depth=part, init=[])
                r, w = memory.read_port(), memory.write_port()
                w1_en = Signal(name=f"{name}_w1_en")
                m.d.sync += w1_en.eq(self.write.en & (writes == k) & hit)
                m.d.comb += [
                    r.addr.eq(_kept(m, f"{name}_p2_row", p1_row[: len(r.addr)])),
                    w.addr.eq(_kept(m, f"{name}_w2_row", w1_row[: len(w.addr)])),
                    w.data.eq(_kept(m, f"{name}_w2_data", w1_data)),
                    w.en.eq(_kept(m, f"{name}_w2_en", w1_en, reset_less=False)),
                ]
                p4_words.append(pipe(m, r.data, 1, f"{name}_word", reset_less=True))
            p4_select = _kept(m, f"half_{k}_p4_select", p3_select)
            p5_words.append(
                pipe(m, _selected(p4_select, p4_words), 1, f"half_{k}_word", reset_less=True)
            )
        p5_half = pipe(m, p1_half, 4, "half", reset_less=True)
        m.d.comb += self.read.data.eq(Mux(p5_half, p5_words[1], p5_words[0]))

    def _factors(self, m: Module) -> None:
        depth, word = self._chip.merge_depth, self.write.data
        parts, users = segments(depth), (self.left, self.right)
        w1_row = Signal(address_bits(depth), reset_less=True)
        w1_data, f1_data = (Signal.like(word, reset_less=True) for _ in range(2))
        w1_copies = Signal()
        m.d.sync += [
            w1_row.eq(self.write.addr),
            w1_data.eq(word),
            w1_copies.eq(self.write.en & (self.write.addr < depth)),
            f1_data.eq(w1_data),
        ]
        # Synthesis finds that the write port can share one with the left factor: same address,
        # never at once. With three ports it would make two memories.
        f1_rows = [Signal.like(w1_row, name=f"f1_row_{k}", reset_less=True) for k in range(2)]
        m.d.sync += [
            f1_rows[0].eq(Mux(w1_copies, w1_row, self.left.addr)),
            f1_rows[1].eq(self.right.addr),
        ]
        f3_words: list[list[Value]] = [[], []]
        for s, (part, hit) in enumerate(zip(parts, _hits(w1_row, parts), strict=True)):
            m.submodules[f"factors_{s}"] = memory = Memory(shape=word.shape(), depth=part, init=[])
            w, ports = memory.write_port(), [memory.read_port() for _ in users]
            f1_en = Signal(name=f"f1_en_{s}")
            m.d.sync += f1_en.eq(w1_copies & hit)
            m.d.comb += [
                w.en.eq(f1_en),
                w.addr.eq(f1_rows[0]),
                w.data.eq(f1_data),
                ports[0].en.eq(~f1_en),
            ]
            for k, port in enumerate(ports):
                m.d.comb += [port.addr.eq(f1_rows[k])]
                f3_words[k].append(pipe(m, port.data, 1, f"factors_{s}_word_{k}", reset_less=True))
        for k, user in enumerate(users):
            f3_select = pipe(m, _leading(f1_rows[k], parts), 2, f"f_select_{k}", reset_less=True)
            factor = _selected(f3_select, f3_words[k])
            m.d.comb += user.data.eq(pipe(m, factor, 1, f"factor_{k}", reset_less=True))


def _kept(m: Module, name: str, value: Value, *, reset_less: bool = True) -> Signal:
    """A register that synthesis does not merge with its twins."""
    register = Signal(value.shape(), name=name, reset_less=reset_less, attrs={"keep": 1})
    m.d.sync += register.eq(value)
    return register


def _leading(row: Value, parts: list[int]) -> Value:
    """For every segment but the last, the address bit that says whether a row is behind it."""
    return Cat(row[part.bit_length() - 1] for part in parts[:-1])


def _hits(row: Value, parts: list[int]) -> list[Value]:
    """For every segment, whether a row is in it."""
    behind = [*_leading(row, parts)]
    return [Cat(*behind[:k], *(~b for b in behind[k : k + 1])).all() for k in range(len(parts))]


def _selected(behind: Value, words: list[Value]) -> Value:
    """The word of the segment that a row is in."""
    *others, word = words
    for k, other in reversed([*enumerate(others)]):
        word = Mux(behind[k], word, other)
    return word
