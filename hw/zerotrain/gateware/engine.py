"""The contraction engine: one sequencer, one broadcast weight, P lanes."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.lane import LATENCY, Lane
from zerotrain.gateware.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.sequencer import BEAT, Sequencer
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result, Source
from zerotrain.spec.registers import Saturation

__all__ = ["Engine"]


class Engine(wiring.Component):
    """Executes a program section on all lanes in lockstep.

    Golden models: :mod:`zerotrain.golden.tt` (forward pass, environments), by way of the planner's
    program.

    Every lane works on its own sample with the same weight and the same addresses. A beat takes
    ``LATENCY + 2`` cycles from issue to write; sections keep results apart from their readers by
    the sequencer's fetch time.

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
    program, weight, input, scratch, preact : Out(ReadPort)
        Memories; ``input``, ``scratch`` and ``preact`` words hold all lanes, lane 0 lowest.
    weight_w, scratch_w, preact_w : Out(WritePort)
        The same memories' write ports.
    logits : Out
        Results for the loss unit: ``en``, ``delta`` (differences), ``index`` (output), ``data``
        (all lanes), ``last`` (completes an evaluation).
    merged : In(1)
        What the next ``sync`` contraction reads is merged; the contraction waits for it.
    takes_merged : Out(1)
        Pulse: a ``sync`` contraction begins.
    base_free, delta_free, reserve_base, reserve_delta
        The loss unit's credits, see :class:`~zerotrain.gateware.loss.LossUnit`.
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
        inputs = address_bits(2 * chip.sample_depth)
        scratch = address_bits(chip.scratch_depth)
        preact = address_bits(chip.preact_depth)
        lane_word = unsigned(lanes * f.lane_width)
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
                "input": Out(ReadPort(inputs, lane_word)),
                "scratch": Out(ReadPort(scratch, lane_word)),
                "scratch_w": Out(WritePort(scratch, lane_word)),
                "preact": Out(ReadPort(preact, lane_word)),
                "preact_w": Out(WritePort(preact, lane_word)),
                "logits": Out(
                    wiring.Signature(
                        {
                            "en": Out(1),
                            "delta": Out(1),
                            "index": Out(range(chip.output_depth)),
                            "data": Out(lanes * f.logit.width),
                            "last": Out(1),
                        }
                    )
                ),
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
        bits = max(len(port.addr) for port in (self.weight, self.input, self.scratch, self.preact))
        m.submodules.sequencer = seq = Sequencer(len(self.pc), bits)
        wiring.connect(m, wiring.flipped(self.program), seq.program)
        m.d.comb += [
            seq.start.eq(self.start),
            seq.pc.eq(self.pc),
            seq.drained.eq(~seq.control.sync | self.merged),
            self.takes_merged.eq(seq.begins & seq.control.sync),
            seq.base_free.eq(self.base_free),
            seq.delta_free.eq(self.delta_free),
            self.reserve_base.eq(seq.reserve_base),
            self.reserve_delta.eq(seq.reserve_delta),
            self.stalled.eq(seq.stalled),
            self.bad_program.eq(seq.bad_program),
            self.beat.eq(seq.beat.valid),
        ]

        # Stage A: addresses.
        control, address = seq.control, seq.address
        m.d.comb += [
            self.weight.addr.eq(Mux(seq.beat.bias, address.aux, address.weight)),
            self.input.addr.eq(address.operand + self.input_base),
            self.scratch.addr.eq(address.operand),
            self.preact.addr.eq(Mux(control.source == Source.PREACT, address.operand, address.aux)),
        ]

        # Stages 0 to LATENCY follow the beat and its result address through the lanes.
        beats = [Signal(BEAT, name=f"s{k}_beat") for k in range(LATENCY + 1)]
        results = [Signal(bits, name=f"s{k}_address", reset_less=True) for k in range(LATENCY + 1)]
        m.d.sync += [beats[0].eq(seq.beat), results[0].eq(address.result)]
        for k in range(LATENCY):
            m.d.sync += [beats[k + 1].eq(beats[k]), results[k + 1].eq(results[k])]
        in_flight = [beat.valid for beat in (seq.beat, *beats)]
        m.d.comb += self.busy.eq(seq.busy | Cat(*in_flight).any())

        # The next contraction's control word may arrive while results are still in the lanes: what
        # the late stages need is kept from stage 0 on.
        shift = Signal(range(len(f.shifts)), reset_less=True)
        result = Signal(Result, reset_less=True)
        rounding = Signal(chip.acc_width, reset_less=True)
        with m.If(beats[0].valid):
            m.d.sync += [
                shift.eq(control.shift),
                result.eq(control.result),
                rounding.eq(Array([Const(1 << s >> 1) for s in f.shifts])[control.shift]),
            ]
        weight = Mux(
            control.unit_weight, Const(1 << f.weight.frac_bits, f.weight.width), self.weight.data
        )
        constant = Signal(f.lane_width)
        m.d.comb += constant.eq(1 << control.constant_shift)

        clamped = Signal(chip.lanes)
        for k in range(chip.lanes):
            lane = Lane(chip, merges=k == 0 and not chip.merge_depth)
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.weight.eq(weight),
                lane.input.eq(self.input.data.word_select(k, f.lane_width)),
                lane.scratch.eq(self.scratch.data.word_select(k, f.lane_width)),
                lane.preact.eq(self.preact.data.word_select(k, f.lane_width)),
                lane.control.source.eq(Mux(beats[0].bias, Source.CONSTANT, control.source)),
                lane.control.relu.eq(control.relu),
                lane.control.constant.eq(constant),
                lane.control.first.eq(beats[2].first),
                lane.control.round.eq(rounding),
                lane.control.shift.eq(shift),
                lane.control.result.eq(result),
                self.scratch_w.data.word_select(k, f.lane_width).eq(lane.result),
                self.preact_w.data.word_select(k, f.lane_width).eq(lane.result),
                self.logits.data.word_select(k, f.logit.width).eq(lane.result),
                clamped[k].eq(lane.clamped & (k < self.active_lanes)),
            ]
            if k == 0:
                m.d.comb += self.weight_w.data.eq(lane.result)

        # Last stage: results to their memory.
        done, target = beats[LATENCY], results[LATENCY]
        write = Signal()
        m.d.comb += [
            write.eq(done.valid & done.last),
            self.weight_w.addr.eq(target),
            self.scratch_w.addr.eq(target),
            self.preact_w.addr.eq(target),
            self.logits.index.eq(target),
            self.logits.last.eq(done.evaluation),
            self.logits.delta.eq(result == Result.DLOGIT),
        ]
        with m.If(write):
            with m.Switch(result):
                with m.Case(Result.SCRATCH):
                    m.d.comb += self.scratch_w.en.eq(1)
                    m.d.comb += self._flag(Saturation.SCRATCH).eq(clamped.any())
                with m.Case(Result.PREACT):
                    m.d.comb += self.preact_w.en.eq(1)
                    m.d.comb += self._flag(Saturation.PREACT).eq(clamped.any())
                with m.Case(Result.WEIGHT):
                    m.d.comb += self.weight_w.en.eq(1)
                    m.d.comb += self._flag(Saturation.MERGE).eq(clamped[0])
                with m.Case(Result.LOGIT, Result.DLOGIT):
                    m.d.comb += self.logits.en.eq(1)
                    m.d.comb += self._flag(Saturation.LOGIT).eq(clamped.any())
        return m

    def _flag(self, bit: Saturation) -> Value:
        return self.saturation[int(bit).bit_length() - 1]
