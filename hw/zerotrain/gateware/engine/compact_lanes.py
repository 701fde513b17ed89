"""Lanes for small parts: few registers, and one requantiser that all share.

Golden model: :func:`zerotrain.golden.fixed.requantize` of exact sums of products.
"""

from collections.abc import Callable

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring

from zerotrain.gateware.arithmetic import add_or_subtract, pipe
from zerotrain.gateware.engine.activation import CODE_BITS
from zerotrain.gateware.engine.compact_memories import CompactMemories, Leaving, Taken
from zerotrain.gateware.engine.lane import TAKES, takes
from zerotrain.gateware.engine.lane_array import LaneArray
from zerotrain.gateware.engine.requantiser import Requantiser
from zerotrain.gateware.engine.sequencer import Pace, for_one_lane, writes_sine
from zerotrain.gateware.engine.sine import SineUnit
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import LEAST_APART, Result, Source
from zerotrain.spec.registers import Saturation

__all__ = [
    "END_STAGE", "RESULT_STAGE", "WORD_STAGE", "CompactLanes", "Logits", "row_at_a_time",
    "word_at_a_time",
]  # fmt: skip

#: Stages of a beat: memory words are there, its sum is complete if it is the last, lane 0's result.
WORD_STAGE = 2
END_STAGE = WORD_STAGE + 3
RESULT_STAGE = END_STAGE + 2


#: Gives wanted words that leave to the loss unit's port.
Logits = Callable[[Module, Chip, wiring.PureInterface, Leaving, Value], None]


def word_at_a_time(
    m: Module, chip: Chip, port: wiring.PureInterface, leaving: Leaving, wanted: Value
) -> None:
    """To a loss unit that takes one word after the other."""
    m.d.comb += [
        port.en.eq(leaving.valid & wanted),
        port.lane.eq(leaving.lane),
        port.data.eq(leaving.word[: chip.formats.logit.width]),
    ]


def row_at_a_time(
    m: Module, chip: Chip, port: wiring.PureInterface, leaving: Leaving, wanted: Value
) -> None:
    """To a loss unit that takes the words of all lanes, a cycle after it is told."""
    word = leaving.word[: chip.formats.logit.width]
    words = Signal(chip.lanes * len(word), reset_less=True)
    with m.If(leaving.valid):
        m.d.sync += words.eq(Cat(words, word)[len(word) :])
    m.d.comb += [
        port.en.eq(leaving.valid & (leaving.lane == chip.lanes - 1) & wanted),
        port.data.eq(words),
    ]


class CompactLanes(LaneArray):
    """One requantiser behind lanes that multiply and accumulate; signature of
    :class:`~.LaneArray`.

    A lane selects its operand, multiplies and accumulates. As a sum ends, all lanes hand theirs to
    a chain and begin again; the chain moves on by a lane per cycle, lane 0 first, to the
    requantiser. So results come one after the other, while the next sums run: those must end
    ``lanes`` cycles later at the earliest, or ``LEAST_APART``, where only lane 0's is wanted. The
    cycle after the last beat of a sum has no beat: the accumulators are set to the rounding
    constant.

    There is a register before and behind the multiplier and nothing else. After stage 1, the rows:

    * 2: words and weight are there; what the operand is made of is known;
    * 3: operand and weight;
    * 4: product;
    * 5: the sum, complete if the beat was its last;
    * 6: the chain;
    * 7: lane 0's result; that of lane k is there in stage 7 + k, and written at its end, or its
      sine ``timing.sine_latency`` cycles later.

    Parameters
    ----------
    chip : Chip
    memories : CompactMemories
        Where the lanes' words are.
    logits : Logits
        How the loss unit takes its words.
    """

    word_stage = WORD_STAGE

    def __init__(self, chip: Chip, memories: CompactMemories, logits: Logits) -> None:
        self._memories = memories
        self._tell = logits
        self._requantiser = Requantiser(chip)
        f = chip.formats
        self._accumulator = min(chip.acc_width, max(32, f.weight.width + f.lane_width))
        super().__init__(chip)

    @property
    def pace(self) -> Pace:
        return Pace(registers=0, words=self._chip.lanes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        control, weight = self.control, self._chip.formats.weight
        taken = self._taken(m)
        row, evaluation = self._following(m)
        self._memories.read(m, self)
        one = Const(1 << weight.frac_bits, weight.width)
        factor = Mux(control.unit_weight, one, self.weight)
        sums, ends = self._sums(m, taken, factor)
        leaving = self._leave(m, sums, ends, row)
        self._memories.write(m, self, self._activated(m, leaving))

        result = control.result
        merged = leaving.valid & (result == Result.WEIGHT)
        to_loss = (result == Result.LOGIT) | (result == Result.DLOGIT)
        self._tell(m, self._chip, self.logits, leaving, to_loss)
        m.d.comb += [
            self.weight_w.en.eq(self._memories.weight_enable(m, merged, self.beats[1].valid)),
            self.weight_w.addr.eq(row),
            self.weight_w.data.eq(leaving.word),
            self.logits.delta.eq(result == Result.DLOGIT),
            self.logits.index.eq(row),
            self.logits.last.eq(evaluation),
        ]
        flags = {
            Saturation.SCRATCH: result == Result.SCRATCH,
            Saturation.PREACT: result == Result.PREACT,
            Saturation.MERGE: result == Result.WEIGHT,
            Saturation.LOGIT: to_loss,
        }
        counts = leaving.valid & self._requantiser.clamped & (leaving.lane < self.active_lanes)
        for flag, hit in flags.items():
            m.d.comb += self.flag(flag).eq(counts & hit)
        return m

    def _taken(self, m: Module) -> Taken:
        """What the operand is made of, in stage 2."""
        f, control, beat = self._chip.formats, self.control, self.beats[1]
        source = Mux(beat.bias, Source.CONSTANT, control.source)
        taken = Signal(TAKES, reset_less=True)
        constant = Signal(f.lane_width, reset_less=True)
        constants = (source == Source.CONSTANT) | (source == Source.DELTA_CONSTANT)
        m.d.sync += [
            taken.eq(Mux(beat.valid, takes(source), 0)),
            constant.eq(
                Cat(
                    beat.valid
                    & constants
                    & (control.constant_shift == k if k in self._chip.constants else 0)
                    for k in range(f.lane_width)
                )
            ),
        ]
        return Taken(taken, constant, control.activation[:CODE_BITS])

    def _following(self, m: Module) -> tuple[Value, Value]:
        """The result's address, and whether it completes an evaluation: still for all lanes.

        Sums are so far apart that a register every few stages holds what is on its way.
        """
        row, evaluation = self.result, self.beats[0].evaluation
        for k in (0, LEAST_APART - 1, RESULT_STAGE - 1):
            row_k = Signal.like(row, name=f"target_{k}", reset_less=True)
            evaluation_k = Signal(name=f"evaluation_{k}", reset_less=True)
            with m.If(self.beats[k].valid & self.beats[k].last):
                m.d.sync += [row_k.eq(row), evaluation_k.eq(evaluation)]
            row, evaluation = row_k, evaluation_k
        return row, evaluation

    def _sums(self, m: Module, taken: Taken, factor: Value) -> tuple[Value, Value]:
        """Lane 0's end of the chain, and when it is filled, in stage ``END_STAGE``."""
        chip, f, lanes = self._chip, self._chip.formats, self._chip.lanes
        beginning, ending = self.beats[WORD_STAGE], self.beats[END_STAGE - 1]
        first, ends = Signal(), Signal()
        m.d.sync += [
            first.eq(beginning.valid & beginning.first),
            ends.eq(ending.valid & ending.last),
        ]
        # Multiplier registers have no reset: only those are absorbed into iCE40 DSP blocks.
        p1_weight = Signal(signed(f.weight.width), reset_less=True)
        m.d.sync += p1_weight.eq(factor)
        # Half of the last place that is kept. Synthesis must not see that the other bits are always
        # zero: it would give the accumulators' registers a reset, and then they are not absorbed.
        never = Signal()
        m.d.sync += never.eq(taken.takes.input & taken.takes.preact)
        halves = Signal(self._accumulator)
        m.d.comb += halves.eq(
            Array([Const(1 << s >> 1) for s in chip.shifts])[self._requantiser.shift]
        )
        rounding = Cat(
            halves[k] if k + 1 in chip.shifts else never for k in range(self._accumulator)
        ).as_signed()
        chain = [Signal(signed(chip.acc_width), name=f"chain_{k}", reset_less=True)
                 for k in range(lanes)]  # fmt: skip
        for k in range(lanes):
            p1_operand = Signal(signed(f.lane_width), name=f"p1_operand_{k}", reset_less=True)
            p2_prod = Signal(
                signed(len(p1_weight) + f.lane_width), name=f"p2_prod_{k}", reset_less=True
            )
            operand = self._memories.operand(m, k, taken)
            # Where there is no beat, the product is zero.
            m.d.sync += [p1_operand.eq(operand), p2_prod.eq(p1_weight * p1_operand)]
            total = self._accumulate(m, k, p2_prod, first, rounding)
            m.d.sync += chain[k].eq(Mux(ends, total, chain[k + 1] if k + 1 < lanes else total))
        return chain[0], ends

    def _accumulate(
        self, m: Module, k: int, product: Value, first: Value, rounding: Value
    ) -> Value:
        """A lane's sum, from the cycle after its last product was taken.

        The accumulator has the width of the block's, 32 bits, or of a product. How often it wrapped
        is counted beside it: as products are at most a quarter of its range, its two highest bits
        tell, a cycle later.
        """
        low = self._accumulator
        acc = Signal(signed(low), name=f"acc_{k}", reset_less=True)
        total: Value = acc + product
        if k == 0 and self._chip.lane_subtracts:
            total = add_or_subtract(acc, product, self.beats[END_STAGE - 1].subtract)
        m.d.sync += acc.eq(Mux(first, rounding, total))
        high = self._chip.acc_width - low
        if not high:
            return acc
        quarter = Signal(2, name=f"quarter_{k}", reset_less=True)
        wraps = Signal(high, name=f"wraps_{k}", reset_less=True)
        up, down = (quarter == 3) & (acc[-2:] == 0), (quarter == 0) & (acc[-2:] == 3)
        wrapped = (Cat(up, wraps) + Cat(up, down.replicate(high)))[1 : high + 1]
        m.d.sync += [
            quarter.eq(Mux(first, 0, acc[-2:])),
            wraps.eq(Mux(first, 0, wrapped)),
        ]
        return Cat(acc, wrapped).as_signed()

    def _leave(self, m: Module, total: Value, ends: Value, row: Value) -> Leaving:
        """Words on their way out; whether in stage ``END_STAGE + 1``, and whose."""
        control, last = self.control, self._chip.lanes - 1
        m.submodules.requantiser = requantiser = self._requantiser
        valid, lane = Signal(), Signal(range(self._chip.lanes))
        c1_valid, c1_lane = Signal(), Signal.like(lane)
        m.d.sync += c1_lane.eq(c1_lane + 1)
        with m.If(ends):
            m.d.sync += [c1_valid.eq(1), c1_lane.eq(0)]
        with m.Elif(for_one_lane(control) | (c1_lane == last)):
            m.d.sync += c1_valid.eq(0)
        m.d.sync += [valid.eq(c1_valid), lane.eq(c1_lane)]
        m.d.comb += [
            requantiser.take.eq(c1_valid),
            requantiser.sum.eq(total),
            requantiser.shift.eq(control.shift),
            requantiser.result.eq(control.result),
            self.busy.eq(c1_valid | valid),
        ]
        return Leaving(valid, lane, requantiser.word, row, control.result)

    def _activated(self, m: Module, leaving: Leaving) -> Leaving:
        """What the memories are told: words as they leave, or their sines ``sine_latency`` cycles
        later."""
        if not self._chip.sine:
            return leaving
        latency, row = self._chip.timing.sine_latency, Signal.like(leaving.row, reset_less=True)
        m.submodules.sine = unit = SineUnit(self._chip, len(leaving.word))
        m.d.comb += [
            unit.argument.eq(leaving.word),
            self._requantiser.sine.eq(writes_sine(self.control)),
        ]
        valid, lane, wanted = leaving.valid, leaving.lane, writes_sine(self.control)
        for k in range(1, latency + 1):
            valid = pipe(m, valid, 1, f"sine_valid_{k}")
            lane = pipe(m, lane, 1, f"sine_lane_{k}", reset_less=True)
            with m.If(valid):
                m.d.comb += self.busy.eq(1)
            # Rows are still for `LEAST_APART` cycles, which the latency is less than.
            if k == latency - 1:
                with m.If(valid & (lane == 0)):
                    m.d.sync += row.eq(leaving.row)
        return Leaving(
            valid=Mux(wanted, valid, leaving.valid),
            lane=Mux(wanted, lane, leaving.lane),
            word=Mux(wanted, unit.value, leaving.word),
            row=Mux(wanted, row, leaving.row),
            result=leaving.result,
        )
