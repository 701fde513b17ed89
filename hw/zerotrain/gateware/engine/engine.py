"""The contraction engine: one sequencer, one broadcast weight, P lanes."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.lane_array import (
    SAMPLE_READ_LATENCY,
    LaneArray,
    operand_bits,
)
from zerotrain.gateware.engine.sequencer import BEAT, CONTROL, Sequencer
from zerotrain.gateware.loss.logits import LogitPort
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.storage.store import LanePort, SamplePort
from zerotrain.spec.chip import Chip

__all__ = ["SAMPLE_READ_LATENCY", "Engine"]


class Engine(wiring.Component):
    """Executes a program section on all lanes in lockstep.

    Golden models: :mod:`zerotrain.golden.tt` (forward pass, environments), by way of the planner's
    program.

    Every lane works on its own sample with the same weight and the same addresses. Beats go through
    these stages, which all kinds of lanes share:

    * 0: the sequencer's addresses;
    * 1: rows of the lanes' memories;
    * 2: the weight arrives;
    * the rest is the lanes' (:class:`~.lane_array.LaneArray`).

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
    lanes : LaneArray
        The lanes of this chip.

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
    weight_w, sample_w, sample_read, sample, common, logits, saturation
        Those of the lanes, see :class:`~.lane_array.LaneArray`.
    merged : In(1)
        What the next ``sync`` contraction reads is merged; the contraction waits for it.
    takes_merged : Out(1)
        Pulse, a cycle late: a ``sync`` contraction begins.
    base_free, delta_free, reserve_base, reserve_delta
        The loss unit's credits, see :class:`~zerotrain.gateware.loss.loss.LossUnit`.
    beat, stalled : Out(1)
        The multipliers take a product; a beat waits for the loss unit.
    bad_program : Out(1)
        Pulse: a row was no instruction.
    """

    def __init__(self, chip: Chip, lanes: LaneArray) -> None:
        self._chip = chip
        self._lanes = lanes
        f = chip.formats
        rows = address_bits(chip.program_depth)
        weights = address_bits(chip.weight_depth)
        super().__init__(
            {
                "start": In(1),
                "pc": In(rows),
                "busy": Out(1),
                "input_base": In(address_bits(chip.sample_rows)),
                "active_lanes": In(range(chip.lanes + 1)),
                "program": Out(ReadPort(rows, 64)),
                "weight": Out(ReadPort(weights, f.weight.width)),
                "weight_w": Out(WritePort(weights, f.weight.width)),
                "sample_w": In(SamplePort(chip)),
                "sample_read": In(1),
                "sample": Out(lanes.sample.shape()),
                "common": Out(LanePort(chip)),
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
        chip = self._chip
        bits = operand_bits(chip)
        m.submodules.sequencer = seq = Sequencer(
            len(self.pc),
            bits,
            count_bits=min(bits, chip.count_width),
            pace=self._lanes.pace,
            loops=chip.loops,
            loop_counters=chip.loop_counters,
            subtracts=chip.lane_subtracts,
        )
        m.submodules.lanes = lanes = self._lanes
        wiring.connect(m, wiring.flipped(self.program), seq.program)
        for port in ("weight_w", "sample_w", "common", "logits"):
            wiring.connect(m, wiring.flipped(getattr(self, port)), getattr(lanes, port))
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
            lanes.input_base.eq(self.input_base),
            lanes.active_lanes.eq(self.active_lanes),
            lanes.weight.eq(self.weight.data),
            lanes.sample_read.eq(self.sample_read),
            self.sample.eq(lanes.sample),
            self.saturation.eq(lanes.saturation),
        ]

        # The weight's address goes ahead of everything else.
        ahead = chip.timing.weight_lead
        weight_row = Mux(seq.beat.bias, seq.address.aux, seq.address.weight)
        m.d.comb += self.weight.addr.eq(weight_row)
        for stream in ("operand", "aux", "result"):
            address = pipe(m, seq.address[stream], ahead, f"early_{stream}", reset_less=True)
            m.d.comb += getattr(lanes, stream).eq(address)

        # Beats by stage.
        beats = [seq.beat]
        for k in range(1 - ahead, lanes.stages):
            name = f"s{k}" if k > 0 else f"early{-k}"
            beat = Signal(BEAT, name=f"{name}_beat")
            m.d.sync += beat.eq(beats[-1])
            beats.append(beat)
        m.d.comb += self.busy.eq(seq.busy | lanes.busy | Cat(beat.valid for beat in beats).any())
        m.d.comb += [port.eq(b) for port, b in zip(lanes.beats, beats[ahead:], strict=True)]

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
        self._control(m, seq, beats[ahead])
        return m

    def _control(self, m: Module, seq: Sequencer, beat: data.View) -> None:
        """The control word of stage 0, and that of stage 1. Each holds still until the next
        contraction's first beat, and so for all stages up to that of the results."""
        issued = seq.control
        if self._chip.timing.weight_lead:
            issued = Signal(CONTROL, reset_less=True)
            with m.If(seq.beat.valid):
                m.d.sync += issued.eq(seq.control)
        control = Signal(CONTROL, reset_less=True)
        with m.If(beat.valid):
            m.d.sync += control.eq(issued)
        m.d.comb += [self._lanes.issued.eq(issued), self._lanes.control.eq(control)]
