"""Buffers between engine and loss unit, and the walk over them.

The engine writes one output of all lanes at a time; the loss unit takes one output of ``ways``
lanes per cycle.
"""

from amaranth import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.loss.logit_buffer import LogitBuffer
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import register

__all__ = ["DifferenceSweep", "LogitPort", "LogitSweep"]


class LogitPort(wiring.Signature):
    """Logits and output differences, from the engine.

    Members
    -------
    en : Out(1)
    delta : Out(1)
        0: logits z, format ``logit``; 1: differences dz, format ``dlogit``.
    index : Out(range(output_depth))
        Which output.
    last : Out(1)
        This write completes an evaluation.
    data : Out(lanes * logit.width)
        One cycle after the others: a word per lane, lane 0 lowest. Into a serial loss unit, with
        the others: the word of one lane, which has a cycle with ``en`` of its own, lane 0 first.
    lane : Out(range(max(2, lanes)))
        Whose word, into a serial loss unit; others ignore it.
    """

    def __init__(self, chip: Chip) -> None:
        words = 1 if chip.serial_loss else chip.lanes
        super().__init__(
            {
                "en": Out(1),
                "delta": Out(1),
                "index": Out(range(chip.output_depth)),
                "last": Out(1),
                "data": Out(words * chip.formats.logit.width),
                "lane": Out(range(max(2, chip.lanes))),
            }
        )


class LogitSweep(wiring.Component):
    """Holds base evaluations and streams them, ``ways`` lanes at a time, output by output.

    Two buffers, filled and swept in turns. Every way has buffers of its own, beside its lanes.

    A group is ``ways`` lanes: group g holds lanes ``g * ways .. g * ways + ways - 1``. With
    ``twice`` every group of a base evaluation comes twice: its outputs for the maximum, then
    its outputs again.

    A sweep takes ``ceil(active_lanes / ways) * turns`` cycles, and with ``twice`` a base evaluation
    ``n_outputs`` more for each group. The next one follows without a pause, but after a base
    evaluation it waits for ``drained``. An element leaves ``latency`` cycles after its turn, which
    is at least 2 cycles after its evaluation was completed.

    Parameters
    ----------
    chip : Chip
    twice : bool
        Sweep every group of a base evaluation twice.
    outputs_per_row : bool
        Targets have a row for every output of every group, else one row per group.
    kept_width : int
        Bits that are kept of a logit.

    Members
    -------
    logits : In(LogitPort)
    reserve : In(1)
        Claim a buffer for an evaluation that will be written.
    free : Out(1)
        The claim may be made in this cycle.
    target_row, active_lanes, n_outputs : In
        Settings of the pass, steady while anything is pending.
    turns : In
        Cycles per group, at least ``n_outputs``; likewise.
    stall : In(1)
        Start no sweep.
    drained : In(1)
        Every element has been used, and what is kept of it handed back.
    started : Out(1)
        Pulse: a sweep starts.
    busy : Out(1)
        Something is reserved, pending or being swept.
    target_addr : Out
        Row of the targets; they arrive together with the element, one cycle after the address.
    find, valid : Out(1)
        There is an element: for the maximum; of the other kind.
    base, first, last, end : Out(1)
        Of a base evaluation; first and last output of its group; last group of the sweep.
    index : Out
        Output of the element.
    active : Out(ways)
        Lanes in use.
    word : Out(signed(logit.width)) * ways
        Logits, or differences or zero.
    kept : Out(kept_width) * ways
        What was kept of these lanes' logits (:class:`DifferenceSweep`).
    keep : In(kept_width) * ways
        One cycle after a ``valid`` element of a base evaluation: what to keep of it (likewise).
    """

    def __init__(self, chip: Chip, *, twice: bool, outputs_per_row: bool, kept_width: int) -> None:
        self._chip = chip
        self._twice = twice
        self._outputs_per_row = outputs_per_row
        self._kept_width = kept_width
        self._groups = chip.layout.lanes_per_way
        self._buffers = [LogitBuffer(chip, self._groups) for _ in range(chip.loss_ways)]
        self.latency = self._buffers[0].latency
        rows = range(chip.target_rows)
        outputs = register("n_outputs").width
        super().__init__(
            {
                "logits": In(LogitPort(chip)),
                "reserve": In(1),
                "free": Out(1),
                "target_row": In(rows),
                "active_lanes": In(range(chip.lanes + 1)),
                "n_outputs": In(outputs),
                "turns": In(outputs),
                "stall": In(1),
                "drained": In(1),
                "started": Out(1),
                "busy": Out(1),
                "target_addr": Out(rows),
                **{name: Out(1) for name in ("find", "valid", "base", "first", "last", "end")},
                "index": Out(range(chip.output_depth)),
                "active": Out(chip.loss_ways),
                "word": Out(signed(chip.formats.logit.width)).array(chip.loss_ways),
                "kept": Out(kept_width).array(chip.loss_ways),
                "keep": In(kept_width).array(chip.loss_ways),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        ways = chip.loss_ways

        # Buffers that are reserved, those complete, and the kind of each.
        held, ready = Signal(range(3)), Signal(range(3))
        write_bank, read_bank = Signal(), Signal()
        arrives, starts, sweep_ends = Signal(), Signal(), Signal()
        m.d.comb += [
            arrives.eq(self.logits.en & self.logits.last),
            self.free.eq(~held[1]),
            self.busy.eq(held.any()),
            self.started.eq(starts),
        ]
        m.d.sync += [
            held.eq(held + self.reserve - sweep_ends),
            ready.eq(ready + arrives - starts),
            write_bank.eq(write_bank ^ arrives),
            read_bank.eq(read_bank ^ sweep_ends),
        ]
        base, next_base = self._kinds(m, arrives, write_bank, read_bank ^ sweep_ends, starts)

        # Stage 0: walk over outputs, then groups. Turns past the last output have no element.
        running, finding, past = Signal(), Signal(), Signal()
        output = Signal(len(self.n_outputs))
        group = Signal(range(self._groups))
        remaining = Signal.like(self.active_lanes)
        row = Signal.like(self.target_addr)
        final_index, final_turn = Signal.like(output), Signal.like(output)
        m.d.sync += [final_index.eq(self.n_outputs - 1), final_turn.eq(self.turns - 1)]
        # What ends a group or a sweep is known beforehand.
        final_group = Signal(reset_less=True)
        element, final_output = Signal(), Signal()
        m.d.comb += [element.eq(running & ~past), final_output.eq(output == final_index)]
        found = finding & final_output
        group_ends = ~finding & (output == final_turn)
        idle = ~running | sweep_ends
        m.d.comb += [
            sweep_ends.eq(running & group_ends & final_group),
            starts.eq(idle & ready.any() & ~self.stall & (~base | self.drained)),
        ]
        m.d.sync += output.eq(output + 1)
        if self._outputs_per_row:
            with m.If(element):
                m.d.sync += row.eq(row + 1)
        with m.If(final_output):
            m.d.sync += past.eq(1)
        with m.If(found):
            m.d.sync += [output.eq(0), past.eq(0), finding.eq(0)]
        with m.If(group_ends):
            m.d.sync += [
                output.eq(0), past.eq(0), finding.eq(base & self._twice),
                group.eq(group + 1), remaining.eq(remaining - ways),
                final_group.eq(remaining <= 2 * ways),
            ]  # fmt: skip
            if not self._outputs_per_row:
                m.d.sync += row.eq(row + 1)
        with m.If(idle):
            m.d.sync += [
                running.eq(starts), finding.eq(next_base & self._twice), past.eq(0),
                output.eq(0), group.eq(0), remaining.eq(self.active_lanes),
                final_group.eq(self.active_lanes <= ways), row.eq(self.target_row),
            ]  # fmt: skip

        # A buffer is written while its evaluation is reserved and read when that is complete.
        index = output[: len(self.index)]
        place, arriving = Cat(index, read_bank), Cat(self.logits.index, write_bank)
        touched = self._touched(m, arriving, place, read_bank, sweep_ends)
        width = chip.formats.logit.width
        for way, buffer in enumerate(self._buffers):
            m.submodules[f"buffer_{way}"] = buffer
            lanes = range(way, chip.lanes, ways)
            m.d.comb += [
                buffer.en.eq(self.logits.en),
                buffer.target.eq(arriving),
                buffer.data.eq(Cat(self.logits.data.word_select(k, width) for k in lanes)),
                buffer.place.eq(place),
                buffer.lane.eq(group),
                buffer.touched.eq(touched),
                self.word[way].eq(buffer.word),
            ]

        where: list[Value] = [Cat(index, group)]
        for k in range(self.latency + 2):
            where.append(pipe(m, where[-1], 1, f"where_{k}", reset_less=True))
        self._keep(m, where)

        def at_exit(value: Value, name: str, *, control: bool = False) -> Value:
            return pipe(m, value, self.latency, name, reset_less=not control)

        m.d.comb += [
            self.valid.eq(at_exit(element & ~finding, "valid", control=True)),
            self.find.eq(at_exit(element & finding, "find", control=True)),
            self.base.eq(at_exit(base, "base")),
            self.first.eq(at_exit(output == 0, "first")),
            self.last.eq(at_exit(final_output, "last")),
            self.end.eq(at_exit(final_group, "end")),
            self.index.eq(where[self.latency]),
            self.active.eq(at_exit(Cat(remaining > way for way in range(ways)), "active")),
            self.target_addr.eq(pipe(m, row, self.latency - 1, "row", reset_less=True)),
        ]
        return m

    def _kinds(
        self, m: Module, arrives: Value, write_bank: Value, read_bank: Value, starts: Value
    ) -> tuple[Value, Value]:
        """Whether the evaluation under way is a base evaluation, and the one in ``read_bank``."""
        return Const(1, 1), Const(1, 1)

    def _touched(
        self, m: Module, arriving: Value, place: Value, read_bank: Value, sweep_ends: Value
    ) -> Value:
        """Whether the evaluation wrote the output at ``place``, one cycle later."""
        return Const(1, 1)

    def _keep(self, m: Module, where: list[Value]) -> None:
        """What is kept of the logits; ``where[k]`` is the output and group of stage k."""


class DifferenceSweep(LogitSweep):
    """Holds and streams base evaluations, and those of differences that follow them.

    Outputs that an evaluation of differences did not write count as zero. What the loss unit needs
    of the logits of a base evaluation it hands back word by word (``keep``), and gets it again
    beside the differences of the evaluations that follow (``kept``).
    """

    def _kinds(
        self, m: Module, arrives: Value, write_bank: Value, read_bank: Value, starts: Value
    ) -> tuple[Value, Value]:
        base_bank = Signal(2)
        base = Signal()
        following = base_bank.bit_select(read_bank, 1)
        with m.If(arrives):
            m.d.sync += base_bank.bit_select(write_bank, 1).eq(~self.logits.delta)
        with m.If(starts):
            m.d.sync += base.eq(following)
        return base, following

    def _touched(
        self, m: Module, arriving: Value, place: Value, read_bank: Value, sweep_ends: Value
    ) -> Value:
        depth = self._chip.output_depth
        touched = Signal(2 * depth)
        arrived = pipe(m, arriving, 1, "arrived", reset_less=True)
        with m.If(pipe(m, self.logits.en, 1, "written")):
            m.d.sync += touched.bit_select(arrived, 1).eq(1)
        # A cycle after the last element; the buffer is free not sooner than that.
        for bank in range(2):
            with m.If(pipe(m, sweep_ends & (read_bank == bank), 1, f"swept_{bank}")):
                m.d.sync += touched[bank * depth : (bank + 1) * depth].eq(0)
        return pipe(m, touched.bit_select(place, 1), 1, "touched", reset_less=True)

    def _keep(self, m: Module, where: list[Value]) -> None:
        # What is kept arrives with the element, and is handed back a cycle after it. Differences
        # are swept only when a base evaluation has drained: no word is read as it is written.
        # Block RAM is slow to answer: its words are registered.
        m.submodules.kept = kept = Memory(
            shape=unsigned(self._kept_width * self._chip.loss_ways),
            depth=self._groups * self._chip.output_depth,
            init=[],
        )
        kept_r, kept_w = kept.read_port(), kept.write_port()
        m.d.comb += [
            kept_r.addr.eq(where[self.latency - 2]),
            Cat(*self.kept).eq(pipe(m, kept_r.data, 1, "kept", reset_less=True)),
            kept_w.en.eq(pipe(m, self.valid & self.base, 2, "keeps")),
            kept_w.addr.eq(where[self.latency + 2]),
            kept_w.data.eq(pipe(m, Cat(*self.keep), 1, "keep_1", reset_less=True)),
        ]
