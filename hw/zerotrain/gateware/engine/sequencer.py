"""The engine's front end: fetches contractions and issues one beat per cycle.

Golden model: none; the sequencer only decides in which order exact products are summed.
"""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.loops import Loops
from zerotrain.gateware.engine.odometer import Odometer
from zerotrain.gateware.storage.memory import ReadPort
from zerotrain.spec.program import (
    CONTRACT_FIELDS,
    LEAST_APART,
    MAX_LEVELS,
    MAX_LOOPS,
    OFFSETS,
    SINE,
    STREAMS,
    Opcode,
    Result,
    Source,
)

__all__ = ["BEAT", "CONTROL", "Pace", "Sequencer", "for_one_lane", "writes_sine"]

#: A contraction's control word.
CONTROL = data.FlexibleLayout(
    max(low + width for low, width in CONTRACT_FIELDS.values()),
    {name: data.Field(width, low) for name, (low, width) in CONTRACT_FIELDS.items()},
)

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


def writes_sine(control: data.View) -> Value:
    """Whether results are pre-activations of which the sine is written."""
    wanted: Value = control.activation[SINE]
    return wanted


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
    sines : int
        Of sums that the sine is wanted of, so many cycles lie between their last beats at least, if
        all leave at once.
    """

    registers: int = 1
    words: int = 0
    sines: int = 0


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
        self._words, self._sines = pace.words, pace.sines
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
        # A row is in `row` `_row_latency` cycles after the cycle that sets `row_addr`.
        row_addr = Signal.like(self.program.addr, reset_less=True)
        row = Signal(data.ArrayLayout(16, 4), reset_less=True)
        m.d.comb += self.program.addr.eq(row_addr)
        m.d.sync += row.eq(self.program.data)

        current = _Contraction(row_addr)
        m.d.comb += self.control.eq(current.control)
        odometer = Odometer(m, self._count_bits)
        # The FSM is in "Run"; as a bit of its own, it is on fewer levels of logic.
        running = Signal()
        step = self._issue(m, current, odometer, running)
        advance = pipe(m, step, self.issue_latency, "advance")

        address = Signal(self.address.shape(), reset_less=True)
        m.d.comb += self.address.eq(address)
        load = Signal()
        loops = Loops(m, row_addr, counters=self._loop_counters, count_bits=self._count_bits)
        bits = self._address_bits
        offset = loops.offsets(m, row, bits=bits, row_latency=self._row_latency)
        for s, stream in enumerate(STREAMS):
            named = current.control[f"{stream}_offset"]
            none = Const(0, bits)
            options = [offset.get(k, none) for k in OFFSETS[stream]]
            base = Mux(load, Array([none, *options])[named], address[stream])
            with m.If(load | advance):
                m.d.sync += address[stream].eq(base + row[s][:bits])

        started = Signal()
        m.d.sync += started.eq(self.start)
        late_level = pipe(m, odometer.level, self._extra, "level", reset_less=True)
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
                self._row_0(m, row_addr, row, current, loops)
            with m.State("Row 1"):
                for k in range(4):
                    odometer.load(m, k, row[k])
                m.next = "Row 2"
            with m.State("Row 2"):
                for k in range(4, MAX_LEVELS):
                    odometer.load(m, k, row[k - 4])
                m.next = "Base"
            with m.State("Base"):
                # Row 3 stays addressed from "Row 1" on.
                m.d.comb += [load.eq(1), self.begins.eq(self.drained)]
                current.begin(m)
                with m.If(self.drained):
                    m.d.sync += running.eq(1)
                    m.next = "Run"
            with m.State("Run"):
                m.d.sync += row_addr.eq(current.level_rows + late_level)
                with m.If(step & odometer.finished):
                    m.d.sync += running.eq(0)
                    if self._extra:
                        m.next = "Leave"
                    else:
                        m.d.sync += row_addr.eq(current.following)
                        m.next = "Fetch 1"
                    if self._loops:
                        with m.If(current.control.loop_last & (loops.level != loops.counters)):
                            m.next = "Loop Step"
            if self._extra:
                with m.State("Leave"):
                    m.d.sync += row_addr.eq(current.following)
                    m.next = "Fetch 1"
            # Without these states, nothing of a loop ever changes.
            if self._loops:
                with m.State("Loop"):
                    loops.load(m, row)
                    m.d.sync += row_addr.eq(loops.body)
                    m.next = "Fetch 1"
                with m.State("Loop Step"):
                    loops.step(m, row_addr)
                    m.next = "Loop Jump"
                with m.State("Loop Jump"):
                    m.d.sync += row_addr.eq(loops.body)
                    m.next = "Fetch 1"
        m.d.comb += self.busy.eq(started | ~fsm.ongoing("Idle"))
        return m

    def _row_0(
        self, m: Module, row_addr: Signal, row: data.View, current: "_Contraction", loops: Loops
    ) -> None:
        """A control word is there. Row ``fetches`` is being addressed; row 3 is the last of those
        that are wanted."""
        fetches = self._row_latency - 1
        fetched = data.View(CONTROL, row.as_value()[: CONTROL.size])
        level_row = row_addr + (4 - fetches)
        m.d.sync += row_addr.eq(row_addr + (3 - fetches))
        current.decode(m, fetched, level_row)
        with m.Switch(fetched.opcode):
            with m.Case(Opcode.CONTRACT):
                m.next = "Row 1"
                with m.If(fetched.loop_level > loops.advanced):
                    m.d.sync += row_addr.eq(level_row + fetched.levels)
                    m.next = "Fetch 1"
            with m.Case(Opcode.END):
                m.next = "Idle"
            if self._loops:
                with m.Case(Opcode.LOOP):
                    loops.found(m, row_addr + (2 - fetches))
                    m.next = "Loop"
            with m.Default():
                m.d.comb += self.bad_program.eq(1)
                m.next = "Idle"

    def _issue(
        self, m: Module, current: "_Contraction", odometer: Odometer, running: Signal
    ) -> Signal:
        """Decide for beats and send them off. Returns whether the odometer goes on."""
        zero = odometer.zero
        issue, step, last = Signal(), Signal(), Signal()
        evaluation_end = Signal()
        # The loss unit is far away.
        claims, credit = Signal(), Signal()
        m.d.sync += credit.eq(Mux(current.to_base, self.base_free, self.delta_free) & ~claims)
        waits = current.evaluation_start & ~credit
        m.d.comb += [
            issue.eq(running & self.ready & ~waits & ~self._pauses(m, issue, last)),
            self.stalled.eq(running & self.ready & waits),
            step.eq(issue & ~current.bias_beat),
            last.eq((zero | ~current.in_sum).all() & ~current.bias_beat),
            evaluation_end.eq((zero | ~current.in_evaluation).all() & last),
            claims.eq(issue & current.evaluation_start),
            self.reserve_base.eq(claims & current.to_base),
            self.reserve_delta.eq(claims & current.to_delta),
        ]
        # The row of the level that advances takes a while; the beat waits for that of the beat
        # before it.
        beat = Signal(BEAT, name="issued")
        m.d.comb += [
            beat.valid.eq(issue),
            beat.bias.eq(current.bias_beat),
            beat.first.eq(current.first),
            beat.last.eq(last),
            beat.evaluation.eq(evaluation_end),
        ]
        if self._subtracts:
            outermost = (zero & current.last_summed).any()
            m.d.comb += beat.subtract.eq(current.control.subtract & outermost)
        m.d.comb += self.beat.eq(pipe(m, beat.as_value(), self.issue_latency, "beat"))
        with m.If(issue):
            m.d.sync += [
                current.first.eq(last),
                current.bias_beat.eq(last & current.control.bias),
                current.evaluation_start.eq(evaluation_end & (current.to_base | current.to_delta)),
            ]
        with m.If(step):
            odometer.advance(m)
        return step

    def _pauses(self, m: Module, issue: Value, last: Value) -> Value:
        """Whether the beat that comes next has to wait for results that are leaving."""
        if not self._words:
            return self._turns(m, issue, last)
        ended = Signal()
        m.d.sync += ended.eq(issue & last)
        words = max(self._words, LEAST_APART)
        left = Signal(range(words))
        with m.If(issue & last):
            m.d.sync += left.eq(Mux(for_one_lane(self.control), LEAST_APART, words) - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return ended | (last & (left != 0))

    def _turns(self, m: Module, issue: Value, last: Value) -> Value:
        """The same where results only wait for the sines of those before."""
        if self._sines < 2:
            return Const(0, 1)
        left = Signal(range(self._sines))
        with m.If(issue & last):
            m.d.sync += left.eq(Mux(writes_sine(self.control), self._sines - 1, 0))
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return last & (left != 0)


class _Contraction:
    """The contraction that runs or waits to begin.

    What beats depend on is decoded with the control word, so that their path begins at registers.
    """

    def __init__(self, row_addr: Signal) -> None:
        def word(name: str) -> Signal:
            return Signal(MAX_LEVELS, name=name, reset_less=True)

        self.control = Signal(CONTROL, reset_less=True, name="control")
        self.in_sum, self.in_evaluation = word("in_sum"), word("in_evaluation")
        self.last_summed = word("last_summed")
        self.to_base = Signal(reset_less=True, name="to_base")
        self.to_delta = Signal(reset_less=True, name="to_delta")
        self.level_rows = Signal.like(row_addr, reset_less=True, name="level_rows")
        self.following = Signal.like(row_addr, reset_less=True, name="following")
        # Of the next beat.
        self.first = Signal(name="first")
        self.bias_beat = Signal(name="bias_beat")
        self.evaluation_start = Signal(name="evaluation_start")

    def decode(self, m: Module, fetched: data.View, level_row: Value) -> None:
        """Take a control word; the levels' rows begin at ``level_row``."""
        levels = range(MAX_LEVELS)
        m.d.sync += [
            self.control.eq(fetched),
            self.in_sum.eq(Cat(k < fetched.reduce for k in levels)),
            self.in_evaluation.eq(Cat(k < fetched.evaluation_level for k in levels)),
            self.last_summed.eq(Cat(k + 1 == fetched.reduce for k in levels)),
            self.to_base.eq(fetched.result == Result.LOGIT),
            self.to_delta.eq(fetched.result == Result.DLOGIT),
            self.level_rows.eq(level_row),
            self.following.eq(level_row + fetched.levels),
        ]

    def begin(self, m: Module) -> None:
        """What the first beat is."""
        m.d.sync += [self.first.eq(1), self.bias_beat.eq(self.control.bias)]
        m.d.sync += self.evaluation_start.eq(self.to_base | self.to_delta)
