"""What every kind of lanes looks like to the engine: one signature.

Golden model: :mod:`zerotrain.golden.tt`, by way of the planner's program.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.sequencer import BEAT, CONTROL, Pace
from zerotrain.gateware.loss.logits import LogitPort
from zerotrain.gateware.storage.memory import WritePort, address_bits
from zerotrain.gateware.storage.store import LanePort, SamplePort
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Source
from zerotrain.spec.registers import Saturation

__all__ = ["SAMPLE_READ_LATENCY", "LaneArray", "operand_bits"]

#: Cycles from ``sample_read`` to ``sample``.
SAMPLE_READ_LATENCY = 9


def operand_bits(chip: Chip) -> int:
    """One width for all addresses and counters: none exceeds a memory's depth."""
    depths = (chip.weight_depth, chip.sample_rows, chip.scratch_rows, chip.preact_rows)
    return max(address_bits(depth) for depth in depths)


class LaneArray(wiring.Component, ABC):
    """All lanes of a chip, with whatever of their memories is not elsewhere.

    Lane s works on sample s of a pass. What lanes do with a beat is the same in every kind: select
    an operand, multiply it by the weight, accumulate; round, shift and saturate each sum. Kinds
    differ in the stage in which they do it.

    Stages are those of a beat; stage k is k cycles after its addresses left the sequencer. The
    first result of a beat's sum is there in stage ``word_stage + chip.timing.lane_latency``.
    ``stages`` beats are on their way at most, those whose sines are not yet written included.

    Parameters
    ----------
    chip : Chip

    Attributes
    ----------
    word_stage : int
        Stage in which words of the lanes' memories are at the lanes.
    pace : Pace
        How the sequencer has to issue beats.

    Members
    -------
    beats : In(BEAT) * stages
        What every stage works on.
    operand, aux, result : In
        Addresses of the beat in stage 0.
    issued, control : In(CONTROL)
        Control word of the beat in stage 0; that of stage 1, which holds still until the first beat
        of the next contraction is there.
    input_base : In
        Added to the operand's address of samples.
    active_lanes : In
        Lanes that hold samples; the others set no flags.
    weight : In(signed)
        Word of the weight memory, in stage 2.
    weight_w : Out(WritePort)
        Merged weights, results of lane 0.
    logits : Out(LogitPort)
        Results for the loss unit.
    saturation : Out(8)
        Pulses, bits of :class:`~zerotrain.spec.registers.Saturation`.
    sample_w : In(SamplePort(chip))
        Write a sample. It can be read 6 cycles later.
    sample_read : In(1)
        Read row ``sample_w.row`` of lane ``sample_w.lane`` instead of what a beat asks for.
    sample : Out(signed)
        That word, ``SAMPLE_READ_LATENCY`` = 9 cycles later; lane and row are still for as long.
    common : Out(LanePort(chip))
        Samples and pre-activations of lanes that have no memories for them; these ignore the host's
        samples, the others leave this port idle.
    busy : Out(1)
        Results are under way of sums whose beats have passed all stages.
    """

    word_stage: ClassVar[int]

    beats: Sequence[data.View]
    operand: Signal
    aux: Signal
    result: Signal
    issued: data.View
    control: data.View
    input_base: Signal
    active_lanes: Signal
    weight: Signal
    weight_w: wiring.PureInterface
    logits: wiring.PureInterface
    saturation: Signal
    sample_w: wiring.PureInterface
    sample_read: Signal
    sample: Signal
    common: wiring.PureInterface
    busy: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.result_stage = self.word_stage + chip.timing.lane_latency
        self.stages = self.result_stage + 2 + chip.timing.sine_cycles
        f, bits, rows = chip.formats, operand_bits(chip), address_bits(chip.sample_rows)
        super().__init__(
            {
                "beats": In(BEAT).array(self.stages),
                "operand": In(bits),
                "aux": In(bits),
                "result": In(bits),
                "issued": In(CONTROL),
                "control": In(CONTROL),
                "input_base": In(rows),
                "active_lanes": In(range(chip.lanes + 1)),
                "weight": In(signed(f.weight.width)),
                "weight_w": Out(WritePort(address_bits(chip.weight_depth), f.weight.width)),
                "logits": Out(LogitPort(chip)),
                "saturation": Out(8),
                "sample_w": In(SamplePort(chip)),
                "sample_read": In(1),
                "sample": Out(signed(f.input.width)),
                "common": Out(LanePort(chip)),
                "busy": Out(1),
            }
        )

    @property
    @abstractmethod
    def pace(self) -> Pace:
        """How the sequencer has to issue beats."""

    @abstractmethod
    def elaborate(self, platform: object) -> Module:
        """Every kind builds its own."""

    def flag(self, bit: Saturation) -> Value:
        """The wire of a saturation flag."""
        return self.saturation[int(bit).bit_length() - 1]

    def host_sample(self, m: Module) -> wiring.PureInterface:
        """The host's sample, a cycle later."""
        late: wiring.PureInterface = SamplePort(self._chip).create()
        m.d.comb += late.en.eq(pipe(m, self.sample_w.en, 1, "sample_en"))
        for name in ("lane", "row", "data"):
            word = pipe(m, getattr(self.sample_w, name), 1, f"sample_{name}", reset_less=True)
            m.d.comb += getattr(late, name).eq(word)
        return late

    def own_rows(self, m: Module, host: wiring.PureInterface) -> dict[str, Value]:
        """Rows of memories of the lanes' own, in stage 1."""
        preact = self.issued.source == Source.PREACT
        return {
            "input": self.row(
                m, "input", Mux(self.sample_read, host.row, self.operand + self.input_base)
            ),
            "scratch": self.row(m, "scratch", self.operand),
            "preact": self.row(m, "preact", Mux(preact, self.operand, self.aux)),
        }

    def row(self, m: Module, name: str, row: Value) -> Value:
        """A row of a memory, in stage 1."""
        chip = self._chip
        depths = {
            "input": chip.sample_rows, "scratch": chip.scratch_rows, "preact": chip.preact_depth,
        }  # fmt: skip
        register = Signal(address_bits(depths[name]), name=f"s1_{name}_row", reset_less=True)
        m.d.sync += register.eq(row)
        return register
