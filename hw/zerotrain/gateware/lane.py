"""One lane: the arithmetic of one sample of the minibatch.

Golden model: :func:`zerotrain.golden.fixed.requantize` of an exact sum of products.
"""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result, Source

__all__ = ["LATENCY", "Lane", "lane_control"]

#: Cycles from a beat's memory data to its result at ``result``.
LATENCY = 4


def lane_control(chip: Chip) -> data.StructLayout:
    """What all lanes are told, each field in the stage that uses it (see :class:`Lane`)."""
    return data.StructLayout(
        {
            "source": Source,
            "relu": 1,
            "constant": chip.formats.lane_width,
            "first": 1,
            "round": chip.acc_width,
            "shift": range(len(chip.formats.shifts)),
            "result": Result,
        }
    )


class Lane(wiring.Component):
    """Select, multiply, accumulate, requantise.

    One product per cycle. The result of a sum is in ``result`` 4 cycles after the operands of its
    last product were presented:

    * stage 0: operands arrive, ``source``, ``relu`` and ``constant`` select;
    * stage 1: multiplication;
    * stage 2: accumulation, ``first`` and ``round`` (the rounding constant);
    * stage 3: requantisation, ``shift`` and ``result``.

    The accumulator is exact as long as the planner keeps sums within ``acc_width``.

    Parameters
    ----------
    chip : Chip
    merges : bool
        This lane also makes merged TT-cores, which saturate to the weight format.

    Members
    -------
    weight : In(signed)
        The broadcast weight of stage 0.
    input, scratch, preact : In(signed)
        This lane's memory words of stage 0.
    control : In
        See above.
    result : Out(signed)
        Requantised sum.
    clamped : Out(1)
        ``result`` was saturated.
    """

    def __init__(self, chip: Chip, *, merges: bool) -> None:
        self._chip = chip
        self._merges = merges
        f = chip.formats
        self.result_width = max(f.lane_width, f.logit.width)
        super().__init__(
            {
                "weight": In(signed(f.weight.width)),
                "input": In(signed(f.lane_width)),
                "scratch": In(signed(f.lane_width)),
                "preact": In(signed(f.lane_width)),
                "control": In(lane_control(chip)),
                "result": Out(signed(self.result_width)),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f, control = self._chip.formats, self.control
        width = f.lane_width

        # Stage 0: the operand. A difference act(Y + dy) - act(Y) always fits the word of dy.
        align = f.delta.frac_bits - f.preact.frac_bits
        constant = control.constant.as_signed()
        dy = Signal(signed(width))
        aligned = Signal(signed(width + align))
        moved = Signal(signed(width + align + 1))
        difference = Signal(signed(width))
        m.d.comb += [
            dy.eq(Mux(control.source == Source.DELTA_CONSTANT, constant, self.scratch)),
            aligned.eq(self.preact << align),
            moved.eq(aligned + dy),
            difference.eq(dy),
        ]
        with m.If(control.relu):
            with m.If((aligned < 0) & (moved < 0)):
                m.d.comb += difference.eq(0)
            with m.Elif(aligned < 0):
                m.d.comb += difference.eq(moved)
            with m.Elif(moved < 0):
                m.d.comb += difference.eq(-aligned)

        # Multiplier registers without reset: only those are absorbed into iCE40 DSP blocks.
        weight = Signal(signed(f.weight.width), reset_less=True)
        operand = Signal(signed(width), reset_less=True)
        m.d.sync += weight.eq(self.weight)
        with m.Switch(control.source):
            with m.Case(Source.INPUT):
                m.d.sync += operand.eq(self.input)
            with m.Case(Source.SCRATCH):
                m.d.sync += operand.eq(self.scratch)
            with m.Case(Source.CONSTANT):
                m.d.sync += operand.eq(constant)
            with m.Case(Source.PREACT):
                m.d.sync += operand.eq(Mux(control.relu & (self.preact < 0), 0, self.preact))
            with m.Default():
                m.d.sync += operand.eq(difference)

        # Stage 1
        prod = Signal(signed(f.weight.width + width), reset_less=True)
        m.d.sync += prod.eq(weight * operand)

        # Stage 2
        acc = Signal(signed(self._chip.acc_width), reset_less=True)
        m.d.sync += acc.eq(Mux(control.first, control.round.as_signed(), acc) + prod)

        # Stage 3: the shifts are a small fixed set, so a multiplexer instead of a barrel shifter.
        shifts = f.shifts
        shifted = Signal(signed(self._chip.acc_width - shifts[0]))
        with m.Switch(control.shift):
            for index, shift in enumerate(shifts):
                with m.Case(index):
                    m.d.comb += shifted.eq(acc >> shift)

        def saturate(to: int) -> list[object]:
            low, high = shifted[:to].as_signed(), shifted[to - 1 :]
            fits = high.all() | ~high.any()
            extreme = Mux(shifted < 0, -(1 << (to - 1)), (1 << (to - 1)) - 1)
            return [self.result.eq(Mux(fits, low, extreme)), self.clamped.eq(~fits)]

        with m.Switch(control.result):
            with m.Case(Result.LOGIT, Result.DLOGIT):
                m.d.sync += saturate(f.logit.width)
            if self._merges:
                with m.Case(Result.WEIGHT):
                    m.d.sync += saturate(f.weight.width)
            with m.Default():
                m.d.sync += saturate(width)
        return m
