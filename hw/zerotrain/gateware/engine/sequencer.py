"""The engine's front end: fetches contractions and issues one beat per cycle.

Golden model: none; the sequencer only decides in which order exact products are summed.
"""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import ReadPort
from zerotrain.spec.program import (
    CONTRACT_FIELDS,
    LEAST_APART,
    MAX_LEVELS,
    MAX_LOOPS,
    OFFSETS,
    STREAMS,
    Opcode,
    Result,
    Source,
    loop_offsets,
)

__all__ = ["BEAT", "CONTROL", "Pace", "Sequencer", "for_one_lane"]

#: A contraction's control word, in the bit order of ``spec.program.CONTRACT_FIELDS``.
CONTROL = data.StructLayout({name: width for name, (_, width) in CONTRACT_FIELDS.items()})

#: What travels down the pipeline with one multiply-accumulate.
BEAT = data.StructLayout(
    {
        "valid": 1,
        "bias": 1,  # the weight is a bias, the operand the constant
        "first": 1,  # first product of a sum
        "last": 1,  # last product of a sum
        "evaluation": 1,  # with ``last``: this result completes an evaluation
        "subtract": 1,  # this product is subtracted
    }
)


def for_one_lane(control: data.View) -> Value:
    """Whether only lane 0's results are wanted, see :attr:`.spec.program.Contract.single`."""
    copies = (control.result == Result.SCRATCH) & (control.source == Source.CONSTANT)
    return copies | (control.result == Result.WEIGHT)


@dataclass(frozen=True, slots=True)
class Pace:
    """What the unit behind a sequencer asks of it.

    Parameters
    ----------
    registers : int
        Registers, 1 or 0, on the way of a row from a program memory that is far away, and before
        the address of a level's row.
    words : int
        Results of a sum that leave the lanes one after the other: so many cycles lie between the
        last beat of one sum and that of the next, and ``spec.program.LEAST_APART`` at least, which
        suffices where only lane 0's is wanted (:func:`for_one_lane`); and the cycle after the last
        beat of a sum has none. 0: all leave at once.
    """

    registers: int = 1
    words: int = 0


class Sequencer(wiring.Component):
    """Walks a program section and issues the beats of its contractions.

    One beat per cycle while a contraction runs and the unit behind is ``ready``; between the last
    beat of one contraction and the first of the next at least 8 cycles, and until the unit behind
    has ``drained``. A loop adds 5 cycles at its start, 1 per iteration, and 4 per contraction that
    an iteration passes over. On a compact chip: 6; 4, 2 and 3.

    A beat that begins an evaluation of the loss waits for the loss unit's credit. Credit is seen
    one cycle late, and not in the cycle after a claim.

    The program memory may be far away: rows go through registers on both sides of it, one more
    than on a compact chip, and the level that advances is registered before its row is addressed.

    Parameters
    ----------
    row_bits : int
        Address bits of the program memory.
    address_bits : int
        Bits of the four data addresses.
    count_bits : int
        Bits of the counters.
    pace : Pace
        How far the program memory is, and how far apart sums are.
    loops : bool
        Programs may have loops; without, a loop is no instruction.
    loop_counters : int
        Counters of a loop, at most. With 1 there are offsets 1 and 3 only: all addresses but the
        operand's may move, in two ways.
    subtracts : bool
        Products may be subtracted; without, all are added.

    Attributes
    ----------
    issue_latency : int
        Cycles from the decision for a beat to the beat: 5, on a compact chip 3.

    Members
    -------
    start, pc : In
        Pulse to run the section that begins at row ``pc``. Only while not ``busy``.
    busy : Out(1)
        A section is running. Its last results may still be on their way through the lanes.
    program : Out(ReadPort)
        Program memory, 64-bit rows; one arrives 2 cycles after its address, on a compact chip 1.
    base_free, delta_free : In(1)
        The loss unit can take another evaluation of logits or of differences.
    ready : In(1)
        A beat may be issued in this cycle; it is at ``beat`` ``issue_latency`` cycles later.
    drained : In(1)
        The results of all beats so far can be read by a beat that follows ``issue_latency + 1``
        cycles later. A contraction begins only then.
    reserve_base, reserve_delta : Out(1)
        Pulse: an evaluation begins.
    begins : Out(1)
        Pulse: a contraction begins.
    control : Out(CONTROL)
        Control word of the contraction that runs or waits to begin.
    beat : Out(BEAT)
        The beat whose addresses are presented in this cycle.
    address : Out
        Address of each stream for ``beat``.
    stalled : Out(1)
        A beat waits for the loss unit.
    bad_program : Out(1)
        Pulse: a row was no instruction; the section ends.
    """

    def __init__(
        self,
        row_bits: int,
        address_bits: int,
        *,
        count_bits: int,
        pace: Pace | None = None,
        loops: bool = True,
        loop_counters: int = MAX_LOOPS,
        subtracts: bool = False,
    ) -> None:
        pace = pace or Pace()
        self._extra = pace.registers
        # From setting the address of a row to the row.
        self._row_latency = 3 + self._extra
        self.issue_latency = self._row_latency + self._extra
        self._address_bits = address_bits
        self._count_bits = count_bits
        self._loops = loops
        self._loop_counters = loop_counters
        self._subtracts = subtracts
        self._words = pace.words
        super().__init__(
            {
                "start": In(1),
                "pc": In(row_bits),
                "busy": Out(1),
                "program": Out(ReadPort(row_bits, 64)),
                "base_free": In(1),
                "delta_free": In(1),
                "ready": In(1),
                "drained": In(1),
                "begins": Out(1),
                "reserve_base": Out(1),
                "reserve_delta": Out(1),
                "control": Out(CONTROL),
                "beat": Out(BEAT),
                "address": Out(data.StructLayout(dict.fromkeys(STREAMS, address_bits))),
                "stalled": Out(1),
                "bad_program": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, counter = self._address_bits, self._count_bits
        # A row is in `row` `_row_latency` cycles after the cycle that sets `row_addr`.
        row_addr = Signal.like(self.program.addr, reset_less=True)
        row = Signal(data.ArrayLayout(16, 4), reset_less=True)
        fetched = data.View(CONTROL, row.as_value()[: CONTROL.size])
        m.d.comb += self.program.addr.eq(row_addr)
        m.d.sync += row.eq(self.program.data)

        control = Signal(CONTROL, reset_less=True)
        m.d.comb += self.control.eq(control)
        # Decoded with the control word, so that the beats' path begins at registers.
        in_sum = Signal(MAX_LEVELS, reset_less=True)
        in_evaluation = Signal(MAX_LEVELS, reset_less=True)
        last_summed = Signal(MAX_LEVELS, reset_less=True)
        to_base, to_delta = Signal(reset_less=True), Signal(reset_less=True)
        level_rows = Signal.like(row_addr, reset_less=True)
        following = Signal.like(row_addr, reset_less=True)

        # Odometer: the lowest counter that is not zero advances, those below it start again.
        # Whether a counter is zero is known beforehand.
        count = [Signal(counter, name=f"count_{k}", reset_less=True) for k in range(MAX_LEVELS)]
        reload = [Signal(counter, name=f"reload_{k}", reset_less=True) for k in range(MAX_LEVELS)]
        zero = Signal(MAX_LEVELS, reset_less=True)
        reload_zero = Signal(MAX_LEVELS, reset_less=True)
        level = Signal(range(MAX_LEVELS + 1))
        finished = Signal()
        m.d.comb += [level.eq(MAX_LEVELS), finished.eq(zero.all())]
        for k in reversed(range(MAX_LEVELS)):
            with m.If(~zero[k]):
                m.d.comb += level.eq(k)

        first = Signal()
        evaluation_start = Signal()
        # The FSM is in "Run"; as a bit of its own, it is on fewer levels of logic.
        running = Signal()
        issue, step, bias_beat, last = Signal(), Signal(), Signal(), Signal()
        evaluation_end = Signal()
        # The loss unit is far away.
        claims, credit = Signal(), Signal()
        m.d.sync += credit.eq(Mux(to_base, self.base_free, self.delta_free) & ~claims)
        waits = evaluation_start & ~credit
        m.d.comb += [
            issue.eq(running & self.ready & ~waits & ~self._pauses(m, issue, last)),
            self.stalled.eq(running & self.ready & waits),
            step.eq(issue & ~bias_beat),
            last.eq((zero | ~in_sum).all() & ~bias_beat),
            evaluation_end.eq((zero | ~in_evaluation).all() & last),
            claims.eq(issue & evaluation_start),
            self.reserve_base.eq(claims & to_base),
            self.reserve_delta.eq(claims & to_delta),
        ]
        with m.If(issue):
            m.d.sync += [
                first.eq(last),
                bias_beat.eq(last & control.bias),
                evaluation_start.eq(evaluation_end & (to_base | to_delta)),
            ]
        with m.If(step):
            for k in range(MAX_LEVELS):
                with m.If(zero[: k + 1].all()):
                    m.d.sync += [count[k].eq(reload[k]), zero[k].eq(reload_zero[k])]
                with m.Elif(zero[:k].all()):
                    m.d.sync += [count[k].eq(count[k] - 1), zero[k].eq(count[k] == 1)]

        # The row of the level that advances takes a while; the beat waits for that of the beat
        # before it.
        beat = Signal(BEAT, name="issued")
        m.d.comb += [
            beat.valid.eq(issue),
            beat.bias.eq(bias_beat),
            beat.first.eq(first),
            beat.last.eq(last),
            beat.evaluation.eq(evaluation_end),
        ]
        if self._subtracts:
            m.d.comb += beat.subtract.eq(control.subtract & (zero & last_summed).any())
        m.d.comb += self.beat.eq(pipe(m, beat.as_value(), self.issue_latency, "beat"))
        advance = pipe(m, step, self.issue_latency, "advance")

        # Addresses.
        address = Signal(self.address.shape(), reset_less=True)
        m.d.comb += self.address.eq(address)
        load = Signal()
        loops = self._loop_counters
        offset = {k: Signal(bits, name=f"offset_{k}", reset_less=True) for k in loop_offsets(loops)}
        for s, stream in enumerate(STREAMS):
            named = control[f"{stream}_offset"]
            none = Const(0, bits)
            options = [offset.get(k, none) for k in OFFSETS[stream]]
            base = Mux(load, Array([none, *options])[named], address[stream])
            with m.If(load | advance):
                m.d.sync += address[stream].eq(base + row[s][:bits])

        # Loops: the same odometer once more, over whole contractions.
        loop_count = [Signal(counter, name=f"loop_count_{k}") for k in range(loops)]
        loop_reload = [Signal(counter, name=f"loop_reload_{k}") for k in range(loops)]
        loop_rows = Signal.like(row_addr)
        loop_body = Signal.like(row_addr)
        loop_step, offset_clear = Signal(), Signal()
        offset_add = pipe(m, loop_step, self._row_latency, "offset_add")
        for k, moved in offset.items():
            with m.If(offset_clear):
                m.d.sync += moved.eq(0)
            with m.Elif(offset_add):
                m.d.sync += moved.eq(moved + row[k][:bits])
        # The level that led to this trip; in the first trip everything runs.
        everything = min(loops, MAX_LOOPS - 1)
        loop_advanced = Signal(range(everything + 1), init=everything)
        # A contraction lasts longer than it takes to register the level that advances after it.
        loop_level = Signal(range(loops + 1), init=loops)
        m.d.sync += loop_level.eq(loops)
        for k in reversed(range(loops)):
            with m.If(loop_count[k] != 0):
                m.d.sync += loop_level.eq(k)

        started = Signal()
        m.d.sync += started.eq(self.start)
        late_level = pipe(m, level, self._extra, "level", reset_less=True)
        fetches = self._row_latency - 1
        # A section goes on at the row whose address is set with m.next = "Fetch 1".
        with m.FSM() as fsm:
            with m.State("Idle"):
                with m.If(started):
                    m.next = "Fetch 1"
                with m.Else():
                    m.d.sync += row_addr.eq(self.pc)
            for k in range(1, fetches + 1):
                with m.State(f"Fetch {k}"):
                    m.d.sync += row_addr.eq(row_addr + 1)
                    m.next = f"Fetch {k + 1}" if k < fetches else "Row 0"
            with m.State("Row 0"):
                # Row `fetches` is being addressed; row 3 is the last of those that are wanted.
                level_row = row_addr + (4 - fetches)
                m.d.sync += [
                    row_addr.eq(row_addr + (3 - fetches)),
                    control.eq(fetched),
                    in_sum.eq(Cat(k < fetched.reduce for k in range(MAX_LEVELS))),
                    in_evaluation.eq(Cat(k < fetched.evaluation_level for k in range(MAX_LEVELS))),
                    last_summed.eq(Cat(k + 1 == fetched.reduce for k in range(MAX_LEVELS))),
                    to_base.eq(fetched.result == Result.LOGIT),
                    to_delta.eq(fetched.result == Result.DLOGIT),
                    level_rows.eq(level_row),
                    following.eq(level_row + fetched.levels),
                ]
                with m.Switch(fetched.opcode):
                    with m.Case(Opcode.CONTRACT):
                        m.next = "Row 1"
                        with m.If(fetched.loop_level > loop_advanced):
                            m.d.sync += row_addr.eq(level_row + fetched.levels)
                            m.next = "Fetch 1"
                    with m.Case(Opcode.END):
                        m.next = "Idle"
                    if self._loops:
                        with m.Case(Opcode.LOOP):
                            loop_row = row_addr + (2 - fetches)
                            m.d.sync += loop_rows.eq(loop_row)
                            m.d.sync += loop_body.eq(loop_row + MAX_LOOPS)
                            m.next = "Loop"
                    with m.Default():
                        m.d.comb += self.bad_program.eq(1)
                        m.next = "Idle"
            with m.State("Row 1"):
                for k in range(4):
                    m.d.sync += [count[k].eq(row[k]), zero[k].eq(row[k] == 0)]
                    m.d.sync += [reload[k].eq(row[k]), reload_zero[k].eq(row[k] == 0)]
                m.next = "Row 2"
            with m.State("Row 2"):
                for k in range(4, MAX_LEVELS):
                    word = row[k - 4]
                    m.d.sync += [count[k].eq(word), zero[k].eq(word == 0)]
                    m.d.sync += [reload[k].eq(word), reload_zero[k].eq(word == 0)]
                m.next = "Base"
            with m.State("Base"):
                # Row 3 stays addressed from "Row 1" on.
                m.d.comb += [load.eq(1), self.begins.eq(self.drained)]
                m.d.sync += [first.eq(1), bias_beat.eq(control.bias)]
                m.d.sync += evaluation_start.eq(to_base | to_delta)
                with m.If(self.drained):
                    m.d.sync += running.eq(1)
                    m.next = "Run"
            with m.State("Run"):
                m.d.sync += row_addr.eq(level_rows + late_level)
                with m.If(step & finished):
                    m.d.sync += running.eq(0)
                    if self._extra:
                        m.next = "Leave"
                    else:
                        m.d.sync += row_addr.eq(following)
                        m.next = "Fetch 1"
                    if self._loops:
                        with m.If(control.loop_last & (loop_level != loops)):
                            m.next = "Loop Step"
            if self._extra:
                with m.State("Leave"):
                    m.d.sync += row_addr.eq(following)
                    m.next = "Fetch 1"
            # Without these states, nothing of a loop ever changes.
            if self._loops:
                with m.State("Loop"):
                    m.d.comb += offset_clear.eq(1)
                    m.d.sync += [loop_reload[k].eq(row[k]) for k in range(loops)]
                    m.d.sync += [loop_count[k].eq(row[k]) for k in range(loops)]
                    m.d.sync += [loop_advanced.eq(everything), row_addr.eq(loop_body)]
                    m.next = "Fetch 1"
                with m.State("Loop Step"):
                    m.d.comb += loop_step.eq(1)
                    m.d.sync += [loop_advanced.eq(loop_level), row_addr.eq(loop_rows + loop_level)]
                    for k in range(loops):
                        with m.If(loop_level == k):
                            m.d.sync += loop_count[k].eq(loop_count[k] - 1)
                        with m.Elif(loop_level > k):
                            m.d.sync += loop_count[k].eq(loop_reload[k])
                    m.next = "Loop Jump"
                with m.State("Loop Jump"):
                    m.d.sync += row_addr.eq(loop_body)
                    m.next = "Fetch 1"
        m.d.comb += self.busy.eq(started | ~fsm.ongoing("Idle"))
        return m

    def _pauses(self, m: Module, issue: Value, last: Value) -> Value:
        """Whether the beat that comes next has to wait for results that are leaving."""
        if not self._words:
            return Const(0, 1)
        ended = Signal()
        m.d.sync += ended.eq(issue & last)
        words = max(self._words, LEAST_APART)
        left = Signal(range(words))
        with m.If(issue & last):
            m.d.sync += left.eq(Mux(for_one_lane(self.control), LEAST_APART, words) - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return ended | (last & (left != 0))
