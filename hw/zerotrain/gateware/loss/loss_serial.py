"""The softmax loss of one output after another, for small chips."""

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib.memory import Memory

from zerotrain.gateware.arithmetic import saturate, sum_with_carry
from zerotrain.gateware.loss.interpolate import FRACTION, REST, curve_words
from zerotrain.gateware.loss.loss import LossUnit
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.tables import EXP2, FINE_BITS, LN2, LN2_BITS, LOG2, LOG2E

__all__ = ["SerialSoftmaxLoss"]

#: Exponentials further below the maximum than 2**-20 are zero.
_VANISHING = -FINE_BITS

#: Bits of a sum of exponentials, where these may exceed 1.
_SUM_BITS = 32


class SerialSoftmaxLoss(LossUnit):
    """Softmax cross-entropy and number of correct predictions, for ``Chip.serial_loss``.

    Golden model: :func:`zerotrain.golden.loss.softmax_loss`, ``reference`` and ``correct``.

    One evaluation at a time, lane by lane: the logits once for the maximum, then again for the sum
    of exponentials, then its logarithm. One multiplier by single bits does every product with a
    variable and that with ln 2. Without environments all are base evaluations, so that no
    exponential exceeds 1: sums are short, and nothing but the loss of the batch can saturate.

    With environments, differences have words of their own, and the logits stay for them. The
    engine waits until an evaluation is done.

    The buffer of logits is one word wide, and so is what the engine writes.

    Cycles: at most ``chip.loss_timing.cycles(n_outputs)`` for a pass with all lanes in use.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, f = self._chip, self._chip.formats
        width, lane_bits = f.logit.width, address_bits(chip.lanes)
        # Distances from the maximum have the fraction bits of the finer format.
        fine = (
            max(f.logit.frac_bits, f.dlogit.frac_bits)
            if chip.has_environments
            else f.logit.frac_bits
        )
        shift = FINE_BITS - fine

        # Logits, and behind them their differences, kept inverted: the other operand of a distance
        # is not. Then the tables of the curves: block RAM is scarce, and no cycle reads both.
        slopes, values = curve_words([EXP2, LOG2])
        behind = max(len(slopes + values), chip.output_depth << (lane_bits + chip.has_environments))
        m.submodules.words = words = Memory(
            shape=unsigned(max(width, FINE_BITS)),
            depth=behind + len(slopes + values),
            init=[0] * behind + slopes + values,
        )
        read, write = words.read_port(), words.write_port()
        logit = read.data[:width]
        arrived = Signal()
        final_lane = self.logits.lane == chip.lanes - 1
        m.d.comb += [
            write.en.eq(self.logits.en),
            write.addr.eq(
                Cat(self.logits.lane, self.logits.index, self.logits.delta & chip.has_environments)
            ),
            write.data.eq(~self.logits.data),
            arrived.eq(self.logits.en & final_lane & self.logits.last),
        ]

        # The word under way, against the maximum so far: word - maximum, or one less.
        lane, output = Signal(lane_bits), Signal.like(self.logits.index)
        row = Signal.like(self.targets.addr)
        not_maximum = Signal(width, reset_less=True)
        exact = Signal()
        word_distance = sum_with_carry(~logit, not_maximum, exact)
        distance = word_distance << (fine - f.logit.frac_bits)
        x = Signal(signed(len(distance)), reset_less=True)
        if chip.has_environments:
            difference = (~logit).as_signed() << (fine - f.dlogit.frac_bits)
            x = Signal(signed(max(len(distance), len(difference)) + 1), reset_less=True)
        # The evaluation under way is one of differences; which outputs have one.
        delta = Signal()
        written = Signal(chip.output_depth, reset_less=True)
        match, hit = Signal(), Signal(reset_less=True)
        final_output = Signal()
        m.d.comb += [
            self.targets.addr.eq(row),
            match.eq(self._target(0) == output),
            final_output.eq(output + 1 == self.n_outputs),
        ]

        # Arguments of the curves: of the exponential from x, of the logarithm from the sum.
        t = (_times_log2e(x) << shift) >> 14
        exponent = t >> FRACTION
        # The largest exponent of a sum, which a logarithm begins with, and the least.
        top = (
            _SUM_BITS - 1 - FINE_BITS
            if chip.has_environments
            else chip.output_depth.bit_length() - 1
        )
        least = -FINE_BITS - 1 if chip.has_environments else 0
        sum_ = Signal(FINE_BITS + top + 1, reset_less=True)
        whole = Signal(range(least, max(2, top + 1)), reset_less=True)
        logarithm, scaling = Signal(), Signal()
        argument = Mux(logarithm, sum_[-1 - FRACTION : -1], t[:FRACTION])
        interval = Cat(argument[REST:], logarithm)
        looks, looks_value = Signal(), Signal()
        looks_delta = Signal()
        m.d.comb += read.addr.eq(
            Mux(looks, Cat(interval, looks_value) + behind, Cat(lane, output, looks_delta))
        )
        slope = value = read.data[:FINE_BITS]

        # Multiplier: adds a multiplicand for each bit of the multiplier, lowest first, and drops
        # what can no longer change the whole part.
        # With environments, an exponential begins where the largest ends, and is only shifted down
        # as well.
        above = top if chip.has_environments else 0
        term = Signal(above + FINE_BITS + 1, reset_less=True)
        logarithm_word = Value.cast(Cat(term[above:-1], whole))
        if chip.has_environments:
            logarithm_word = logarithm_word.as_signed()
        product = Signal(logarithm_word.shape(), reset_less=True)
        multiplier = Signal(LN2_BITS, reset_less=True)
        steps = Signal(range(LN2_BITS + 1))
        multiplicand = Mux(scaling, logarithm_word, slope)
        added = product + Mux(multiplier[0], multiplicand, 0)

        # An exponential is shifted to its place while the next one is being computed.
        pending = Signal()
        count = Signal(5)
        summed, full = Value.cast(sum_ + term), Signal()
        with m.If(pending):
            with m.If(count == 0):
                m.d.sync += [sum_.eq(summed), pending.eq(0)]
                if chip.has_environments:
                    with m.If(full | summed[len(sum_)]):
                        m.d.sync += [sum_.eq(-1), full.eq(1)]
            with m.Else():
                m.d.sync += [term.eq(term >> 1), count.eq(count + 1)]

        # The loss: minus the distance of the true output, and the logarithm.
        loss = f.loss.width
        total = Signal(signed(max(loss, len(x) + shift + lane_bits + 1) + 2), reset_less=True)
        head, tail = Signal(), Signal()
        addend = Mux(head, ~(x << shift), product)
        with m.If(head | tail):
            m.d.sync += total.eq(sum_with_carry(total, addend, head))
        word, overflow = saturate(total, loss)
        evaluation: Value = self.first_evaluation
        if chip.has_environments:
            evaluation = Signal.like(self.first_evaluation, reset_less=True)
            with m.If(self.pass_start):
                m.d.sync += evaluation.eq(self.first_evaluation)
            with m.Elif(self.losses_w.en):
                m.d.sync += evaluation.eq(evaluation + 1)
        m.d.comb += [
            self.losses.addr.eq(evaluation),
            self.losses_w.addr.eq(evaluation),
            self.losses_w.data.eq(word),
            self.saturated.eq((self.losses_w.en & overflow) | (tail & full)),
        ]

        held = Signal()
        m.d.comb += [self.base_free.eq(~held), self.busy.eq(held)]
        with m.If(self.reserve_base):
            m.d.sync += [held.eq(1), delta.eq(0)]
        if chip.has_environments:
            m.d.comb += self.delta_free.eq(~held)
            with m.If(self.reserve_delta):
                m.d.sync += [held.eq(1), delta.eq(1), written.eq(0)]
            with m.If(self.logits.en):
                m.d.sync += written.bit_select(self.logits.index, 1).eq(1)
        with m.If(self.clear):
            m.d.sync += self.correct.eq(0)
        with m.Elif(tail & hit & ~delta & self.score):
            m.d.sync += self.correct.eq(self.correct + 1)

        with m.FSM():
            with m.State("Idle"):
                with m.If(arrived):
                    m.next = "Begin"
            with m.State("Begin"):
                m.d.sync += [
                    total.eq(Mux(self.first_pass, 0, self.losses.data)),
                    lane.eq(0),
                    output.eq(0),
                    row.eq(self.target_row),
                ]
                m.next = "Find"
            with m.State("Find"):
                m.next = "Compare"
            with m.State("Compare"):
                # Without the one, not negative means greater.
                with m.If((output == 0) | ~word_distance[-1]):
                    m.d.sync += [not_maximum.eq(logit), hit.eq(match)]
                m.d.sync += [output.eq(output + 1), sum_.eq(0), full.eq(0)]
                m.next = "Find"
                with m.If(final_output):
                    m.d.sync += output.eq(0)
                    m.next = "Read"
            with m.State("Read"):
                m.next = "Distance"
            with m.State("Distance"):
                m.d.comb += [exact.eq(1), looks_delta.eq(delta)]
                m.d.sync += x.eq(distance)
                m.next = "Look up"
                if chip.has_environments:
                    with m.If(delta & written.bit_select(output, 1)):
                        m.next = "Difference"
            if chip.has_environments:
                with m.State("Difference"):
                    m.d.sync += x.eq(x + difference)
                    m.next = "Look up"
            with m.State("Look up"):
                m.d.comb += [head.eq(match), looks.eq(1)]
                m.d.sync += [product.eq(0), multiplier.eq(argument[:REST]), steps.eq(REST)]
                m.next = "Multiply"
                with m.If(exponent < _VANISHING):
                    m.next = "Next"
                if chip.has_environments:
                    with m.Elif(exponent > top):
                        m.d.sync += full.eq(1)
            with m.State("Multiply"):
                m.d.comb += [looks.eq(1), looks_value.eq(steps == 1)]
                m.d.sync += [
                    product.eq(added >> 1), multiplier.eq(multiplier >> 1), steps.eq(steps - 1)
                ]  # fmt: skip
                with m.If(steps == 1):
                    m.next = "Term"
                    with m.If(scaling):
                        m.next = "Tail"
            with m.State("Term"):
                m.d.comb += [looks.eq(1), looks_value.eq(1)]
                # Below the next table entry, so that it fits 20 bits.
                with m.If(~pending):
                    m.d.sync += [
                        term.eq(Cat((value + product)[:FINE_BITS], 1) << above),
                        count.eq(exponent - above),
                        pending.eq(~logarithm),
                        product.eq(0),
                        multiplier.eq(LN2),
                        steps.eq(LN2_BITS),
                        scaling.eq(logarithm),
                    ]
                    m.next = "Next"
                    with m.If(logarithm):
                        m.next = "Multiply"
            with m.State("Next"):
                m.d.sync += output.eq(output + 1)
                m.next = "Read"
                with m.If(final_output):
                    m.d.sync += [logarithm.eq(1), whole.eq(top)]
                    m.next = "Settle"
            with m.State("Settle"):
                with m.If(~pending):
                    m.next = "Normalise"
            with m.State("Normalise"):
                m.d.comb += looks.eq(1)
                m.d.sync += [product.eq(0), multiplier.eq(argument[:REST]), steps.eq(REST)]
                m.next = "Multiply"
                with m.If(~sum_[-1] & (whole != least)):
                    m.d.sync += [sum_.eq(sum_ << 1), whole.eq(whole - 1)]
                    m.next = "Normalise"
            with m.State("Tail"):
                m.d.comb += tail.eq(1)
                m.d.sync += [
                    logarithm.eq(0), scaling.eq(0), output.eq(0),
                    lane.eq(lane + 1), row.eq(row + 1),
                ]  # fmt: skip
                m.next = "Find"
                with m.If(lane + 1 == self.active_lanes):
                    m.next = "Write"
            with m.State("Write"):
                m.d.comb += self.losses_w.en.eq(1)
                m.d.sync += held.eq(0)
                m.next = "Idle"
        return m


def _times_log2e(x: Value) -> Value:
    """``x * LOG2E``, in four additions."""
    assert LOG2E == (23 << 8) + 21
    by_21 = x + (x << 2) + (x << 4)
    return ((by_21 + (x << 1)) << 8) + by_21
