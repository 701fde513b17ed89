"""Interpolation in the tables of the base-2 exponential and logarithm."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import fabric_product, pipe
from zerotrain.spec.tables import FINE_BITS, TABLE_BITS

__all__ = ["FRACTION", "REST", "Interpolator", "curve_words"]

#: Fraction bits of an argument: table index and interpolation.
FRACTION = 18
#: Those of them that the tables leave to interpolation.
REST = FRACTION - TABLE_BITS


def curve_words(curves: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Slope and first value of every interval of the curves, one curve after the other.

    Parameters
    ----------
    curves : sequence of sequence of int
        One or two curves, 65 values each, 20 fraction bits; their whole part is left out, and what
        is left of all values but the last fits 20 bits.
    """
    shifted = [[value - curve[0] for value in curve] for curve in curves]
    pairs = [pair for c in shifted for pair in zip(c, c[1:], strict=False)]
    return [b - a for a, b in pairs], [a for a, _ in pairs]


class Interpolator(wiring.Component):
    """Fraction bits of the curves at ``argument``, linear between 64 points.

    Golden model: :func:`zerotrain.golden.loss.exp2_fraction`, and the last line of ``log2``
    (bit-exact).

    Throughput: 1 argument/cycle. Latency: ``LATENCY`` cycles. Cost: two tables and a
    multiplier. Each is small enough for LUT RAM where the part has it; one of both would take a
    block RAM.

    Parameters
    ----------
    curves : sequence of sequence of int
        One or two curves, 65 values each, 20 fraction bits; their whole part is left out.
    fabric : bool
        Multiply without a DSP block.

    Members
    -------
    curve : In(1)
        Which curve; 0 if there is only one.
    argument : In(18)
        The fraction of the way through the curve.
    value : Out(20)
        Fraction bits of the curve.
    """

    LATENCY = 4

    curve: Signal
    argument: Signal
    value: Signal

    def __init__(self, *curves: Sequence[int], fabric: bool = False) -> None:
        if len(curves) not in (1, 2):
            raise ValueError(f"An interpolator has one or two curves, not {len(curves)}")
        self._curves = curves
        self._fabric = fabric
        super().__init__({"curve": In(1), "argument": In(FRACTION), "value": Out(FINE_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Stage 1: tables. Stages 2 and 3: the input and output registers of a DSP block.
        slope_words, value_words = curve_words(self._curves)
        slopes = self._table(m, "slope", slope_words, max(slope_words).bit_length())
        values = self._table(m, "value", value_words, FINE_BITS)
        rest = pipe(m, self.argument[:REST], 2, "rest", reset_less=True)
        slope = pipe(m, slopes, 1, "slope", reset_less=True)
        value = pipe(m, values, 2, "value", reset_less=True)
        product: Value = fabric_product(slope, rest) if self._fabric else slope * rest
        p3_product = pipe(m, product, 1, "product", reset_less=True)
        # Below the next table entry, so that it fits 20 bits.
        m.d.sync += self.value.eq(value + (p3_product >> REST))
        return m

    def _table(self, m: Module, name: str, words: list[int], width: int) -> Value:
        """The word of the argument's interval, one cycle later."""
        m.submodules[f"{name}_table"] = made = Memory(
            shape=unsigned(width), depth=len(words), init=words
        )
        port = made.read_port()
        m.d.comb += port.addr.eq(Cat(self.argument[REST:], self.curve))
        return port.data
