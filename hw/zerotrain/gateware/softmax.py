"""One way of the softmax cross-entropy: base-2 log-sum-exp of one lane at a time."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import (
    ConstantMultiplier,
    fabric_product,
    pipe,
    saturate,
    select_shift,
)
from zerotrain.spec.chip import Chip
from zerotrain.spec.tables import EXP2, FINE_BITS, LN2, LN2_BITS, LOG2, LOG2E, TABLE_BITS

__all__ = ["SoftmaxWay"]

#: Beyond +-2**5 (20 fraction bits) an exponential is 0, or saturates every sum.
_EXPONENT_WIDTH = 26
#: Fraction bits of the base-2 exponent: table index and interpolation.
_FRACTION = 18
_REST = _FRACTION - TABLE_BITS


def _table() -> tuple[list[int], int]:
    """Words (slope, value) of ``2**x - 1`` for x = 0, 1/64, ..., then of ``log2(1 + x)``.

    Returns the words and the width of a slope. All values fit 20 bits.
    """
    curves = ([value - (1 << FINE_BITS) for value in EXP2], list(LOG2))
    slopes = [[b - a for a, b in zip(c, c[1:], strict=False)] for c in curves]
    width = max(max(s) for s in slopes).bit_length()
    words = [
        slope << FINE_BITS | value
        for curve, slope_row in zip(curves, slopes, strict=True)
        for value, slope in zip(curve, slope_row, strict=False)
    ]
    return words, width


class SoftmaxWay(wiring.Component):
    """Softmax cross-entropy of the lanes of one way, one output per cycle.

    Golden model: :func:`zerotrain.golden.loss.softmax_loss` (bit-exact).

    The loss of a lane is ``tail - head``: ``head = u_t - ref`` of the true output, and ``tail`` the
    logarithm of the sum of exponentials. One table and one multiplier interpolate both the
    exponentials, one per cycle, and the logarithm, in a cycle without an exponential. There must be
    one such cycle between two groups.

    Latency: ``head`` leaves 3 cycles after the last element of its lane, ``tail`` ``latency`` to
    ``latency + n_outputs`` cycles after it.

    Parameters
    ----------
    chip : Chip
        Formats.
    fabric_multiplier : bool
        Interpolate without a DSP block.

    Members
    -------
    z, dz : In(signed(logit.width))
        Element: logit and difference.
    find, valid, first, last, end, active, match : In(1)
        Element of the sweep for the maximum, or of the other one; first and last output of the
        lane; last lane of the evaluation; the lane holds a sample; this is the true output.
    maximum : Out(signed(logit.width))
        Largest logit so far of the sweep for the maximum, one cycle after the element.
    maximum_match : Out(1)
        The first largest logit is that of the true output.
    reference : In(signed(logit.width))
        Maximum of the element's lane, one cycle after the element.
    head_valid, head_end, head : Out
        Zero if not active; ``head_end`` for the last lane of the evaluation.
    tail_valid, tail_end, tail : Out
        Likewise.
    saturated : Out(1)
        Pulse: a sum of exponentials reached ``2**32``.
    """

    z: Signal
    dz: Signal
    find: Signal
    valid: Signal
    first: Signal
    last: Signal
    end: Signal
    active: Signal
    match: Signal
    maximum: Signal
    maximum_match: Signal
    reference: Signal
    head_valid: Signal
    head_end: Signal
    head: Signal
    tail_valid: Signal
    tail_end: Signal
    tail: Signal
    saturated: Signal

    def __init__(self, chip: Chip, *, fabric_multiplier: bool = False) -> None:
        f = chip.formats
        self._fabric = fabric_multiplier
        self._shift = FINE_BITS - f.logit.frac_bits
        self._delta_shift = FINE_BITS - f.dlogit.frac_bits
        word = signed(f.logit.width)
        # u is one bit wider than its wider term, u - ref another one.
        self._fine = f.logit.width + max(self._shift, self._delta_shift) + 1
        self._log2e = ConstantMultiplier(_EXPONENT_WIDTH, LOG2E)
        self._ln2 = ConstantMultiplier(6 + FINE_BITS, LN2)
        self.latency = 18 + self._log2e.latency + self._ln2.latency
        controls = ("find", "valid", "first", "last", "end", "active", "match")
        super().__init__(
            {
                "z": In(word),
                "dz": In(word),
                **{name: In(1) for name in controls},
                "maximum": Out(word),
                "maximum_match": Out(1),
                "reference": In(word),
                "head_valid": Out(1),
                "head_end": Out(1),
                "head": Out(signed(self._fine + 1)),
                "tail_valid": Out(1),
                "tail_end": Out(1),
                "tail": Out(signed(6 + FINE_BITS)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.log2e = self._log2e
        m.submodules.ln2 = self._ln2

        with m.If(self.find & (self.first | (self.z > self.maximum))):
            m.d.sync += [self.maximum.eq(self.z), self.maximum_match.eq(self.match)]

        valid, tags, t = self._exponent(m)
        job, job_take = Signal(), Signal()
        job_argument, job_n = Signal(_FRACTION, reset_less=True), Signal(signed(6), reset_less=True)
        job_tags = Signal(2, reset_less=True)

        # Interpolation. An exponential takes the shift 11 - i of 2**f << 11; the logarithm of s
        # takes n - 20.
        m.d.comb += job_take.eq(job & ~valid)
        shift = Signal(signed(9))
        m.d.comb += shift.eq(11 - (t >> _FRACTION))
        argument = Mux(valid, t[:_FRACTION], job_argument)
        extra = Mux(valid, Cat(shift[:5], shift[-1], shift[5:].any()), job_n.as_unsigned())
        curve = self._interpolate(m, argument, ~valid)
        i4_extra = pipe(m, extra, 4, "i_extra", reset_less=True)
        i4_tags = pipe(m, Mux(valid, tags, job_tags), 4, "i_tags", reset_less=True)
        i4_exp = pipe(m, valid, 4, "i_exp")
        i4_log = pipe(m, job_take, 4, "i_log")

        total, total_done, total_tags = self._sum(m, curve, i4_extra, i4_exp, i4_tags)
        n, fraction = self._normalise(m, total)
        n_done = pipe(m, total_done, 3, "n_done")
        n_tags = pipe(m, total_tags, 3, "n_tags", reset_less=True)
        with m.If(n_done):
            m.d.sync += [
                job.eq(1),
                job_argument.eq(fraction),
                job_n.eq(n),
                job_tags.eq(n_tags),
            ]
        with m.Elif(job_take):
            m.d.sync += job.eq(0)

        # log2(s) is n - 20 and the curve's fraction, put together without an addition.
        m.d.comb += self._ln2.i.eq(Cat(curve, i4_extra[:6]).as_signed())
        k_tags = pipe(m, i4_tags, self._ln2.latency, "k_tags", reset_less=True)
        m.d.comb += [
            self.tail_valid.eq(pipe(m, i4_log, self._ln2.latency, "k_valid")),
            self.tail.eq(Mux(k_tags[0], self._ln2.o >> LN2_BITS, 0)),
            self.tail_end.eq(k_tags[1]),
        ]
        return m

    def _exponent(self, m: Module) -> tuple[Value, Value, Value]:
        """``t = (u - ref) * log2(e)``, and the head. Tags: active, end, first, last."""
        tags = Cat(self.active, self.end, self.first, self.last)
        # Stage 1: fine logit.
        u = Signal(signed(self._fine), reset_less=True)
        m.d.sync += u.eq((self.z << self._shift) + (self.dz << self._delta_shift))
        # Stage 2: distance to the reference. Stage 3: clamp it, and keep that of the true output.
        d = Signal(signed(self._fine + 1), reset_less=True)
        m.d.sync += d.eq(u - (self.reference << self._shift))
        p2_valid = pipe(m, self.valid, 2, "d_valid")
        p2_tags = pipe(m, tags, 2, "d_tags", reset_less=True)
        p2_match = pipe(m, self.match & self.active, 2, "d_match", reset_less=True)
        clamped = Signal(signed(_EXPONENT_WIDTH), reset_less=True)
        m.d.sync += clamped.eq(saturate(d, _EXPONENT_WIDTH)[0])
        with m.If(p2_valid):
            with m.If(p2_match):
                m.d.sync += self.head.eq(d)
            with m.Elif(p2_tags[2]):
                m.d.sync += self.head.eq(0)
        m.d.sync += [self.head_valid.eq(p2_valid & p2_tags[3]), self.head_end.eq(p2_tags[1])]
        # Then times log2(e).
        m.d.comb += self._log2e.i.eq(clamped)
        delay = 1 + self._log2e.latency
        t = self._log2e.o >> 14
        return (
            pipe(m, p2_valid, delay, "t_valid"),
            pipe(m, p2_tags, delay, "t_tags", reset_less=True),
            t[: _EXPONENT_WIDTH - 1].as_signed(),
        )

    def _interpolate(self, m: Module, argument: Value, logarithm: Value) -> Value:
        """Fraction bits of ``2**f - 1`` or of ``log2(1 + f)``, 4 cycles later."""
        words, slope_width = _table()
        shape = unsigned(slope_width + FINE_BITS)
        m.submodules.table = table = Memory(shape=shape, depth=len(words), init=words)
        port = table.read_port()
        # Stage 1: table. Stages 2 and 3: the input and output registers of a DSP block.
        m.d.comb += port.addr.eq(Cat(argument[_REST:], logarithm))
        rest = pipe(m, argument[:_REST], 2, "rest", reset_less=True)
        slope = pipe(m, port.data[FINE_BITS:], 1, "slope", reset_less=True)
        value = pipe(m, port.data[:FINE_BITS], 2, "value", reset_less=True)
        product = fabric_product(slope, rest) if self._fabric else slope * rest
        p3_product = pipe(m, product, 1, "product", reset_less=True)
        # Below the next table entry, so that it fits 20 bits.
        return pipe(m, (value + (p3_product >> _REST))[:FINE_BITS], 1, "curve", reset_less=True)

    def _sum(
        self, m: Module, curve: Value, extra: Value, valid: Value, tags: Value
    ) -> tuple[Value, Value, Value]:
        """Sum of exponentials of a lane, held at ``2**32 - 1``."""
        # Two stages of right shift; 0 if it is 32 or more.
        coarse, fine = Signal(32, reset_less=True), Signal(32, reset_less=True)
        mantissa = Cat(Const(0, 11), curve, 1)
        vanishes, explodes = extra[6] & ~extra[5], extra[5]
        m.d.sync += [
            coarse.eq(Mux(vanishes, 0, select_shift(mantissa, extra[:5], range(3, 5)))),
            fine.eq(select_shift(coarse, pipe(m, extra[:3], 1, "fine", reset_less=True), range(3))),
        ]
        p2_valid = pipe(m, valid, 2, "j_valid")
        p2_tags = pipe(m, tags, 2, "j_tags", reset_less=True)
        p2_explodes = pipe(m, explodes, 2, "j_explodes", reset_less=True)
        total, full = Signal(32, reset_less=True), Signal(reset_less=True)
        first = p2_tags[2]
        following = Mux(first, 0, total) + fine
        with m.If(p2_valid):
            m.d.sync += [
                total.eq(following),
                full.eq(p2_explodes | following[32] | (~first & full)),
            ]
        done = pipe(m, p2_valid & p2_tags[3], 1, "s_done")
        done_tags = pipe(m, p2_tags[:2], 1, "s_tags", reset_less=True)
        m.d.comb += self.saturated.eq(done & full & done_tags[0])
        return total | full.replicate(32), done, done_tags

    def _normalise(self, m: Module, total: Value) -> tuple[Value, Value]:
        """Position of the leading bit, minus 20, and the bits below it; 3 cycles later.

        Two conditional shifts, registered, two more, one more. A total of 0 gives -21 and 0.
        """
        value: Value = total
        shift: Value = Const(0, 0)
        for stage, distances in enumerate(((16, 8), (4, 2))):
            for distance in distances:
                empty = ~value[32 - distance : 32].any()
                value = Mux(empty, (value << distance)[:32], value)
                shift = Cat(empty, shift)
            value = pipe(m, value, 1, f"normal_{stage}", reset_less=True)
            shift = pipe(m, shift, 1, f"shift_{stage}", reset_less=True)
        empty = ~value[31]
        value = Mux(empty, (value << 1)[:32], value)
        shift = Cat(empty, shift)
        n = Signal(signed(6), reset_less=True)
        # ~value[31] after every shift: there was no bit at all.
        m.d.sync += n.eq(11 - shift - ~value[31])
        return n, pipe(m, value[31 - _FRACTION : 31], 1, "fraction", reset_less=True)
