"""Lanes for a high clock: groups of them all over the part, all results at once.

Golden model: that of :mod:`zerotrain.gateware.engine.lane`.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.lane import FIRST_STAGE, NOTHING, WEIGHT_STAGE
from zerotrain.gateware.engine.lane_array import LaneArray
from zerotrain.gateware.engine.lane_group import WORD_STAGE, LaneGroup, broadcast
from zerotrain.gateware.engine.sequencer import Pace, writes_sine
from zerotrain.spec.program import Result, Source
from zerotrain.spec.registers import Saturation

__all__ = ["PipelinedLanes"]


class PipelinedLanes(LaneArray):
    """Groups of lanes, told of everything through registers; signature of :class:`~.LaneArray`.

    After stage 1, the rows of the lanes' memories:

    * 2 to 4: the groups' copies of the rows, memory, words (:class:`~.lane_group.LaneGroup`);
      meanwhile the weight arrives (2), is registered (3) and sent;
    * from 4 on: the lanes. The results of all are written in stage 13, merged weights and flags in
      stage 14, sines ``timing.sine_cycles`` after stage 13.
    """

    word_stage = WORD_STAGE

    @property
    def pace(self) -> Pace:
        return Pace(sines=self._chip.timing.sine_apart)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, control = self._chip, self.control
        host = self.host_sample(m)
        targets = [self.result]
        for k in range(1, self.stages):
            targets.append(pipe(m, targets[-1], 1, f"s{k}_target", reset_less=True))
        told = self._told(m, host, targets)

        active = Signal(chip.lanes)
        active_lanes = pipe(m, self.active_lanes, 1, "active_lanes")
        m.d.sync += active.eq(Cat(k < active_lanes for k in range(chip.lanes)))
        groups = []
        words: dict[int, Value] = {}
        of_group = Signal(range(len(chip.lane_groups)), reset_less=True)
        subtract = self.beats[WORD_STAGE + FIRST_STAGE - 1].subtract
        for g, lanes in enumerate(chip.lane_groups):
            group = LaneGroup(chip, lanes, merges=g == 0 and not chip.merge_depth)
            m.submodules[f"group_{g}"] = group
            m.d.comb += [
                group.beat.eq(told),
                group.subtract.eq(subtract),
                group.active.eq(Cat(active[lane] for lane in lanes)),
                group.sample_en.eq(host.en),
                group.sample_lane.eq(host.lane),
                group.sample_row.eq(host.row),
                group.sample_data.eq(host.data),
            ]
            groups.append(group)
            words |= dict(zip(lanes, group.result, strict=True))
            with m.Switch(host.lane):
                with m.Case(*lanes):
                    m.d.sync += of_group.eq(g)
        m.d.sync += self.sample.eq(Array(group.sample for group in groups)[of_group])

        # Results to weight memory and loss unit; those for the lanes' memories are written there.
        # The loss unit is told a cycle before the words are there.
        result, done = control.result, self.beats[self.result_stage]
        early = self.beats[self.result_stage - 2]
        to_loss = (result == Result.LOGIT) | (result == Result.DLOGIT)
        width = chip.formats.logit.width
        m.d.sync += [
            self.logits.en.eq(early.valid & early.last & to_loss),
            self.logits.delta.eq(result == Result.DLOGIT),
            self.weight_w.en.eq(done.valid & done.last & (result == Result.WEIGHT)),
            self.weight_w.addr.eq(targets[self.result_stage]),
            self.weight_w.data.eq(words[0]),
        ]
        m.d.comb += [
            self.logits.index.eq(targets[self.result_stage - 1]),
            self.logits.last.eq(self.beats[self.result_stage - 1].evaluation),
            self.logits.data.eq(Cat(words[lane][:width] for lane in range(chip.lanes))),
        ]
        self._flags(m, groups)
        return m

    def _told(self, m: Module, host: wiring.PureInterface, targets: list[Value]) -> data.View:
        """What all groups are told, field by field in the stage that LaneGroup names."""
        chip, control, weight = self._chip, self.control, self._chip.formats.weight
        told = Signal(broadcast(chip))
        for name, row in self.own_rows(m, host).items():
            m.d.comb += told[f"{name}_row"].eq(row)
        source = Signal(Source, reset_less=True)
        taken: Value = control.source
        if chip.sine:
            # The last beat of a sum may wait for sines: what comes instead adds nothing.
            taken = Mux(self.beats[2].valid, taken, NOTHING)
        sent = Signal.like(told.weight, reset_less=True)
        fetched = pipe(m, self.weight, WEIGHT_STAGE, "fetched", reset_less=True)
        one = Const(1 << weight.frac_bits, weight.width)
        early = self.beats[self.result_stage - 2]
        write = early.valid & early.last
        write_preact_now = write & (control.result == Result.PREACT)
        write_row = targets[self.result_stage - 1]
        if chip.sine:
            sine_stage = self.result_stage + chip.timing.sine_cycles
            found, ends = self.beats[sine_stage - 2], self.beats[self.result_stage - 1]
            sine = writes_sine(control)
            write_preact_now = Mux(sine, found.valid & found.last, write_preact_now)
            write_row = Mux(sine, targets[sine_stage - 1], write_row)
            m.d.comb += [
                told.sine.eq(sine),
                told.take_sine.eq(ends.valid & ends.last & sine),
            ]
        write_scratch, write_preact = Signal(), Signal()
        m.d.sync += [
            sent.eq(Mux(control.unit_weight, one, fetched)),
            source.eq(Mux(self.beats[2].bias, Source.CONSTANT, taken)),
            write_scratch.eq(write & (control.result == Result.SCRATCH)),
            write_preact.eq(write_preact_now),
        ]
        m.d.comb += [
            told.weight.eq(sent),
            told.source.eq(source),
            told.first.eq(self.beats[WORD_STAGE + FIRST_STAGE - 1].first),
            told.write_scratch.eq(write_scratch),
            told.write_preact.eq(write_preact),
            told.write_row.eq(write_row),
            told.activation.eq(control.activation),
            told.constant_shift.eq(control.constant_shift),
            told.shift.eq(control.shift),
            told.result.eq(control.result),
        ]
        return told

    def _flags(self, m: Module, groups: list[LaneGroup]) -> None:
        """Flags, a stage behind the results. By now, the next contraction may have begun."""
        stage = self.result_stage + 1
        last, behind = self.beats[stage], max(0, stage - self._chip.timing.gap_cycles)
        result = pipe(m, self.control.result, behind, "result", reset_less=True)
        flagged = Signal()
        m.d.comb += flagged.eq(last.valid & last.last)
        clamped = Cat(group.clamped for group in groups).any()
        with m.If(flagged):
            with m.Switch(result):
                with m.Case(Result.SCRATCH):
                    m.d.comb += self.flag(Saturation.SCRATCH).eq(clamped)
                with m.Case(Result.PREACT):
                    m.d.comb += self.flag(Saturation.PREACT).eq(clamped)
                with m.Case(Result.WEIGHT):
                    m.d.comb += self.flag(Saturation.MERGE).eq(groups[0].clamped_0)
                with m.Case(Result.LOGIT, Result.DLOGIT):
                    m.d.comb += self.flag(Saturation.LOGIT).eq(clamped)
