"""The update unit of small chips: the same steps, one bit at a time."""

from amaranth import Cat, Module, Mux, Signal, Value, signed

from zerotrain.gateware.arithmetic import limit, saturate, sum_with_carry
from zerotrain.gateware.update.gradient import CompactGradient
from zerotrain.gateware.update.update import Update
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, UpdateRule
from zerotrain.spec.timing import SERIAL_UPDATE_CYCLES

__all__ = ["SerialUpdate"]


class SerialUpdate(Update):
    """Gradient from losses, momentum, and the step of every parameter, for compact chips.

    Golden model: as of :class:`~zerotrain.gateware.update.update.Update` (bit-exact).

    One register shifts everything, bit by bit: gradients to momentum units, and products, to which
    it adds the multiplicand on the way. One adder rounds, and adds what is clamped: the gradient,
    the new momentum, the new parameter. The gradient of the next parameter is summed meanwhile.

    Throughput: ``CYCLES`` = 27 cycles and both shifts per parameter, or the time of its gradient
    if that is longer. ``busy`` is high for at most :meth:`cycles` cycles. Memories must answer in
    one cycle, as they do on a compact chip.
    """

    #: Of one parameter, besides those of the shifts.
    CYCLES = SERIAL_UPDATE_CYCLES

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip, CompactGradient(chip))

    def cycles(
        self,
        *,
        cge: bool,
        n_parameters: int,
        queries: int,
        baseline: Baseline,
        given: bool = False,
        shifts: int = 62,
    ) -> int:
        """Most cycles that ``busy`` is high, with ``shifts`` = gradient and step shift."""
        gradients = self._gradient.cycles(
            cge=cge, n_parameters=n_parameters, queries=queries, baseline=baseline, given=given
        )
        return gradients + n_parameters * (self.CYCLES + shifts)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._chip.formats.momentum.width
        gradient = self._sums(m)
        waiting = Signal()
        with m.If(gradient.valid):
            m.d.sync += waiting.eq(1)
        m.d.comb += gradient.hold.eq(1)

        linear = self.update_rule == UpdateRule.LINEAR
        v = Signal(signed(width), reset_less=True)
        kept = Signal(signed(width), reset_less=True)

        # The shifter. Its lowest bit is the last one shifted out, so that value plus that bit is
        # rounded half up. A multiplicand enters high enough for a product of eight bits to stay
        # whole, or, for the decay, so that its four lowest bits leave.
        wide = max(len(gradient.gradient), width + 9)
        work = Signal(signed(wide + 1), reset_less=True)
        multiplier = Signal(8, reset_less=True)
        left = Signal(5)
        decays, multiplies = Signal(), Signal()
        multiplicand = Mux(multiplier[0], Mux(decays, v << 1, v << 9), 0)
        moved = (work + Mux(multiplies, multiplicand, 0)) >> 1

        # The adder takes the parameter, or what is kept.
        theta, add_kept = Signal(), Signal()
        total, (momentum, momentum_clamped), (parameter, parameter_clamped) = self._add(
            m, work, v, kept, theta, add_kept
        )

        index = Signal(len(self.theta.addr))
        active = Signal()
        m.d.comb += [
            self.momentum.addr.eq(index),
            self.momentum_w.addr.eq(index),
            self.momentum_w.data.eq(v),
            self.theta.addr.eq(index),
            self.theta_w.addr.eq(index),
            self.theta_w.data.eq(parameter),
            self.saturated_parameter.eq(self.theta_w.en & parameter_clamped),
            self.busy.eq(gradient.busy | waiting | active),
        ]
        with m.If(~self.busy):
            m.d.sync += index.eq(0)

        def shift(following: str) -> None:
            """Shift ``left`` times, then go on."""
            with m.If(left == 0):
                m.next = following
            with m.Else():
                m.d.sync += [work.eq(moved), multiplier.eq(multiplier >> 1), left.eq(left - 1)]

        def take_momentum(following: str) -> None:
            """Take the sum as a momentum word, then go on."""
            m.d.sync += v.eq(momentum)
            m.d.comb += self.saturated_gradient.eq(momentum_clamped)
            m.next = following

        with m.FSM() as fsm:
            with m.State("Idle"):
                m.d.sync += [
                    v.eq(self.momentum.data),
                    work.eq(0),
                    multiplier.eq(self.decay),
                    left.eq(4),
                ]
                with m.If(waiting):
                    m.next = "Decay"
            with m.State("Decay"):
                m.d.comb += [decays.eq(1), multiplies.eq(1)]
                shift("Kept")
            with m.State("Kept"):
                # |15 / 16 v| fits the word of v.
                m.d.sync += [
                    kept.eq(total),
                    work.eq(gradient.gradient << 1),
                    left.eq(self.gradient_shift),
                    waiting.eq(0),
                ]
                m.d.comb += gradient.hold.eq(0)
                m.next = "Gradient"
            with m.State("Gradient"):
                shift("Round")
            with m.State("Round"):
                m.next = "Scaled"
            with m.State("Scaled"):
                take_momentum("Add")
            with m.State("Add"):
                m.d.comb += add_kept.eq(1)
                m.next = "Momentum"
            with m.State("Momentum"):
                take_momentum("Store")
            with m.State("Store"):
                m.d.comb += self.momentum_w.en.eq(1)
                m.d.sync += [work.eq(0), multiplier.eq(self.step_mantissa), left.eq(8)]
                with m.If(~linear):
                    # The sign, times the mantissa.
                    m.d.sync += v.eq(Cat(v.any(), v[-1].replicate(width - 1)).as_signed())
                m.next = "Step"
            with m.State("Step"):
                m.d.comb += multiplies.eq(1)
                shift("Scale")
            with m.State("Scale"):
                m.d.sync += left.eq(Mux(linear, self.step_shift, 0))
                m.next = "Shift"
            with m.State("Shift"):
                shift("Subtract")
            with m.State("Subtract"):
                m.d.comb += theta.eq(1)
                m.next = "Parameter"
            with m.State("Parameter"):
                m.d.comb += self.theta_w.en.eq(1)
                m.d.sync += index.eq(index + 1)
                m.next = "Next"
            with m.State("Next"):
                # The momentum of the next parameter is being read.
                m.next = "Idle"
        m.d.comb += active.eq(~fsm.ongoing("Idle"))
        return m

    def _add(
        self, m: Module, work: Signal, v: Signal, kept: Signal, theta: Signal, add_kept: Signal
    ) -> tuple[Value, tuple[Value, Value], tuple[Value, Value]]:
        """The adder, and what it found a cycle ago: as a momentum word and as a parameter, each
        with a bit that tells whether it was clamped.

        The parameter minus the shifter's value if ``theta``, ``kept + v`` if ``add_kept``, else the
        value itself.
        """
        f = self._chip.formats
        weight_width, width = f.weight.width, f.momentum.width
        whole, half = work[1:].as_signed(), work[0]
        near = max(width, weight_width) + 2
        base = Signal(signed(near))
        other = Signal(signed(near))
        m.d.comb += [
            base.eq(Mux(theta, self.theta.data, Mux(add_kept, kept, 0))),
            other.eq(Mux(add_kept, v, Mux(theta, ~whole, whole))),
        ]
        carry = Mux(add_kept, 0, half ^ theta)
        total = sum_with_carry(base, other, carry)
        found = Signal(signed(near), reset_less=True)
        far, far_negative = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            found.eq(total),
            # What is far off is clamped whatever is added to it.
            far.eq(saturate(whole, near - 1)[1] & ~add_kept),
            far_negative.eq(whole[-1] ^ theta),
        ]
        negative = Mux(far, far_negative, found[-1])

        def clamp(to: int) -> tuple[Value, Value]:
            clamped = far | saturate(found, to)[1]
            return Mux(clamped, limit(negative, to), found[:to].as_signed()), clamped

        return total, clamp(width), clamp(weight_width)
