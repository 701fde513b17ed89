"""The engine's front end: fetches contractions and issues one beat per cycle.

Golden model: none; the sequencer only decides in which order exact products are summed.
"""

from amaranth import Array, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.memory import ReadPort
from zerotrain.spec.program import (
    CONTRACT_FIELDS,
    MAX_LEVELS,
    MAX_LOOPS,
    OFFSETS,
    STREAMS,
    Opcode,
    Result,
)

__all__ = ["BEAT", "CONTROL", "Sequencer"]

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
    }
)

#: Level of a contraction's very last beat: above every counter.
_END = 7


class Sequencer(wiring.Component):
    """Walks a program section and issues the beats of its contractions.

    One beat per cycle while a contraction runs and the unit behind is ``ready``; between the last
    beat of one contraction and the first of the next at least 5 cycles, and until the unit behind
    has ``drained``. A loop adds 3 cycles at its start, 2 per iteration, and 3 per contraction that
    an iteration passes over.

    A beat that begins an evaluation of the loss waits for the loss unit's credit.

    Parameters
    ----------
    row_bits : int
        Address bits of the program memory.
    address_bits : int
        Bits of the four data addresses; counters have as many.

    Members
    -------
    start, pc : In
        Pulse to run the section that begins at row ``pc``. Only while not ``busy``.
    busy : Out(1)
        A section is running. Its last results may still be on their way through the lanes.
    program : Out(ReadPort)
        Program memory, 64-bit rows.
    base_free, delta_free : In(1)
        The loss unit can take another evaluation of logits or of differences.
    ready : In(1)
        A beat may be issued in this cycle.
    drained : In(1)
        The results of all beats so far can be read by a beat that is issued in the next cycle.
        A contraction begins only then.
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

    def __init__(self, row_bits: int, address_bits: int) -> None:
        self._address_bits = address_bits
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
        bits = self._address_bits
        row = data.View(data.ArrayLayout(16, 4), self.program.data)
        fetched = data.View(CONTROL, self.program.data[: CONTROL.size])
        control = Signal(CONTROL, reset_less=True)
        m.d.comb += self.control.eq(control)

        # Odometer: the lowest counter that is not zero advances, those below it start again.
        count = [Signal(bits, name=f"count_{k}", reset_less=True) for k in range(MAX_LEVELS)]
        reload = [Signal(bits, name=f"reload_{k}", reset_less=True) for k in range(MAX_LEVELS)]
        level = Signal(3)
        m.d.comb += level.eq(_END)
        for k in reversed(range(MAX_LEVELS)):
            with m.If(count[k] != 0):
                m.d.comb += level.eq(k)

        pc = Signal.like(self.pc)
        packet_start = Signal()
        bias_done = Signal()
        evaluation_start = Signal()
        to_loss, credit = Signal(), Signal()
        m.d.comb += [
            to_loss.eq((control.result == Result.LOGIT) | (control.result == Result.DLOGIT)),
            credit.eq(Mux(control.result == Result.LOGIT, self.base_free, self.delta_free)),
        ]

        running, issue, bias_beat, last = Signal(), Signal(), Signal(), Signal()
        evaluation_end = Signal()
        m.d.comb += [
            issue.eq(running & self.ready & (~evaluation_start | credit)),
            self.stalled.eq(running & self.ready & ~issue),
            bias_beat.eq(control.bias & packet_start & ~bias_done),
            last.eq((level >= control.reduce) & ~bias_beat),
            evaluation_end.eq(last & (level >= control.evaluation_level)),
            self.reserve_base.eq(issue & evaluation_start & (control.result == Result.LOGIT)),
            self.reserve_delta.eq(issue & evaluation_start & (control.result == Result.DLOGIT)),
        ]
        beat = Signal(BEAT)
        advance = Signal()
        m.d.sync += [
            beat.valid.eq(issue),
            beat.bias.eq(bias_beat),
            beat.first.eq(packet_start & ~bias_done),
            beat.last.eq(last),
            beat.evaluation.eq(evaluation_end),
            advance.eq(issue & ~bias_beat),
        ]
        m.d.comb += self.beat.eq(beat)
        with m.If(issue):
            m.d.sync += [
                packet_start.eq(last | bias_beat),
                bias_done.eq(bias_beat),
                evaluation_start.eq(evaluation_end & to_loss),
            ]
            with m.If(~bias_beat):
                for k in range(MAX_LEVELS):
                    with m.If(level == k):
                        m.d.sync += count[k].eq(count[k] - 1)
                    with m.Elif(level > k):
                        m.d.sync += count[k].eq(reload[k])

        # Addresses: the row of the level that advances arrives with the beat.
        address = Signal(self.address.shape(), reset_less=True)
        m.d.comb += self.address.eq(address)
        load = Signal()
        offset = [Signal(bits, name=f"offset_{k}", reset_less=True) for k in range(4)]
        for s, stream in enumerate(STREAMS):
            named = control[f"{stream}_offset"]
            options = [offset[k] for k in OFFSETS[stream]]
            base = Mux(load, Array([Const(0, bits), *options])[named], address[stream])
            with m.If(load | advance):
                m.d.sync += address[stream].eq(base + row[s][:bits])

        # Loops: the same odometer once more, over whole contractions.
        loop_count = [Signal(bits, name=f"loop_count_{k}") for k in range(MAX_LOOPS)]
        loop_reload = [Signal(bits, name=f"loop_reload_{k}") for k in range(MAX_LOOPS)]
        loop_pc = Signal.like(pc)
        offset_add, offset_clear = Signal(), Signal()
        for k in range(4):
            with m.If(offset_clear):
                m.d.sync += offset[k].eq(0)
            with m.Elif(offset_add):
                m.d.sync += offset[k].eq(offset[k] + row[k][:bits])
        # The level that led to this trip; in the first trip everything runs.
        loop_advanced = Signal(range(MAX_LOOPS), init=MAX_LOOPS - 1)
        loop_level = Signal(range(MAX_LOOPS + 1))
        m.d.comb += loop_level.eq(MAX_LOOPS)
        for k in reversed(range(MAX_LOOPS)):
            with m.If(loop_count[k] != 0):
                m.d.comb += loop_level.eq(k)

        # Rows are read in the order 0, 1, 2, 3; each is used in the state after its address.
        with m.FSM() as fsm:
            with m.State("Idle"):
                m.d.sync += pc.eq(self.pc)
                with m.If(self.start):
                    m.next = "Row 0"
            with m.State("Row 0"):
                m.d.comb += self.program.addr.eq(pc)
                m.next = "Row 1"
            with m.State("Row 1"):
                m.d.comb += self.program.addr.eq(pc + 1)
                m.d.sync += control.eq(fetched)
                with m.Switch(fetched.opcode):
                    with m.Case(Opcode.CONTRACT):
                        m.next = "Row 2"
                    with m.Case(Opcode.LOOP):
                        m.next = "Loop"
                    with m.Case(Opcode.END):
                        m.next = "Idle"
                    with m.Default():
                        m.d.comb += self.bad_program.eq(1)
                        m.next = "Idle"
            with m.State("Row 2"):
                m.d.comb += self.program.addr.eq(pc + 2)
                m.d.sync += [reload[k].eq(row[k]) for k in range(4)]
                m.d.sync += [count[k].eq(row[k]) for k in range(4)]
                with m.If(control.loop_level > loop_advanced):
                    m.d.sync += pc.eq(pc + 4 + control.levels)
                    m.next = "Row 0"
                with m.Else():
                    m.next = "Row 3"
            with m.State("Row 3"):
                m.d.comb += self.program.addr.eq(pc + 3)
                m.d.sync += [reload[4 + k].eq(row[k]) for k in range(MAX_LEVELS - 4)]
                m.d.sync += [count[4 + k].eq(row[k]) for k in range(MAX_LEVELS - 4)]
                m.next = "Base"
            with m.State("Base"):
                m.d.comb += [load.eq(1), self.program.addr.eq(pc + 3), self.begins.eq(self.drained)]
                m.d.sync += [packet_start.eq(1), bias_done.eq(0), evaluation_start.eq(to_loss)]
                with m.If(self.drained):
                    m.next = "Run"
            with m.State("Run"):
                m.d.comb += [running.eq(1), self.program.addr.eq(pc + 4 + level)]
                with m.If(issue & ~bias_beat & (level == _END)):
                    with m.If(control.loop_last & (loop_level != MAX_LOOPS)):
                        m.next = "Loop Step"
                    with m.Else():
                        m.d.sync += pc.eq(pc + 4 + control.levels)
                        m.next = "Row 0"
            with m.State("Loop"):
                m.d.comb += offset_clear.eq(1)
                m.d.sync += [loop_reload[k].eq(row[k]) for k in range(MAX_LOOPS)]
                m.d.sync += [loop_count[k].eq(row[k]) for k in range(MAX_LOOPS)]
                m.d.sync += [loop_pc.eq(pc), pc.eq(pc + 2 + MAX_LOOPS)]
                m.d.sync += loop_advanced.eq(MAX_LOOPS - 1)
                m.next = "Row 0"
            with m.State("Loop Step"):
                m.d.comb += self.program.addr.eq(loop_pc + 2 + loop_level)
                m.d.sync += loop_advanced.eq(loop_level)
                for k in range(MAX_LOOPS):
                    with m.If(loop_level == k):
                        m.d.sync += loop_count[k].eq(loop_count[k] - 1)
                    with m.Elif(loop_level > k):
                        m.d.sync += loop_count[k].eq(loop_reload[k])
                m.next = "Loop Offset"
            with m.State("Loop Offset"):
                m.d.comb += offset_add.eq(1)
                m.d.sync += pc.eq(loop_pc + 2 + MAX_LOOPS)
                m.next = "Row 0"
        m.d.comb += self.busy.eq(~fsm.ongoing("Idle"))
        return m
