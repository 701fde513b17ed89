"""The requantiser that the lanes of a compact chip share.

Golden model: :func:`zerotrain.golden.fixed.requantize` (bit-exact).
"""

from amaranth import Array, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import saturation_parts
from zerotrain.gateware.engine.lane import shift_steps, step_masks
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result
from zerotrain.spec.sine import argument

__all__ = ["Requantiser"]


class Requantiser(wiring.Component):
    """Shifts, saturates: one sum per cycle. Sums have begun at the rounding constant.

    Latency: 1 cycle from ``take``, ``sum``, ``shift`` and ``result`` to ``word`` and ``clamped``,
    which are still until the next.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    take : In(1)
    sum : In(signed(acc_width))
        An exact sum, half of the last place that is kept included.
    shift : In
        Which of the chip's shifts.
    sine : In(1)
        The sine of the word is wanted: it is cut to what that takes. Idle without a sine unit.
    result : In(Result)
        What the word is: logits, merged TT-cores and pre-activations may have another width than
        lane words.
    word : Out(signed)
        As wide as the widest of these.
    clamped : Out(1)
        ``word`` was saturated.
    """

    take: Signal
    sum: Signal
    shift: Signal
    result: Signal
    sine: Signal
    word: Signal
    clamped: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        f = chip.formats
        super().__init__(
            {
                "take": In(1),
                "sum": In(signed(chip.acc_width)),
                "shift": In(range(len(chip.shifts))),
                "result": In(Result),
                "sine": In(1),
                "word": Out(signed(max(f.lane_width, f.logit.width))),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f, shifts = self._chip.formats, self._chip.shifts
        steps = shift_steps(shifts)
        masks = Array([Const(mask, len(steps)) for mask in step_masks(shifts)])[self.shift]

        shifted: Value = self.sum >> shifts[0]
        for step, taken in zip(steps, masks, strict=True):
            shifted = Mux(taken, shifted >> step, shifted)
        value = Signal(signed(self._chip.acc_width - shifts[0]))
        clamped = Signal()
        extreme = Signal.like(self.word)
        sizes = {Result.LOGIT: f.logit.width, Result.DLOGIT: f.logit.width}
        sizes[Result.PREACT] = f.preact.width
        sizes[Result.WEIGHT] = f.weight.width
        m.d.comb += value.eq(shifted)
        with m.Switch(self.result):
            for size in sorted({*sizes.values()} - {f.lane_width}):
                with m.Case(*(kind for kind in sizes if sizes[kind] == size)):
                    m.d.comb += saturation_parts(value, size, extreme, clamped)
            with m.Default():
                m.d.comb += saturation_parts(value, f.lane_width, extreme, clamped)
        if self._chip.sine:
            with m.If(self.sine):
                m.d.comb += saturation_parts(value, argument(f.preact).width, extreme, clamped)
        with m.If(self.take):
            m.d.sync += [self.word.eq(Mux(clamped, extreme, value)), self.clamped.eq(clamped)]
        return m
