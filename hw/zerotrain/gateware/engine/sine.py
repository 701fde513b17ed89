"""The sine of pre-activations, on their way to memory.

Golden model: :func:`zerotrain.golden.activations.activate` (bit-exact).
"""

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import fabric_product, pipe, sum_with_carry
from zerotrain.spec.chip import Chip
from zerotrain.spec.sine import INTERVAL_BITS, argument, signed_bits, sine_lines, value

__all__ = ["SharedSine", "SineUnit"]


class SineUnit(wiring.Component):
    """A line through the table's interval that the argument's magnitude is in.

    Throughput: 1 sine/cycle. Latency: ``timing.sine_latency``. Of these cycles the table takes one
    and its product one; on a pipelined chip, registers stand before the table, before the
    multiplier and behind the sum. Cost: a block RAM with both words of up to 512 intervals, and a
    multiplier of their growth by the way through them, of 10 by 8 bits for words of 18; on a
    compact chip it is made of logic.

    Parameters
    ----------
    chip : Chip
        One with ``sine``.
    width : int, optional
        Bits of the port, of which the low ones are the argument, by default only those. Yosys stops
        where a port is given some bits of a signed word.

    Members
    -------
    argument : In(signed)
        A pre-activation.
    value : Out(signed)
        Its sine.
    """

    argument: Signal
    value: Signal

    def __init__(self, chip: Chip, width: int | None = None) -> None:
        self._preact = chip.formats.preact
        # Three places, besides the table and the product.
        self._registers = (chip.timing.sine_latency - 2) // 3
        super().__init__(
            {
                "argument": In(signed(width or argument(self._preact).width)),
                "value": Out(signed(value(self._preact).width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fine = self._preact.frac_bits - INTERVAL_BITS

        def registered(word: Value, name: str) -> Value:
            return pipe(m, word, self._registers, name, reset_less=True)

        def late(word: Value, name: str) -> Value:
            return pipe(m, word, 1, name, reset_less=True)

        y = self.argument[: argument(self._preact).width].as_signed()
        magnitude = Mux(y < 0, -y, y)[: len(y)]
        # The lowest argument has a magnitude of one bit more.
        a = registered(magnitude[:-1] | magnitude[-1].replicate(len(y) - 1), "p1_magnitude")
        negative = registered(y < 0, "p1_negative")

        line = self._lines(m, a[fine:])
        way, negative = late(a[:fine], "p2_way"), late(negative, "p2_negative")
        begin, growth = registered(line.begin, "p3_begin"), registered(line.growth, "p3_growth")
        way, negative = registered(way, "p3_way"), registered(negative, "p3_negative")

        # The lanes of a compact chip may take all multiplier blocks of a small part.
        times = (lambda a, b: a * b) if self._registers else fabric_product
        prod = late(times(growth, way), "p4_prod")
        begin, negative = late(begin, "p4_begin"), late(negative, "p4_negative")
        # Half of the last place that is kept is the bit below it.
        line_value = sum_with_carry(begin, prod >> fine, prod[fine - 1])
        sine = Mux(negative, -line_value, line_value)
        m.d.comb += self.value.eq(registered(sine[: len(self.value)].as_signed(), "p5_sine"))
        return m

    def _lines(self, m: Module, interval: Value) -> data.View:
        """An interval's line, a cycle later."""
        begins, growths = sine_lines(self._preact)
        fields = {"begin": begins, "growth": growths}
        shapes = {name: signed(signed_bits(words)) for name, words in fields.items()}
        layout = data.StructLayout(shapes)
        words = [
            layout.const({"begin": b, "growth": g}).as_bits()
            for b, g in zip(begins, growths, strict=True)
        ]
        m.submodules.lines = made = Memory(
            shape=unsigned(layout.size), depth=len(words), init=words
        )
        port = made.read_port()
        m.d.comb += port.addr.eq(interval)
        return data.View(layout, port.data)


class SharedSine(wiring.Component):
    """One :class:`SineUnit` for a few lanes, which take turns.

    Sines of all lanes are there ``timing.sine_cycles`` cycles after their pre-activations, for one
    cycle. The next may be taken ``timing.sine_apart`` cycles after the last.

    Parameters
    ----------
    chip : Chip
        A pipelined one with ``sine``.
    lanes : int
        At most ``timing.sine_apart``.

    Members
    -------
    take : In(1)
        Pre-activations are there.
    arguments : In(ArrayLayout(signed, lanes))
    values : Out(ArrayLayout(signed, lanes))
    """

    take: Signal
    arguments: data.View
    values: data.View

    def __init__(self, chip: Chip, lanes: int) -> None:
        self._chip = chip
        self._turns, self._lanes = chip.timing.sine_apart, lanes
        assert 1 <= lanes <= self._turns
        preact = chip.formats.preact
        super().__init__(
            {
                "take": In(1),
                "arguments": In(data.ArrayLayout(signed(argument(preact).width), lanes)),
                "values": Out(data.ArrayLayout(signed(value(preact).width), lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = SineUnit(self._chip)
        waiting = Signal.like(self.arguments.as_value(), reset_less=True)
        width = len(unit.argument)
        m.d.sync += waiting.eq(Mux(self.take, self.arguments.as_value(), waiting >> width))
        m.d.comb += unit.argument.eq(waiting[:width])
        # The sine of lane k is there so many cycles before that of the last turn.
        found = [unit.value]
        for k in range(1, self._turns):
            found.append(pipe(m, found[-1], 1, f"found_{k}", reset_less=True))
        m.d.comb += self.values.eq(Cat(found[self._turns - 1 - k] for k in range(self._lanes)))
        return m
