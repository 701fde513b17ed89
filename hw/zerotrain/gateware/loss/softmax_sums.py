"""The two halves of the softmax cross-entropy: sums of exponentials, and their logarithms."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import ConstantMultiplier, pipe, saturate, select_shift
from zerotrain.gateware.loss.interpolate import FRACTION, Interpolator
from zerotrain.spec.chip import Chip
from zerotrain.spec.tables import FINE_BITS, LN2, LN2_BITS, LOG2E

__all__ = ["Logarithm", "SoftmaxSums"]

#: Beyond +-2**5 (20 fraction bits) an exponential is 0, or saturates every sum.
_EXPONENT_WIDTH = 26
#: Control bits of one element of a sum.
_VALID, _FIRST, _LAST = range(3)


class SoftmaxSums(wiring.Component):
    """Sums of the exponentials of ``ways`` lanes side by side, one output of each per cycle.

    Golden model: :func:`zerotrain.golden.loss.softmax_loss` up to ``total`` (bit-exact).

    A base evaluation comes twice, lane by lane: first the outputs for the maximum (``find``), then
    the same outputs again (``valid``). What is kept of a logit is its distance below the maximum:
    the evaluations of differences that follow need neither logit nor maximum.

    Throughput: an element per cycle. Latency, from an element: ``maximum_hit`` 1 cycle (``find``),
    ``keep`` 1, ``head`` 3, ``argument`` ``REQUEST`` = 6, ``total`` ``LATENCY`` = 13.

    Parameters
    ----------
    chip : Chip
        Formats and ways.

    Members
    -------
    find, valid, first, last, base : In(1)
        Elements of the sweep for the maximum, or of the other one; first and last output; of a base
        evaluation.
    match : In(ways)
        This is the true output.
    word : In(signed(logit.width)) * ways
        Logits, or differences.
    kept : In(unsigned(logit.width)) * ways
        With elements of differences: what was kept of the logits.
    keep : Out(unsigned(logit.width)) * ways
        What to keep of the logits of a base evaluation.
    maximum_hit : Out(ways)
        The first largest logit so far is that of the true output.
    head : Out(signed(...)) * ways
        ``u_t - ref`` of the true output, once it has come by; 0 before.
    argument, request, value
        To and from an :class:`~zerotrain.gateware.loss.interpolate.Interpolator` of the
        exponential for each way; ``request`` high if the argument matters.
    soon : Out(1)
        ``request`` as it will be in ``Logarithm.LEAD`` + 1 cycles.
    done : Out(1)
        Pulse: sums are complete, in this cycle only.
    total : Out(32) * ways
        Sums, held at ``2**32 - 1``.
    full : Out(ways)
        The sum reached ``2**32``.
    """

    find: Signal
    valid: Signal
    first: Signal
    last: Signal
    base: Signal
    match: Signal
    maximum_hit: Signal
    request: Signal
    soon: Signal
    done: Signal
    full: Signal

    def __init__(self, chip: Chip) -> None:
        f, self._ways = chip.formats, chip.loss_ways
        self._shift = FINE_BITS - f.logit.frac_bits
        self._delta_shift = FINE_BITS - f.dlogit.frac_bits
        self._word = signed(f.logit.width)
        # A distance is one bit wider than its wider term, of which one has no sign.
        self._fine = f.logit.width + max(self._shift + 1, self._delta_shift) + 1
        self._log2e = [ConstantMultiplier(_EXPONENT_WIDTH, LOG2E) for _ in range(self._ways)]
        self.REQUEST = 3 + self._log2e[0].latency
        self.LATENCY = self.REQUEST + Interpolator.LATENCY + 3
        kept = unsigned(f.logit.width)
        super().__init__(
            {
                **{name: In(1) for name in ("find", "valid", "first", "last", "base")},
                "match": In(self._ways),
                "word": In(self._word).array(self._ways),
                "kept": In(kept).array(self._ways),
                "keep": Out(kept).array(self._ways),
                "maximum_hit": Out(self._ways),
                "head": Out(signed(self._fine)).array(self._ways),
                "argument": Out(FRACTION).array(self._ways),
                "request": Out(1),
                "value": In(FINE_BITS).array(self._ways),
                "soon": Out(1),
                "done": Out(1),
                "total": Out(32).array(self._ways),
                "full": Out(self._ways),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The ways run in step: what controls them exists once, by its age in cycles.
        control: list[Value] = [Cat(self.valid, self.first, self.last)]
        for age in range(1, self.LATENCY):
            control.append(pipe(m, control[-1], 1, f"control_{age}"))
        for k in range(self._ways):
            d = self._distance(m, k)
            self._head(m, k, d, control[2])
            self._sum(m, k, self._exponential(m, k, d), control[-1])
        m.d.comb += [
            self.request.eq(control[self.REQUEST][_VALID]),
            self.soon.eq(control[self.REQUEST - Logarithm.LEAD - 1][_VALID]),
        ]
        m.d.sync += self.done.eq(control[-1][_VALID] & control[-1][_LAST])
        return m

    def _distance(self, m: Module, k: int) -> Value:
        """``u - ref`` in stage 2."""
        word, maximum = self.word[k], Signal(self._word, name=f"maximum{k}", reset_less=True)
        below = maximum - word
        with m.If(self.find & (self.first | below[-1])):
            m.d.sync += [maximum.eq(word), self.maximum_hit[k].eq(self.match[k])]
        # Stage 1: below the maximum, by the logits alone. The maximum is complete by then.
        dz = Signal(self._word, name=f"dz{k}", reset_less=True)
        m.d.sync += [
            self.keep[k].eq(Mux(self.base, below, self.kept[k])),
            dz.eq(Mux(self.base, 0, word)),
        ]
        d = Signal(signed(self._fine), name=f"d{k}", reset_less=True)
        m.d.sync += d.eq((dz << self._delta_shift) - (self.keep[k] << self._shift))
        return d

    def _head(self, m: Module, k: int, d: Value, control: Value) -> None:
        """Stage 3: the distance of the true output."""
        match = pipe(m, self.match[k], 2, f"match{k}", reset_less=True)
        with m.If(control[_VALID]):
            with m.If(match):
                m.d.sync += self.head[k].eq(d)
            with m.Elif(control[_FIRST]):
                m.d.sync += self.head[k].eq(0)

    def _exponential(self, m: Module, k: int, d: Value) -> Value:
        """``2**t`` with ``t = d * log2(e)``, 20 fraction bits, and a 33rd bit if that overflows."""
        # Stage 3: clamped. Then times log2(e).
        m.submodules[f"log2e{k}"] = log2e = self._log2e[k]
        m.d.comb += log2e.i.eq(
            pipe(m, saturate(d, _EXPONENT_WIDTH)[0], 1, f"clamped{k}", reset_less=True)
        )
        t = log2e.o[14:].as_signed()
        m.d.comb += self.argument[k].eq(t[:FRACTION])
        # 2**t is 2**f << 11 shifted right by 11 - i, in two stages.
        shift = Signal(signed(len(t) - FRACTION + 1), name=f"shift{k}")
        m.d.comb += shift.eq(11 - t[FRACTION:].as_signed())
        vanishes, explodes = ~shift[-1] & shift[5:-1].any(), shift[-1]
        tags = pipe(
            m, Cat(shift[:5], vanishes, explodes), Interpolator.LATENCY, f"scale{k}",
            reset_less=True,
        )  # fmt: skip
        mantissa = Cat(Const(0, 11), self.value[k], 1)
        coarse = pipe(
            m, Mux(tags[5], 0, select_shift(mantissa, tags, range(3, 5))), 1, f"coarse{k}",
            reset_less=True,
        )  # fmt: skip
        tags = pipe(m, Cat(tags[:3], tags[6]), 1, f"fine_scale{k}", reset_less=True)
        fine = select_shift(coarse, tags, range(3))
        return pipe(m, Cat(fine, tags[3]), 1, f"exponential{k}", reset_less=True)

    def _sum(self, m: Module, k: int, term: Value, control: Value) -> None:
        """The last stage. A sum stays full until the next one begins."""
        total = Signal(32, name=f"sum{k}", reset_less=True)
        full = Signal(name=f"full{k}", reset_less=True)
        following = Mux(control[_FIRST], 0, total) + term[:32]
        with m.If(control[_VALID]):
            m.d.sync += [
                total.eq(following),
                full.eq(term[32] | following[32] | (~control[_FIRST] & full)),
            ]
        m.d.comb += [self.total[k].eq(total | full.replicate(32)), self.full[k].eq(full)]


class Logarithm(wiring.Component):
    """Natural logarithm of a sum of exponentials.

    Golden model: :func:`zerotrain.golden.loss.log2` and the product with ``LN2`` (bit-exact).

    Throughput: 1 sum/cycle. Latency: ``argument`` after ``LEAD`` = 3 cycles, ``result`` after
    ``latency`` = 10.

    Members
    -------
    total : In(32)
        20 fraction bits.
    argument, value
        To and from an :class:`~zerotrain.gateware.loss.interpolate.Interpolator` of the logarithm.
    result : Out(signed(26))
        20 fraction bits.
    """

    LEAD = 3

    total: Signal
    argument: Signal
    value: Signal
    result: Signal

    def __init__(self) -> None:
        self._ln2 = ConstantMultiplier(6 + FINE_BITS, LN2)
        self.latency = self.LEAD + Interpolator.LATENCY + self._ln2.latency
        super().__init__(
            {
                "total": In(32),
                "argument": Out(FRACTION),
                "value": In(FINE_BITS),
                "result": Out(signed(6 + FINE_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ln2 = self._ln2
        n, fraction = self._normalise(m)
        m.d.comb += self.argument.eq(fraction)
        # log2 is n - 20 and the curve's fraction, put together without an addition.
        whole = pipe(m, n, Interpolator.LATENCY, "whole", reset_less=True)
        m.d.comb += [
            self._ln2.i.eq(Cat(self.value, whole).as_signed()),
            self.result.eq(self._ln2.o[LN2_BITS:].as_signed()),
        ]
        return m

    def _normalise(self, m: Module) -> tuple[Value, Value]:
        """Position of the leading bit, minus 20, and the bits below it; 3 cycles later.

        Two conditional shifts, registered, two more, one more. A total of 0 gives -21 and 0.
        """
        value: Value = self.total
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
        return n, pipe(m, value[31 - FRACTION : 31], 1, "fraction", reset_less=True)
