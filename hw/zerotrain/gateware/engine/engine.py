"""The contraction engine: one sequencer, one broadcast weight, P lanes."""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine import compact_lanes
from zerotrain.gateware.engine.compact_lanes import CompactLanes
from zerotrain.gateware.engine.lane import FIRST_STAGE, WEIGHT_STAGE, takes
from zerotrain.gateware.engine.lane_group import WORD_STAGE, LaneGroup, broadcast
from zerotrain.gateware.engine.sequencer import BEAT, CONTROL, Sequencer, for_one_lane
from zerotrain.gateware.loss.logits import LogitPort
from zerotrain.gateware.storage.common_memory import LanePort
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import LEAST_APART, Result, Source
from zerotrain.spec.registers import Saturation

__all__ = ["SAMPLE_READ_LATENCY", "Engine"]

#: Cycles from ``sample_read`` to ``sample``.
SAMPLE_READ_LATENCY = 9


class Engine(wiring.Component):
    """Executes a program section on all lanes in lockstep.

    Golden models: :mod:`zerotrain.golden.tt` (forward pass, environments), by way of the planner's
    program.

    Every lane works on its own sample with the same weight and the same addresses. Beats go through
    these stages; everything that crosses the chip is registered on the way:

    * 0: the sequencer's addresses;
    * 1: rows of the lanes' memories;
    * 2 to 4: the groups' copies of the rows, memory, words (:class:`~.lane_group.LaneGroup`);
      meanwhile the weight arrives (2), is registered (3) and sent;
    * from 4 on: the lanes. Results are written ``timing.lane_latency`` stages later, merged weights
      in the last stage, one more.

    On a compact chip there are fewer registers on the way, and results come one lane after the
    other; its stages are those of :class:`~.compact_lanes.CompactLanes`.

    The weight memory takes 2 cycles from address to word and ``timing.weight_lead`` more, which the
    beats and all but the weight's address wait before stage 0.

    A contraction begins when the results of the one before can be read: ``timing.gap_cycles`` from
    the last beat of one to the first of the next, at least. Weights are the latest to be written
    and the earliest to be read, in stage 1: that is the number of the last stage. Where a merge
    unit writes the weights it is two less, since rows of the lanes' memories may be given in the
    stage of the results. On a compact chip it is until the result of the last lane is written,
    and read in stage 1.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    start, pc, busy
        Run the section at row ``pc``; ``busy`` falls when every result is written.
    input_base : In
        Added to input addresses: where the pass's samples lie.
    active_lanes : In
        Lanes that hold samples; the others may not set saturation flags.
    program, weight : Out(ReadPort)
        Memories; rows as in :class:`~zerotrain.gateware.engine.sequencer.Sequencer`, a weight
        arrives ``2 + chip.timing.weight_lead`` cycles after its address.
    weight_w : Out(WritePort)
        The weight memory's write port.
    sample_w : In
        Write a sample: ``en``, ``lane``, ``row``, ``data``. It can be read 6 cycles later.
    sample_read : In(1)
        Read row ``sample_w.row`` of lane ``sample_w.lane`` instead of what a beat asks for.
    sample : Out(signed)
        That word, ``SAMPLE_READ_LATENCY`` = 9 cycles later; lane and row are still for as long.
    common : Out(LanePort(chip))
        Instead of these three if ``chip.common``: samples and pre-activations.
    logits : Out(LogitPort)
        Results for the loss unit.
    merged : In(1)
        What the next ``sync`` contraction reads is merged; the contraction waits for it.
    takes_merged : Out(1)
        Pulse, a cycle late: a ``sync`` contraction begins.
    base_free, delta_free, reserve_base, reserve_delta
        The loss unit's credits, see :class:`~zerotrain.gateware.loss.loss.LossUnit`.
    saturation : Out(8)
        Pulses, bits of :class:`~zerotrain.spec.registers.Saturation`.
    beat, stalled : Out(1)
        The multipliers take a product; a beat waits for the loss unit.
    bad_program : Out(1)
        Pulse: a row was no instruction.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        f, lanes = chip.formats, chip.lanes
        rows = address_bits(chip.program_depth)
        weights = address_bits(chip.weight_depth)
        inputs = address_bits(chip.sample_rows)
        own_samples = {
            "sample_w": In(
                wiring.Signature(
                    {
                        "en": Out(1),
                        "lane": Out(range(lanes)),
                        "row": Out(inputs),
                        "data": Out(f.input.width),
                    }
                )
            ),
            "sample_read": In(1),
            "sample": Out(signed(f.input.width)),
        }
        super().__init__(
            {
                "start": In(1),
                "pc": In(rows),
                "busy": Out(1),
                "input_base": In(inputs),
                "active_lanes": In(range(lanes + 1)),
                "program": Out(ReadPort(rows, 64)),
                "weight": Out(ReadPort(weights, f.weight.width)),
                "weight_w": Out(WritePort(weights, f.weight.width)),
                **({"common": Out(LanePort(chip))} if chip.common else own_samples),
                "logits": Out(LogitPort(chip)),
                "merged": In(1),
                "takes_merged": Out(1),
                "base_free": In(1),
                "delta_free": In(1),
                "reserve_base": Out(1),
                "reserve_delta": Out(1),
                "saturation": Out(8),
                "beat": Out(1),
                "stalled": Out(1),
                "bad_program": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, f = self._chip, self._chip.formats
        # One width for all addresses and counters: no address or count exceeds a memory's depth.
        depths = (chip.weight_depth, chip.sample_rows, chip.scratch_rows, chip.preact_rows)
        bits = max(address_bits(depth) for depth in depths)
        m.submodules.sequencer = seq = Sequencer(
            len(self.pc),
            bits,
            count_bits=min(bits, chip.count_width),
            words=chip.lanes if chip.compact else 0,
            loops=chip.loops,
            loop_counters=chip.loop_counters,
            subtracts=chip.lane_subtracts,
            compact=chip.compact,
        )
        wiring.connect(m, wiring.flipped(self.program), seq.program)
        m.d.comb += [
            seq.start.eq(self.start),
            seq.pc.eq(self.pc),
            seq.ready.eq(1),
            seq.base_free.eq(self.base_free),
            seq.delta_free.eq(self.delta_free),
            self.reserve_base.eq(seq.reserve_base),
            self.reserve_delta.eq(seq.reserve_delta),
            self.stalled.eq(seq.stalled),
            self.bad_program.eq(seq.bad_program),
            self.beat.eq(seq.beat.valid),
        ]

        # The weight's address goes ahead of everything else.
        ahead = chip.timing.weight_lead
        weight_row = Mux(seq.beat.bias, seq.address.aux, seq.address.weight)
        m.d.comb += self.weight.addr.eq(weight_row)
        operand = pipe(m, seq.address.operand, ahead, "operand", reset_less=True)
        aux = pipe(m, seq.address.aux, ahead, "aux", reset_less=True)

        # Beats and their result addresses by stage. The control word holds still until the next
        # contraction's first beat, and so for all stages up to that of the results.
        beats, targets = [seq.beat], [seq.address.result]
        word_stage = compact_lanes.WORD_STAGE if chip.compact else WORD_STAGE
        result_stage = word_stage + chip.timing.lane_latency
        last_stage = result_stage + 1
        for k in range(1 - ahead, last_stage + 1):
            name = f"s{k}" if k > 0 else f"early{-k}"
            beat = Signal(BEAT, name=f"{name}_beat")
            m.d.sync += beat.eq(beats[-1])
            beats.append(beat)
            if not chip.compact:
                targets.append(pipe(m, targets[-1], 1, f"{name}_target", reset_less=True))
        leaving = Signal()
        m.d.comb += self.busy.eq(seq.busy | leaving | Cat(beat.valid for beat in beats).any())
        # One cycle from the beats to this signal, and from it to the next beat those of the
        # sequencer.
        undrained = beats[: chip.timing.gap_cycles - 1 - (seq.issue_latency + 1)]
        # Fetching a contraction takes longer than to see that it waits for merging.
        drained = Signal()
        m.d.sync += [
            drained.eq(
                ~Cat(beat.valid for beat in undrained).any() & (~seq.control.sync | self.merged)
            ),
            self.takes_merged.eq(seq.begins & seq.control.sync),
        ]
        m.d.comb += seq.drained.eq(drained)
        issued = seq.control
        if ahead:
            issued = Signal(CONTROL, reset_less=True)
            with m.If(seq.beat.valid):
                m.d.sync += issued.eq(seq.control)
        beats, targets = beats[ahead:], targets[ahead:]
        control = Signal(CONTROL, reset_less=True)
        with m.If(beats[0].valid):
            m.d.sync += control.eq(issued)

        preact = issued.source == Source.PREACT
        if chip.common:
            m.submodules.lanes = compact = CompactLanes(chip)
            m.d.comb += leaving.eq(compact.busy)
            inputs = issued.source == Source.INPUT
            rows = {"scratch_row": operand}
            m.d.sync += self.common.row.eq(operand + Mux(inputs, self.input_base, 0))
            self._run_compact(m, compact, beats, seq.address.result, control, rows)
            return m

        # The host's samples, on their way to the groups.
        sample_en = Signal()
        sample_lane = Signal.like(self.sample_w.lane, reset_less=True)
        sample_row = Signal.like(self.sample_w.row, reset_less=True)
        sample_data = Signal.like(self.sample_w.data, reset_less=True)
        m.d.sync += [
            sample_en.eq(self.sample_w.en),
            sample_lane.eq(self.sample_w.lane),
            sample_row.eq(self.sample_w.row),
            sample_data.eq(self.sample_w.data),
        ]

        rows = {
            "input_row": Mux(self.sample_read, sample_row, operand + self.input_base),
            "scratch_row": operand,
            "preact_row": Mux(preact, operand, aux),
        }
        if chip.compact:
            m.submodules.lanes = compact = CompactLanes(chip)
            m.d.comb += [
                compact.sample_en.eq(sample_en),
                compact.sample_lane.eq(sample_lane),
                compact.sample_row.eq(sample_row),
                compact.sample_data.eq(sample_data),
                leaving.eq(compact.busy),
            ]
            m.d.sync += self.sample.eq(compact.sample)
            self._run_compact(m, compact, beats, seq.address.result, control, rows)
            return m

        # To the lanes, field by field in the stage that LaneGroup names.
        told = Signal(broadcast(chip))
        for name, row in rows.items():
            register = Signal.like(told[name], name=f"s1_{name}", reset_less=True)
            m.d.sync += register.eq(row)
            m.d.comb += told[name].eq(register)
        source = Signal(Source, reset_less=True)
        sent = Signal.like(told.weight, reset_less=True)
        fetched = pipe(m, self.weight.data, WEIGHT_STAGE, "fetched", reset_less=True)
        one = Const(1 << f.weight.frac_bits, f.weight.width)
        write = beats[result_stage - 2].valid & beats[result_stage - 2].last
        write_scratch, write_preact = Signal(), Signal()
        m.d.sync += [
            sent.eq(Mux(control.unit_weight, one, fetched)),
            source.eq(Mux(beats[2].bias, Source.CONSTANT, control.source)),
            write_scratch.eq(write & (control.result == Result.SCRATCH)),
            write_preact.eq(write & (control.result == Result.PREACT)),
        ]
        m.d.comb += [
            told.weight.eq(sent),
            told.source.eq(source),
            told.first.eq(beats[WORD_STAGE + FIRST_STAGE - 1].first),
            told.write_scratch.eq(write_scratch),
            told.write_preact.eq(write_preact),
            told.write_row.eq(targets[result_stage - 1]),
            told.relu.eq(control.relu),
            told.constant_shift.eq(control.constant_shift),
            told.shift.eq(control.shift),
            told.result.eq(control.result),
        ]
        if chip.lane_subtracts:
            m.d.comb += told.subtract.eq(beats[WORD_STAGE + FIRST_STAGE - 1].subtract)

        active = Signal(chip.lanes)
        active_lanes = pipe(m, self.active_lanes, 1, "active_lanes")
        m.d.sync += active.eq(Cat(k < active_lanes for k in range(chip.lanes)))
        groups = []
        results: dict[int, Value] = {}
        of_group = Signal(range(len(chip.lane_groups)), reset_less=True)
        for g, lanes in enumerate(chip.lane_groups):
            group = LaneGroup(chip, lanes, merges=g == 0 and not chip.merge_depth)
            m.submodules[f"group_{g}"] = group
            m.d.comb += [
                group.beat.eq(told),
                group.active.eq(Cat(active[lane] for lane in lanes)),
                group.sample_en.eq(sample_en),
                group.sample_lane.eq(sample_lane),
                group.sample_row.eq(sample_row),
                group.sample_data.eq(sample_data),
            ]
            groups.append(group)
            results |= dict(zip(lanes, group.result, strict=True))
            with m.Switch(sample_lane):
                with m.Case(*lanes):
                    m.d.sync += of_group.eq(g)
        m.d.sync += self.sample.eq(Array(group.sample for group in groups)[of_group])

        # Results to weight memory and loss unit; those for the lanes' memories are written there.
        # The loss unit is told a cycle before the words are there.
        result, done = control.result, beats[result_stage]
        words = [results[lane] for lane in range(chip.lanes)]
        m.d.sync += [
            self.logits.en.eq(write & ((result == Result.LOGIT) | (result == Result.DLOGIT))),
            self.logits.delta.eq(result == Result.DLOGIT),
        ]
        m.d.comb += [
            self.logits.index.eq(targets[result_stage - 1]),
            self.logits.last.eq(beats[result_stage - 1].evaluation),
            self.logits.data.eq(Cat(word[: f.logit.width] for word in words)),
        ]
        m.d.sync += [
            self.weight_w.en.eq(done.valid & done.last & (result == Result.WEIGHT)),
            self.weight_w.addr.eq(targets[result_stage]),
            self.weight_w.data.eq(words[0]),
        ]

        # Last stage: flags. By now, the next contraction may have begun.
        last = beats[last_stage]
        late_stages = last_stage - chip.timing.gap_cycles
        late_result = pipe(m, result, late_stages, "result", reset_less=True)
        flagged = Signal()
        m.d.comb += flagged.eq(last.valid & last.last)
        clamped = Cat(group.clamped for group in groups).any()
        with m.If(flagged):
            with m.Switch(late_result):
                with m.Case(Result.SCRATCH):
                    m.d.comb += self._flag(Saturation.SCRATCH).eq(clamped)
                with m.Case(Result.PREACT):
                    m.d.comb += self._flag(Saturation.PREACT).eq(clamped)
                with m.Case(Result.WEIGHT):
                    m.d.comb += self._flag(Saturation.MERGE).eq(groups[0].clamped_0)
                with m.Case(Result.LOGIT, Result.DLOGIT):
                    m.d.comb += self._flag(Saturation.LOGIT).eq(clamped)
        return m

    def _run_compact(
        self,
        m: Module,
        lanes: CompactLanes,
        beats: Sequence[data.View],
        first_target: Value,
        control: data.View,
        rows: dict[str, Value],
    ) -> None:
        """Give beats to the lanes of a compact chip, and their words to who waits for them."""
        chip, f = self._chip, self._chip.formats
        # Stage 1: rows; what makes up the operand, if there is a beat.
        for name, row in rows.items():
            register = Signal.like(getattr(lanes, name), name=f"s1_{name}", reset_less=True)
            m.d.sync += register.eq(row)
            m.d.comb += getattr(lanes, name).eq(register)
        valid, source = beats[1].valid, Mux(beats[1].bias, Source.CONSTANT, control.source)
        taken = Signal.like(lanes.takes, reset_less=True)
        constant = Signal.like(lanes.constant, reset_less=True)
        constants = (source == Source.CONSTANT) | (source == Source.DELTA_CONSTANT)
        first, ends = Signal(), Signal()
        beginning = beats[compact_lanes.WORD_STAGE]
        ending = beats[compact_lanes.END_STAGE - 1]
        m.d.sync += [
            taken.eq(Mux(valid, takes(source), 0)),
            constant.eq(
                Cat(
                    valid & constants & (control.constant_shift == k if k in f.constants else 0)
                    for k in range(f.lane_width)
                )
            ),
            first.eq(beginning.valid & beginning.first),
            ends.eq(ending.valid & ending.last),
        ]
        # The result's address, and whether it completes an evaluation, hold still for all lanes.
        # Sums are so far apart that a register every few stages holds what is on its way.
        target, evaluation = first_target, beats[0].evaluation
        for k in (0, LEAST_APART - 1, compact_lanes.RESULT_STAGE - 1):
            target_k = Signal.like(target, name=f"target_{k}", reset_less=True)
            evaluation_k = Signal(name=f"evaluation_{k}", reset_less=True)
            with m.If(beats[k].valid & beats[k].last):
                m.d.sync += [target_k.eq(target), evaluation_k.eq(evaluation)]
            target, evaluation = target_k, evaluation_k
        result, kind = control.result, Signal(Result)
        merged: Value = lanes.valid & (result == Result.WEIGHT)
        if chip.common:
            merged = self._between(m, merged, beats[1].valid)
            stored = self.common
            m.d.comb += [
                lanes.stored.eq(stored.words),
                stored.en.eq(lanes.valid & (result == Result.PREACT)),
                stored.lane.eq(lanes.lane),
                stored.write_row.eq(target),
                stored.word.eq(lanes.word[: f.preact.width]),
            ]
        else:
            m.d.comb += lanes.write_preact.eq(result == Result.PREACT)
        to_loss = (result == Result.LOGIT) | (result == Result.DLOGIT)
        one = Const(1 << f.weight.frac_bits, f.weight.width)
        m.d.comb += [
            kind.eq(result),
            lanes.takes.eq(taken),
            lanes.constant.eq(constant),
            lanes.relu.eq(control.relu),
            lanes.weight.eq(Mux(control.unit_weight, one, self.weight.data)),
            lanes.first.eq(first),
            lanes.ends.eq(ends),
            lanes.subtract.eq(ending.subtract),
            lanes.single.eq(for_one_lane(control)),
            lanes.shift.eq(control.shift),
            lanes.result.eq(kind),
            lanes.write_scratch.eq(result == Result.SCRATCH),
            lanes.write_row.eq(target),
            self.weight_w.en.eq(merged),
            self.weight_w.addr.eq(target),
            self.weight_w.data.eq(lanes.word),
        ]
        word, last_lane = lanes.word[: f.logit.width], lanes.lane == chip.lanes - 1
        m.d.comb += [
            self.logits.delta.eq(result == Result.DLOGIT),
            self.logits.index.eq(target),
            self.logits.last.eq(evaluation),
        ]
        if chip.serial_loss:
            m.d.comb += [
                self.logits.en.eq(lanes.valid & to_loss),
                self.logits.lane.eq(lanes.lane),
                self.logits.data.eq(word),
            ]
        else:
            # The other loss units take a row at a time.
            words = Signal(chip.lanes * len(word), reset_less=True)
            with m.If(lanes.valid):
                m.d.sync += words.eq(Cat(words, word)[len(word) :])
            m.d.comb += [
                self.logits.en.eq(lanes.valid & last_lane & to_loss),
                self.logits.data.eq(words),
            ]

        flags = {
            Saturation.SCRATCH: result == Result.SCRATCH,
            Saturation.PREACT: result == Result.PREACT,
            Saturation.MERGE: result == Result.WEIGHT,
            Saturation.LOGIT: to_loss,
        }
        counts = lanes.valid & lanes.clamped & (lanes.lane < self.active_lanes)
        for flag, hit in flags.items():
            m.d.comb += self._flag(flag).eq(counts & hit)

    def _between(self, m: Module, merged: Value, reads: Value) -> Value:
        """When a merged weight is written: in the first cycle in which none is read. Word and
        address hold still until the next: one cycle of every sum has no beat."""
        pending = Signal()
        told = merged | pending
        m.d.sync += pending.eq(told & reads)
        return told & ~reads

    def _flag(self, bit: Saturation) -> Value:
        return self.saturation[int(bit).bit_length() - 1]
