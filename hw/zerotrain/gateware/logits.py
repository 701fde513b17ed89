"""Buffers between engine and loss unit, and the walk over them.

The engine writes one output of all lanes at a time; the loss unit takes one output of ``ways``
lanes per cycle.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import register

__all__ = ["LogitPort", "LogitSweep"]


class LogitPort(wiring.Signature):
    """Logits and output differences, from the engine.

    Members
    -------
    en : Out(1)
    delta : Out(1)
        0: logits z, format ``logit``; 1: differences dz, format ``dlogit``.
    index : Out(range(output_depth))
        Which output.
    data : Out(lanes * logit.width)
        One word per lane, lane 0 lowest.
    last : Out(1)
        This write completes an evaluation.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(
            {
                "en": Out(1),
                "delta": Out(1),
                "index": Out(range(chip.output_depth)),
                "data": Out(chip.lanes * chip.formats.logit.width),
                "last": Out(1),
            }
        )


class LogitSweep(wiring.Component):
    """Holds evaluations and streams them, ``ways`` lanes at a time, output by output.

    One buffer of logits, two of differences. An evaluation of differences uses the logits of the
    last base evaluation; outputs that it did not write count as zero. Evaluations are swept in the
    order of their arrival: a base evaluation with ``two_passes`` first to find the maximum, then
    like the others. Group g holds lanes ``g * ways .. g * ways + ways - 1``.

    A sweep takes ``ceil(active_lanes / ways) * (n_outputs + gap)`` cycles; the next one follows
    without a pause. An element leaves ``latency`` cycles after its turn, which is at least 2 cycles
    after its evaluation was completed.

    Parameters
    ----------
    chip : Chip
    two_passes : bool
        Sweep base evaluations twice.
    gap : int
        Idle cycles after every group, 0 or 1.
    outputs_per_row : bool
        Targets have a row for every output of every group, else one row per group.

    Members
    -------
    logits : In(LogitPort)
    reserve_base, reserve_delta : In(1)
        Claim a buffer for an evaluation that will be written.
    base_free, delta_free : Out(1)
        The claim may be made in this cycle.
    target_row, active_lanes, n_outputs : In
        Settings of the pass, steady while anything is pending.
    stall : In(1)
        Start no sweep other than for the maximum.
    started : Out(1)
        Pulse: such a sweep starts.
    busy : Out(1)
        Something is reserved, pending or being swept.
    target_addr : Out
        Row of the targets; they arrive together with the element, one cycle after the address.
    find, valid : Out(1)
        There is an element: of the sweep for the maximum; of the other sweep.
    first, last, end : Out(1)
        First and last output of its group; last group of the sweep.
    group, index : Out
        Group and output of the element.
    active : Out(ways)
        Lanes in use.
    z, dz : Out(signed(logit.width)) * ways
        Logits, and differences or zero.
    """

    def __init__(self, chip: Chip, *, two_passes: bool, gap: int, outputs_per_row: bool) -> None:
        self._chip = chip
        self._two_passes = two_passes
        self._gap = gap
        self._outputs_per_row = outputs_per_row
        self._groups = -(-chip.lanes // chip.loss_ways)
        # A multiplexer of four inputs per register level.
        self._levels = max(1, -(-(self._groups - 1).bit_length() // 2))
        self.latency = 1 + self._levels
        rows = range(2 * chip.target_depth)
        word = signed(chip.formats.logit.width)
        super().__init__(
            {
                "logits": In(LogitPort(chip)),
                "reserve_base": In(1),
                "reserve_delta": In(1),
                "base_free": Out(1),
                "delta_free": Out(1),
                "target_row": In(rows),
                "active_lanes": In(range(chip.lanes + 1)),
                "n_outputs": In(register("n_outputs").width),
                "stall": In(1),
                "started": Out(1),
                "busy": Out(1),
                "target_addr": Out(rows),
                "find": Out(1),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "end": Out(1),
                "group": Out(range(self._groups)),
                "index": Out(range(chip.output_depth)),
                "active": Out(chip.loss_ways),
                "z": Out(word).array(chip.loss_ways),
                "dz": Out(word).array(chip.loss_ways),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        ways, depth = chip.loss_ways, chip.output_depth

        # What is reserved, complete, and being swept.
        base_held, base_ready, base_swept_once = Signal(), Signal(), Signal()
        delta_held, delta_ready = Signal(2), Signal(2)
        write_bank, read_bank = Signal(), Signal()
        base_arrives, delta_arrives = Signal(), Signal()
        base_starts, delta_starts, find_starts = Signal(), Signal(), Signal()
        running, of_delta, finding = Signal(), Signal(), Signal()
        sweep_ends = Signal()
        delta_ends = Signal()
        m.d.comb += [
            self.base_free.eq(~base_held & (delta_held == 0)),
            self.delta_free.eq(~delta_held[1]),
            base_arrives.eq(self.logits.en & self.logits.last & ~self.logits.delta),
            delta_arrives.eq(self.logits.en & self.logits.last & self.logits.delta),
            delta_ends.eq(sweep_ends & of_delta),
            self.busy.eq(base_held | (delta_held != 0)),
        ]
        m.d.sync += [
            delta_held.eq(delta_held + self.reserve_delta - delta_ends),
            delta_ready.eq(delta_ready + delta_arrives - delta_starts),
            write_bank.eq(write_bank ^ delta_arrives),
            read_bank.eq(read_bank ^ delta_ends),
        ]
        with m.If(self.reserve_base):
            m.d.sync += base_held.eq(1)
        with m.Elif(sweep_ends & ~of_delta & ~finding):
            m.d.sync += base_held.eq(0)
        with m.If(base_arrives):
            m.d.sync += base_ready.eq(1)
        with m.Elif(base_starts):
            m.d.sync += base_ready.eq(0)

        # Next sweep. Differences are never pending while a base evaluation is reserved after them,
        # so that a base evaluation which is ready comes first.
        idle = ~running | sweep_ends
        find = base_ready & ~base_swept_once if self._two_passes else Const(0)
        m.d.comb += [
            find_starts.eq(idle & find),
            base_starts.eq(idle & base_ready & ~find & ~self.stall),
            delta_starts.eq(idle & ~base_ready & (delta_ready != 0) & ~self.stall),
            self.started.eq(base_starts | delta_starts),
        ]
        starts = find_starts | base_starts | delta_starts
        with m.If(find_starts):
            m.d.sync += base_swept_once.eq(1)
        with m.If(base_starts):
            m.d.sync += base_swept_once.eq(0)

        # Stage 0: walk over outputs, then groups.
        output = Signal(len(self.n_outputs))
        group = Signal.like(self.group)
        remaining = Signal.like(self.active_lanes)
        row = Signal.like(self.target_addr)
        group_ends = output == self.n_outputs - (1 - self._gap)
        final_group = remaining <= ways
        reads = running & (output != self.n_outputs) if self._gap else running
        final_output = output == self.n_outputs - 1
        m.d.comb += sweep_ends.eq(running & group_ends & final_group)
        m.d.sync += output.eq(output + 1)
        if self._outputs_per_row:
            with m.If(reads):
                m.d.sync += row.eq(row + 1)
        with m.If(group_ends):
            m.d.sync += [output.eq(0), group.eq(group + 1), remaining.eq(remaining - ways)]
            if not self._outputs_per_row:
                m.d.sync += row.eq(row + 1)
        with m.If(idle):
            m.d.sync += [
                running.eq(starts), of_delta.eq(delta_starts), finding.eq(find_starts),
                output.eq(0), group.eq(0), remaining.eq(self.active_lanes),
                row.eq(self.target_row),
            ]  # fmt: skip

        # Stage 1: words of all lanes. No word is read in the cycle it is written: a buffer is
        # written while its evaluation is reserved and read when that is complete.
        width = chip.lanes * chip.formats.logit.width
        m.submodules.base = base = Memory(shape=unsigned(width), depth=depth, init=[])
        m.submodules.delta = delta = Memory(shape=unsigned(width), depth=2 * depth, init=[])
        base_r, base_w = base.read_port(), base.write_port()
        delta_r, delta_w = delta.read_port(), delta.write_port()
        index = output[: len(self.index)]
        delta_address = Cat(self.logits.index, write_bank)
        m.d.comb += [
            base_w.en.eq(self.logits.en & ~self.logits.delta),
            base_w.addr.eq(self.logits.index),
            base_w.data.eq(self.logits.data),
            delta_w.en.eq(self.logits.en & self.logits.delta),
            delta_w.addr.eq(delta_address),
            delta_w.data.eq(self.logits.data),
            base_r.addr.eq(index),
            delta_r.addr.eq(Cat(index, read_bank)),
        ]
        touched = Signal(2 * depth)
        with m.If(delta_w.en):
            m.d.sync += touched.bit_select(delta_address, 1).eq(1)
        for bank in range(2):
            with m.If(delta_ends & (read_bank == bank)):
                m.d.sync += touched[bank * depth : (bank + 1) * depth].eq(0)
        uses_delta = of_delta & touched.bit_select(Cat(index, read_bank), 1)

        # Stages 2 and up: the words of `ways` lanes.
        p_uses_delta = pipe(m, uses_delta, self.latency - 1, "uses_delta", reset_less=True)
        groups = [group]
        for k in range(self.latency):
            groups.append(pipe(m, groups[-1], 1, f"group_{k}", reset_less=True))
        for way in range(ways):
            z = self._select(m, base_r.data, groups, way, f"z{way}")
            dz = self._select(m, delta_r.data, groups, way, f"dz{way}", p_uses_delta)
            m.d.comb += [self.z[way].eq(z), self.dz[way].eq(dz)]

        def at_exit(value: Value, name: str, *, control: bool = False) -> Value:
            return pipe(m, value, self.latency, name, reset_less=not control)

        m.d.comb += [
            self.valid.eq(at_exit(reads & ~finding, "valid", control=True)),
            self.find.eq(at_exit(reads & finding, "find", control=True)),
            self.first.eq(at_exit(output == 0, "first")),
            self.last.eq(at_exit(final_output, "last")),
            self.end.eq(at_exit(final_group, "end")),
            self.group.eq(groups[-1]),
            self.index.eq(at_exit(index, "index")),
            self.active.eq(at_exit(Cat(remaining > way for way in range(ways)), "active")),
            self.target_addr.eq(pipe(m, row, self.latency - 1, "row", reset_less=True)),
        ]
        return m

    def _select(
        self,
        m: Module,
        word: Value,
        groups: list[Value],
        way: int,
        name: str,
        enable: Value | None = None,
    ) -> Value:
        """The word of lane ``group * ways + way``, or zero without ``enable``.

        ``groups[k]`` is the group of the element in stage k.
        """
        width = self._chip.formats.logit.width
        lanes = range(way, self._chip.lanes, self._chip.loss_ways)
        words = [word[lane * width : (lane + 1) * width] for lane in lanes]
        for level in range(self._levels):
            select = groups[level + 1][2 * level : 2 * level + 2]
            selected = []
            for k in range(0, len(words), 4):
                four = words[k : k + 4]
                value = Array(four)[select] if len(four) > 1 else four[0]
                if enable is not None and level == self._levels - 1:
                    value = Mux(enable, value, 0)
                stage = Signal(width, name=f"{name}_{level}_{k // 4}", reset_less=True)
                m.d.sync += stage.eq(value)
                selected.append(stage)
            words = selected
        return words[0].as_signed()
