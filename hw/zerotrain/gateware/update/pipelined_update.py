"""The update unit for a high clock: a schedule that begins with every gradient."""

from amaranth import Module, Mux, Signal, signed

from zerotrain.gateware.arithmetic import fabric_product, limit, saturate, select_shift
from zerotrain.gateware.update.gradient import CompactGradient, PipelinedGradient
from zerotrain.gateware.update.update import Update
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, UpdateRule

__all__ = ["PipelinedUpdate"]


class PipelinedUpdate(Update):
    """Gradient from losses, momentum, and the step of every parameter, in a fixed schedule.

    Golden model: as of :class:`~zerotrain.gateware.update.update.Update` (bit-exact).

    A gradient enters a fixed schedule of ``SCHEDULE`` cycles that owns one shifter and one
    multiplier by four bits (shifts and adds, no DSP block), each used several times, while the
    gradient of the next parameter is being summed.

    Throughput: ``max(N, 10)`` cycles per parameter of RGE, 7 of CGE. Latency: ``busy`` is high for
    exactly :meth:`cycles` cycles.
    """

    #: Cycles from a complete gradient to its new parameter in memory. The multiplier is used in
    #: cycles 0, 5 and 6, the shifter from cycles 0 and 9 on: gradients may follow one another
    #: every 7 cycles, or at any distance of 10 or more.
    SCHEDULE = 14

    def __init__(self, chip: Chip) -> None:
        gradient = CompactGradient if chip.keeps_differences else PipelinedGradient
        super().__init__(chip, gradient(chip))

    def cycles(
        self,
        *,
        cge: bool,
        n_parameters: int,
        queries: int,
        baseline: Baseline,
        given: bool = False,
    ) -> int:
        gradients = self._gradient.cycles(
            cge=cge, n_parameters=n_parameters, queries=queries, baseline=baseline, given=given
        )
        return gradients + self.SCHEDULE - 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f = self._chip.formats
        weight_width, width = f.weight.width, f.momentum.width

        gradient = self._sums(m)
        linear = self.update_rule == UpdateRule.LINEAR
        # One bit per cycle of the schedule, set where a parameter is.
        at = Signal(self.SCHEDULE)
        m.d.comb += [at[0].eq(gradient.valid), self.busy.eq(gradient.busy | at.any())]
        m.d.sync += at[1:].eq(at)

        # Memory words, registered near. The next momentum word is read while this one is at work,
        # the next parameter once this one is stored: even at one gradient in 7 cycles, that is 5
        # cycles before it is used, and the memory takes at most 3.
        momentum = Signal.like(self.momentum.data, reset_less=True)
        theta = Signal.like(self.theta.data, reset_less=True)
        m.d.sync += [momentum.eq(self.momentum.data), theta.eq(self.theta.data)]

        v = Signal(signed(width), reset_less=True)
        product = self._multiply(m, at, momentum, v)
        scaled = Signal(signed(width + 8), reset_less=True)
        rounded, far, far_sign = self._shift(m, at, gradient.gradient, scaled)

        # Cycle 3: the gradient in momentum units. Cycle 4: momentum. Cycle 5: momentum is stored.
        scaled_gradient = Signal(signed(width), reset_less=True)
        kept = Signal(signed(width), reset_less=True)
        word, clamped = saturate(rounded, width)
        m.d.sync += scaled_gradient.eq(Mux(far, limit(far_sign, width), word))
        with m.If(at[2]):
            # |15 / 16 v| fits the word of v.
            m.d.sync += kept.eq((product + 8) >> 4)
        total, overflow = saturate(kept + scaled_gradient, width)
        with m.If(at[4]):
            m.d.sync += v.eq(total)
        m.d.comb += self.saturated_gradient.eq((at[3] & (far | clamped)) | (at[4] & overflow))

        read_index = Signal(len(self.momentum.addr))
        momentum_index = Signal(len(self.momentum.addr))
        with m.If(self.start):
            m.d.sync += [read_index.eq(0), momentum_index.eq(0)]
        with m.Else():
            m.d.sync += [
                read_index.eq(read_index + at[0]),
                momentum_index.eq(momentum_index + at[5]),
            ]
        m.d.comb += [
            self.momentum.addr.eq(read_index),
            self.momentum_w.en.eq(at[5]),
            self.momentum_w.addr.eq(momentum_index),
            self.momentum_w.data.eq(v),
        ]

        # Cycle 8: the step, before its shift.
        low_product = Signal.like(product, reset_less=True)
        mantissa = self.step_mantissa
        sign_step = Mux(v < 0, -mantissa, Mux(v == 0, 0, mantissa))
        m.d.sync += [
            low_product.eq(product),
            scaled.eq(Mux(linear, low_product + (product << 4), sign_step)),
        ]

        # Cycle 12: the parameter moves. Cycle 13: it is clamped and stored.
        moved = Signal(signed(len(rounded) + 1), reset_less=True)
        moved_far, moved_sign = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            moved.eq(theta - rounded),
            moved_far.eq(far),
            moved_sign.eq(~far_sign),
        ]
        word, clamped = saturate(moved, weight_width)
        theta_index = Signal(len(self.theta.addr))
        with m.If(self.start):
            m.d.sync += theta_index.eq(0)
        with m.Elif(at[13]):
            m.d.sync += theta_index.eq(theta_index + 1)
        m.d.comb += [
            self.theta.addr.eq(theta_index),
            self.theta_w.en.eq(at[13]),
            self.theta_w.addr.eq(theta_index),
            self.theta_w.data.eq(Mux(moved_far, limit(moved_sign, weight_width), word)),
            self.saturated_parameter.eq(at[13] & (moved_far | clamped)),
        ]
        return m

    def _multiply(self, m: Module, at: Signal, momentum: Signal, v: Signal) -> Signal:
        """Multiplier: one digit of four bits, two cycles. Cycle 0: decay; 5, 6: step."""
        width = len(v)
        factor, digit = Signal(signed(width)), Signal(4)
        low = Signal(signed(width + 2), reset_less=True)
        high = Signal(signed(width + 2), reset_less=True)
        product = Signal(signed(width + 4), reset_less=True)
        with m.If(at[0]):
            m.d.comb += [factor.eq(momentum), digit.eq(self.decay)]
        with m.Else():
            m.d.comb += [
                factor.eq(v),
                digit.eq(Mux(at[5], self.step_mantissa[:4], self.step_mantissa[4:])),
            ]
        m.d.sync += [
            low.eq(fabric_product(factor, digit[:2])),
            high.eq(fabric_product(factor, digit[2:])),
            product.eq(low + (high << 2)),
        ]
        return product

    def _shift(
        self, m: Module, at: Signal, gradient: Signal, scaled: Signal
    ) -> tuple[Signal, Signal, Signal]:
        """Shifter: two cycles, then one that rounds. Cycle 0: gradient; 9: step.

        Returns the low bits, whether there are more, and the sign.
        """
        # The extra low bit holds the last bit shifted out: floor(x / 2**s) + that bit is x / 2**s
        # rounded half up.
        wide = max(len(gradient), len(scaled))
        linear = self.update_rule == UpdateRule.LINEAR
        step_shift = Mux(linear, self.step_shift, 0)
        coarse = Signal(signed(wide + 1), reset_less=True)
        fine = Signal(signed(wide + 1), reset_less=True)
        source = Mux(at[9], scaled, gradient) << 1
        m.d.sync += [
            coarse.eq(
                select_shift(source, Mux(at[9], step_shift, self.gradient_shift), range(3, 5))
            ),
            fine.eq(select_shift(coarse, Mux(at[10], step_shift, self.gradient_shift), range(3))),
        ]
        # What does not fit `near` bits is clamped whatever is done with it: a gradient to a
        # momentum word, and a parameter minus it to a parameter.
        f = self._chip.formats
        near = min(wide, max(f.momentum.width, f.weight.width + 1) + 1)
        rounded = Signal(signed(near + 1), reset_less=True)
        far, far_sign = Signal(reset_less=True), Signal(reset_less=True)
        whole = fine[1:].as_signed()
        m.d.sync += [
            rounded.eq(whole[:near].as_signed() + fine[:1]),
            far.eq(saturate(whole, near)[1]),
            far_sign.eq(whole[-1]),
        ]
        return rounded, far, far_sign
