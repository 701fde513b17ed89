"""The softmax loss of one output after another, for small chips."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib.memory import Memory

from zerotrain.gateware.arithmetic import saturate, sum_with_carry
from zerotrain.gateware.loss.interpolate import FRACTION, REST, curve_words
from zerotrain.gateware.loss.loss import LossUnit
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.tables import EXP2, FINE_BITS, LN2, LN2_BITS, LOG2, LOG2E

__all__ = ["SerialDifferenceLoss", "SerialSoftmaxLoss"]

#: Exponentials further below the maximum than 2**-20 are zero.
_VANISHING = -FINE_BITS

#: Bits of a sum of exponentials, where these may exceed 1.
_SUM_BITS = 32


class _Signals:
    """Registers of a serial loss unit, and what its parts tell one another.

    Parameters
    ----------
    chip : Chip
    fine, distance_width : int
        Fraction bits, and all bits, of a distance from the maximum.
    top, least : int
        The largest exponent of a sum, which a logarithm begins with, and the least.
    above : int
        The largest exponent of an exponential that is summed.
    """

    #: The word that is read, and its distance from the maximum: that, or one less.
    word: Value
    word_distance: Value
    #: Exponent of the exponential; argument of the curve that is looked up.
    exponent: Value
    argument: Value

    def __init__(
        self, chip: Chip, fine: int, distance_width: int, top: int, least: int, above: int
    ) -> None:
        self.lane = Signal(address_bits(chip.lanes))
        self.output = Signal(range(chip.output_depth))
        self.row = Signal(address_bits(chip.target_rows))
        self.final_output = Signal()
        # Of the memory: the table instead of the logits; its values, or the differences.
        self.looks = Signal()
        self.looks_value = Signal()
        self.looks_delta = Signal()
        # The evaluation under way: claimed, complete, one of differences, and of which outputs.
        self.held = Signal()
        self.arrived = Signal()
        self.delta = Signal()
        self.written = Signal(chip.output_depth, reset_less=True)
        self.not_maximum = Signal(chip.formats.logit.width, reset_less=True)
        self.exact = Signal()
        #: Of a distance, to 20 fraction bits.
        self.shift = FINE_BITS - fine
        self.x = Signal(signed(distance_width), reset_less=True)
        self.match = Signal()
        self.hit = Signal(reset_less=True)
        # The exponential on its way to the sum.
        self.above = above
        self.term = Signal(above + FINE_BITS + 1, reset_less=True)
        self.pending = Signal()
        self.count = Signal(5)
        self.sum_ = Signal(FINE_BITS + top + 1, reset_less=True)
        self.full = Signal()
        self.top, self.least = top, least
        self.whole = Signal(range(least, max(2, top + 1)), reset_less=True)
        word = Value.cast(Cat(self.term[above:-1], self.whole))
        # Sums below 1 have negative logarithms.
        self.logarithm_word = word.as_signed() if least < 0 else word
        # What the multiplier works for: the logarithm, and its product with ln 2.
        self.logarithm = Signal()
        self.scaling = Signal()
        self.product = Signal(self.logarithm_word.shape(), reset_less=True)
        self.multiplier = Signal(LN2_BITS, reset_less=True)
        self.steps = Signal(range(LN2_BITS + 1))
        # The loss: a word of the memory, and for every lane a distance and a logarithm, which is
        # below 2**24. Each of the three sums fits `most` bits and a sign. And what is added to it.
        lane_sum = max(distance_width + self.shift, 25) + len(self.lane) - 1
        most = max(chip.formats.loss.width - 1, lane_sum)
        self.total = Signal(signed(most + 3), reset_less=True)
        self.head = Signal()
        self.tail = Signal()


class SerialSoftmaxLoss(LossUnit):
    """Softmax cross-entropy and number of correct predictions, for ``Chip.serial_loss``.

    Golden model: :func:`zerotrain.golden.loss.softmax_loss`, ``reference`` and ``correct``.

    One evaluation at a time, lane by lane: the logits once for the maximum, then again for the sum
    of exponentials, then its logarithm. One multiplier by single bits does every product with a
    variable and that with ln 2. All are base evaluations, so that no exponential exceeds 1: sums
    are short, and nothing but the loss of the batch can saturate.

    The buffer of logits is one word wide, and so is what the engine writes. The engine waits until
    an evaluation is done.

    Cycles: at most ``chip.loss_timing.cycles(n_outputs)`` for a pass with all lanes in use.
    """

    #: Kinds of words that the buffer holds: logits.
    _kinds = 1

    def _signals(self) -> _Signals:
        logit, top = self._chip.formats.logit, self._chip.output_depth.bit_length() - 1
        return _Signals(self._chip, logit.frac_bits, logit.width + 1, top, least=0, above=0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s = self._signals()
        self._buffer(m, s)
        self._distances(m, s)
        self._sums(m, s)
        self._losses(m, s)
        self._claims(m, s)
        self._hits(m, s)
        with m.FSM():
            self._find_states(m, s)
            self._distance_states(m, s)
            self._curve_states(m, s)
            self._logarithm_states(m, s)
        return m

    def _buffer(self, m: Module, s: _Signals) -> None:
        """The memory of logits, and of the curves.

        Logits, and behind them their differences, kept inverted: the other operand of a distance is
        not. Then the tables of the curves: block RAM is scarce, and no cycle reads both.
        """
        width = self._chip.formats.logit.width
        slopes, values = curve_words([EXP2, LOG2])
        places = self._kinds * self._chip.output_depth << len(s.lane)
        behind = max(len(slopes + values), places)
        m.submodules.words = words = Memory(
            shape=unsigned(max(width, FINE_BITS)),
            depth=behind + len(slopes + values),
            init=[0] * behind + slopes + values,
        )
        read, write = words.read_port(), words.write_port()
        s.word = read.data
        final_lane = self.logits.lane == self._chip.lanes - 1
        m.d.comb += [
            write.en.eq(self.logits.en),
            write.addr.eq(Cat(self.logits.lane, self.logits.index, self._written_kind())),
            write.data.eq(~self.logits.data),
            s.arrived.eq(self.logits.en & final_lane & self.logits.last),
        ]

        t = (_times_log2e(s.x) << s.shift) >> 14
        s.exponent = t >> FRACTION
        s.argument = Mux(s.logarithm, s.sum_[-1 - FRACTION : -1], t[:FRACTION])
        interval = Cat(s.argument[REST:], s.logarithm)
        m.d.comb += read.addr.eq(
            Mux(
                s.looks,
                Cat(interval, s.looks_value) + behind,
                Cat(s.lane, s.output, s.looks_delta),
            )
        )

    def _written_kind(self) -> Value:
        """Kind of the word that the engine writes: 0, of a logit."""
        return Const(0, 1)

    def _distances(self, m: Module, s: _Signals) -> None:
        """The word under way against the maximum so far: word - maximum, or one less."""
        s.word_distance = sum_with_carry(~self._logit(s), s.not_maximum, s.exact)
        m.d.comb += [
            self.targets.addr.eq(s.row),
            s.match.eq(self._target(0) == s.output),
            s.final_output.eq(s.output + 1 == self.n_outputs),
        ]

    def _logit(self, s: _Signals) -> Value:
        """The word that is read, still inverted."""
        return s.word[: self._chip.formats.logit.width]

    def _sums(self, m: Module, s: _Signals) -> None:
        """An exponential is shifted to its place while the next one is being computed."""
        summed = Value.cast(s.sum_ + s.term)
        with m.If(s.pending):
            with m.If(s.count == 0):
                m.d.sync += [s.sum_.eq(summed), s.pending.eq(0)]
                self._hold_sum(m, s, summed)
            with m.Else():
                m.d.sync += [s.term.eq(s.term >> 1), s.count.eq(s.count + 1)]

    def _hold_sum(self, m: Module, s: _Signals, summed: Value) -> None:
        """Hold a sum at its limit: none gets there."""

    def _hold_exponential(self, m: Module, s: _Signals) -> None:
        """Hold a sum at its limit that has an exponential beyond it: none is."""

    def _losses(self, m: Module, s: _Signals) -> None:
        """The loss: minus the distance of the true output, and the logarithm."""
        addend = Mux(s.head, ~(s.x << s.shift), s.product)
        with m.If(s.head | s.tail):
            m.d.sync += s.total.eq(sum_with_carry(s.total, addend, s.head))
        word, overflow = saturate(s.total, self._chip.formats.loss.width)
        evaluation = self._evaluation(m)
        m.d.comb += [
            self.losses.addr.eq(evaluation),
            self.losses_w.addr.eq(evaluation),
            self.losses_w.data.eq(word),
            self.saturated.eq((self.losses_w.en & overflow) | (s.tail & s.full)),
        ]

    def _evaluation(self, m: Module) -> Value:
        """The evaluation under way: a pass has one."""
        return self.first_evaluation

    def _claims(self, m: Module, s: _Signals) -> None:
        """The buffer is claimed until its evaluation is done."""
        m.d.comb += [self.base_free.eq(~s.held), self.busy.eq(s.held)]
        with m.If(self.reserve_base):
            m.d.sync += [s.held.eq(1), s.delta.eq(0)]

    def _hits(self, m: Module, s: _Signals) -> None:
        with m.If(self.clear):
            m.d.sync += self.correct.eq(0)
        with m.Elif(s.tail & s.hit & ~s.delta & self.score):
            m.d.sync += self.correct.eq(self.correct + 1)

    def _find_states(self, m: Module, s: _Signals) -> None:
        """Once over the outputs of a lane, for the maximum."""
        with m.State("Idle"):
            with m.If(s.arrived):
                m.next = "Begin"
        with m.State("Begin"):
            m.d.sync += [
                s.total.eq(Mux(self.first_pass, 0, self.losses.data)),
                s.lane.eq(0),
                s.output.eq(0),
                s.row.eq(self.target_row),
            ]
            m.next = "Find"
        with m.State("Find"):
            m.next = "Compare"
        with m.State("Compare"):
            # Without the one, not negative means greater.
            with m.If((s.output == 0) | ~s.word_distance[-1]):
                m.d.sync += [s.not_maximum.eq(self._logit(s)), s.hit.eq(s.match)]
            m.d.sync += [s.output.eq(s.output + 1), s.sum_.eq(0), s.full.eq(0)]
            m.next = "Find"
            with m.If(s.final_output):
                m.d.sync += s.output.eq(0)
                m.next = "Read"

    def _distance_states(self, m: Module, s: _Signals) -> None:
        """The distance of an output from the maximum."""
        with m.State("Read"):
            m.next = "Distance"
        with m.State("Distance"):
            m.d.comb += s.exact.eq(1)
            m.d.sync += s.x.eq(s.word_distance)
            m.next = "Look up"

    def _curve_states(self, m: Module, s: _Signals) -> None:
        """The exponential of that distance; also the last steps of a logarithm.

        The multiplier adds a multiplicand for each bit of ``multiplier``, lowest first, and drops
        what can no longer change the whole part.
        """
        slope = value = s.word[:FINE_BITS]
        added = s.product + Mux(s.multiplier[0], Mux(s.scaling, s.logarithm_word, slope), 0)
        with m.State("Look up"):
            m.d.comb += [s.head.eq(s.match), s.looks.eq(1)]
            self._multiply_slope(m, s)
            with m.If(s.exponent < _VANISHING):
                m.next = "Next"
            self._hold_exponential(m, s)
        with m.State("Multiply"):
            m.d.comb += [s.looks.eq(1), s.looks_value.eq(s.steps == 1)]
            m.d.sync += [
                s.product.eq(added >> 1),
                s.multiplier.eq(s.multiplier >> 1),
                s.steps.eq(s.steps - 1),
            ]
            with m.If(s.steps == 1):
                m.next = "Term"
                with m.If(s.scaling):
                    m.next = "Tail"
        with m.State("Term"):
            m.d.comb += [s.looks.eq(1), s.looks_value.eq(1)]
            # Below the next table entry, so that it fits 20 bits.
            with m.If(~s.pending):
                m.d.sync += [
                    s.term.eq(Cat((value + s.product)[:FINE_BITS], 1) << s.above),
                    s.count.eq(s.exponent - s.above),
                    s.pending.eq(~s.logarithm),
                    s.product.eq(0),
                    s.multiplier.eq(LN2),
                    s.steps.eq(LN2_BITS),
                    s.scaling.eq(s.logarithm),
                ]
                m.next = "Next"
                with m.If(s.logarithm):
                    m.next = "Multiply"
        with m.State("Next"):
            m.d.sync += s.output.eq(s.output + 1)
            m.next = "Read"
            with m.If(s.final_output):
                m.d.sync += [s.logarithm.eq(1), s.whole.eq(s.top)]
                m.next = "Settle"

    @staticmethod
    def _multiply_slope(m: Module, s: _Signals) -> None:
        """Multiply the slope that is being looked up by what the table leaves to interpolation."""
        m.d.sync += [s.product.eq(0), s.multiplier.eq(s.argument[:REST]), s.steps.eq(REST)]
        m.next = "Multiply"

    def _logarithm_states(self, m: Module, s: _Signals) -> None:
        """The logarithm of a lane's sum, which ends its loss."""
        with m.State("Settle"):
            with m.If(~s.pending):
                m.next = "Normalise"
        with m.State("Normalise"):
            m.d.comb += s.looks.eq(1)
            self._multiply_slope(m, s)
            with m.If(~s.sum_[-1] & (s.whole != s.least)):
                m.d.sync += [s.sum_.eq(s.sum_ << 1), s.whole.eq(s.whole - 1)]
                m.next = "Normalise"
        with m.State("Tail"):
            m.d.comb += s.tail.eq(1)
            m.d.sync += [
                s.logarithm.eq(0), s.scaling.eq(0), s.output.eq(0),
                s.lane.eq(s.lane + 1), s.row.eq(s.row + 1),
            ]  # fmt: skip
            m.next = "Find"
            with m.If(s.lane + 1 == self.active_lanes):
                m.next = "Write"
        with m.State("Write"):
            m.d.comb += self.losses_w.en.eq(1)
            m.d.sync += s.held.eq(0)
            m.next = "Idle"


class SerialDifferenceLoss(SerialSoftmaxLoss):
    """The same, with evaluations of differences after those of logits.

    Differences have words of their own, and the logits stay for them. Exponentials begin where the
    largest ends, and are only shifted down as well; a sum that reaches ``2**32`` is held.
    """

    _kinds = 2

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        # Distances have the fraction bits of the finer format.
        f = chip.formats
        self._fine = max(f.logit.frac_bits, f.dlogit.frac_bits)
        self._shift, self._delta_shift = (self._fine - g.frac_bits for g in (f.logit, f.dlogit))

    def _signals(self) -> _Signals:
        width, top = self._chip.formats.logit.width, _SUM_BITS - 1 - FINE_BITS
        distance = max(width + 1 + self._shift, width + self._delta_shift) + 1
        return _Signals(self._chip, self._fine, distance, top, least=-FINE_BITS - 1, above=top)

    def _written_kind(self) -> Value:
        """1: of a difference."""
        return self.logits.delta

    def _hold_sum(self, m: Module, s: _Signals, summed: Value) -> None:
        with m.If(s.full | summed[len(s.sum_)]):
            m.d.sync += [s.sum_.eq(-1), s.full.eq(1)]

    def _hold_exponential(self, m: Module, s: _Signals) -> None:
        with m.If(s.exponent > s.top):
            m.d.sync += s.full.eq(1)

    def _evaluation(self, m: Module) -> Value:
        evaluation = Signal.like(self.first_evaluation, reset_less=True)
        with m.If(self.pass_start):
            m.d.sync += evaluation.eq(self.first_evaluation)
        with m.Elif(self.losses_w.en):
            m.d.sync += evaluation.eq(evaluation + 1)
        return evaluation

    def _claims(self, m: Module, s: _Signals) -> None:
        super()._claims(m, s)
        m.d.comb += self.delta_free.eq(~s.held)
        with m.If(self.reserve_delta):
            m.d.sync += [s.held.eq(1), s.delta.eq(1), s.written.eq(0)]
        with m.If(self.logits.en):
            m.d.sync += s.written.bit_select(self.logits.index, 1).eq(1)

    def _distance_states(self, m: Module, s: _Signals) -> None:
        difference = (~self._logit(s)).as_signed() << self._delta_shift
        with m.State("Read"):
            m.next = "Distance"
        with m.State("Distance"):
            m.d.comb += [s.exact.eq(1), s.looks_delta.eq(s.delta)]
            m.d.sync += s.x.eq(s.word_distance << self._shift)
            m.next = "Look up"
            with m.If(s.delta & s.written.bit_select(s.output, 1)):
                m.next = "Difference"
        with m.State("Difference"):
            m.d.sync += s.x.eq(s.x + difference)
            m.next = "Look up"


def _times_log2e(x: Value) -> Value:
    """``x * LOG2E``, in four additions."""
    assert LOG2E == (23 << 8) + 21
    by_21 = x + (x << 2) + (x << 4)
    return ((by_21 + (x << 1)) << 8) + by_21
