"""Small pieces of fixed-point arithmetic shared by the units."""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "ConstantMultiplier",
    "add_or_subtract",
    "csd_digits",
    "fabric_product",
    "pipe",
    "saturate",
    "saturation_parts",
    "select_shift",
    "selected",
    "selection_levels",
    "sum_with_carry",
]


def saturate(value: Value, width: int) -> tuple[Value, Value]:
    """Clamp a signed value to ``width`` bits.

    Returns the clamped value (``signed(width)``) and one bit that tells whether it was clamped.
    """
    value = Value.cast(value)
    if not value.shape().signed:
        raise TypeError(f"Only signed values are saturated, not {value.shape()!r}")
    if len(value) <= width:
        return value, Value.cast(0)[:1]
    top = value[width - 1 :]
    clamped = top.any() & ~top.all()
    return Mux(clamped, limit(value[-1], width), value[:width].as_signed()), clamped


def saturation_parts(value: Value, width: int, extreme: Signal, clamped: Signal) -> list[object]:
    """The same in two parts: what ``value`` is if it is clamped to ``width`` bits, and whether."""
    return [extreme.eq(limit(value[-1], width)), clamped.eq(saturate(value, width)[1])]


def limit(negative: Value, width: int) -> Value:
    """The lowest value of ``signed(width)`` if ``negative``, else the highest."""
    # A choice of constants: Verilator would put repeated bits together one by one.
    top = 1 << (width - 1)
    return Mux(negative, Const(-top, signed(width)), Const(top - 1, signed(width)))


def add_or_subtract(total: Value, term: Value, subtract: Value) -> Value:
    """``total - term`` if ``subtract``, else ``total + term``, both signed; one adder.

    ``-term`` is ``~term + 1``; the 1 comes as the carry from a lowest bit of its own.
    """
    inverted = term.as_unsigned() ^ subtract.replicate(len(term))
    one = Const(1, 1)
    return (Cat(one, total).as_signed() + Cat(subtract, inverted).as_signed())[1:].as_signed()


def sum_with_carry(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry`` of signed values and one bit; one adder.

    The carry comes from a lowest bit of its own. ``a + ~b + 1`` is ``a - b``.
    """
    return (Cat(1, a).as_signed() + Cat(carry, b).as_signed()) >> 1


def select_shift(value: Value, amount: Value, bits: range) -> Value:
    """Shift right (arithmetic if signed) by the part of ``amount`` that lies in ``bits``.

    One multiplexer per bit: a barrel shifter is split over registers by calling this once per
    stage.
    """
    for bit in reversed(bits):
        value = Mux(amount[bit], value >> (1 << bit), value)
    return value


def fabric_product(a: Value, b: Value) -> Value:
    """``a * b`` for an unsigned ``b``, as shifted sums that synthesis keeps out of DSP blocks."""
    rows: list[Value] = [Mux(b[k], a, 0) << k for k in range(len(b))]
    while len(rows) > 1:
        rows = [
            rows[k] + rows[k + 1] if k + 1 < len(rows) else rows[k] for k in range(0, len(rows), 2)
        ]
    return rows[0]


def csd_digits(constant: int) -> list[tuple[int, int]]:
    """Canonical signed digits of a positive constant: pairs (exponent, +1 or -1), ascending."""
    if constant < 1:
        raise ValueError(f"A constant factor is positive, not {constant!r}")
    digits, exponent = [], 0
    while constant:
        if constant & 1:
            sign = 2 - (constant & 3)
            digits.append((exponent, sign))
            constant -= sign
        constant >>= 1
        exponent += 1
    return digits


class ConstantMultiplier(wiring.Component):
    """Product with a constant, by shifts and adds over its canonical signed digits.

    Exact. Throughput: 1 product/cycle. Latency: ``latency`` = ceil(log2(digits)) cycles, at least
    1; each level of the adder tree is registered, so that no path is longer than one addition.

    Parameters
    ----------
    width : int
        Width of the signed operand.
    constant : int
        Positive factor.

    Members
    -------
    i : In(signed(width))
    o : Out(signed(...))
        Wide enough for every product.
    """

    i: Signal
    o: Signal

    def __init__(self, width: int, constant: int) -> None:
        self._digits = csd_digits(constant)
        self.latency = max(1, (len(self._digits) - 1).bit_length())
        super().__init__({"i": In(signed(width)), "o": Out(signed(width + constant.bit_length()))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A node is value * sign << exponent; the value of a leaf is the operand itself.
        nodes: list[tuple[Value, int, int]] = [(self.i, e, s) for e, s in self._digits]
        for level in range(self.latency):
            following: list[tuple[Value, int, int]] = []
            for k in range(0, len(nodes), 2):
                low, exponent, sign = nodes[k]
                if k + 1 < len(nodes):
                    high, high_exponent, high_sign = nodes[k + 1]
                    shifted = high << (high_exponent - exponent)
                    # The sign of the sum is that of its high part: subtract where they differ.
                    total = shifted + low if sign == high_sign else shifted - low
                    sign = high_sign
                else:
                    total = low
                node = Signal(Shape.cast(total.shape()), name=f"p{level}_{k}", reset_less=True)
                m.d.sync += node.eq(total)
                following.append((node, exponent, sign))
            nodes = following
        value, exponent, sign = nodes[0]
        # The leading signed digit of a positive constant is positive.
        assert sign > 0
        m.d.comb += self.o.eq(value << exponent)
        return m


def pipe(
    m: Module,
    value: Value,
    cycles: int,
    name: str,
    *,
    reset_less: bool = False,
    attrs: dict[str, int] | None = None,
) -> Value:
    """``value`` as it was ``cycles`` clock cycles ago."""
    for k in range(cycles):
        stage = Signal(value.shape(), name=f"{name}_{k + 1}", reset_less=reset_less, attrs=attrs)
        m.d.sync += stage.eq(value)
        value = stage
    return value


def selection_levels(count: int) -> int:
    """Cycles that :func:`selected` takes to choose among ``count`` words."""
    return max(1, -(-(count - 1).bit_length() // 2))


def selected(
    m: Module, words: Sequence[Value], index: Value, name: str, *, clear: Value | int = 0
) -> Value:
    """``words[index]``, or zero if ``clear``, as of ``selection_levels(len(words))`` cycles ago.

    The words lie apart from one another: there is a multiplexer of four inputs per cycle. Copies of
    ``index`` are marked ``keep``, since their twins may be elsewhere.
    """
    keep = {"keep": 1}
    words, levels = list(words), selection_levels(len(words))
    cleared = pipe(m, Value.cast(clear), levels - 1, f"{name}_clear", reset_less=True, attrs=keep)
    for level in range(levels):
        four = [words[k : k + 4] for k in range(0, len(words), 4)]
        chosen = [Array(w)[index[:2]] if len(w) > 1 else w[0] for w in four]
        if level == levels - 1:
            chosen = [Mux(cleared, 0, word) for word in chosen]
        words = [
            pipe(m, word, 1, f"{name}_{level}_{k}", reset_less=True)
            for k, word in enumerate(chosen)
        ]
        index = pipe(m, index[2:], 1, f"{name}_index_{level}", reset_less=True, attrs=keep)
    (word,) = words
    return word
