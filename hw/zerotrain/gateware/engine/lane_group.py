"""A group of lanes with their memories: what lies close together on the chip.

Golden model: that of :mod:`zerotrain.gateware.engine.lane`; a group only brings words to its lanes.
"""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe, selected
from zerotrain.gateware.engine.activation import CODE_BITS
from zerotrain.gateware.engine.lane import TAKES, Lane, lane_control, step_masks, takes
from zerotrain.gateware.engine.lane_memory import LaneMemory
from zerotrain.gateware.engine.sine import SharedSine
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result, Source

__all__ = ["WORD_STAGE", "LaneGroup", "broadcast"]

#: Stage in which memory words are at the lanes. Rows are at the inputs of the group in stage 1, in
#: its registers in stage 2, answered in stage 3.
WORD_STAGE = 4


def broadcast(chip: Chip) -> data.StructLayout:
    """What all groups are told, each field one stage before its use (see :class:`LaneGroup`)."""
    return data.StructLayout(
        {
            "input_row": address_bits(chip.sample_rows),
            "scratch_row": address_bits(chip.scratch_rows),
            "preact_row": address_bits(chip.preact_depth),
            "source": Source,
            "weight": signed(chip.formats.weight.width),
            "first": 1,
            "write_scratch": 1,
            "write_preact": 1,
            "write_row": max(address_bits(chip.scratch_rows), address_bits(chip.preact_depth)),
            "activation": CODE_BITS,
            "constant_shift": range(chip.formats.lane_width),
            "shift": range(len(chip.shifts)),
            "result": Result,
            **({"sine": 1, "take_sine": 1} if chip.sine else {}),
        }
    )


class LaneGroup(wiring.Component):
    """Lanes with their sample, scratch and pre-activation memories.

    What every lane is told goes through registers of the group, so that no signal crosses the chip
    and feeds many loads in one cycle. They are marked ``keep``: synthesis would merge them with
    their twins in other groups.

    Without environments, pre-activations are rows of the scratch memory.

    Stages are those of a beat. Inputs are given one stage before their use:

    * ``input_row``, ``scratch_row``, ``preact_row`` in stage 1; their words are at the lanes in
      stage ``WORD_STAGE`` = 4;
    * ``source`` in stage 3, ``weight``, ``first`` and ``subtract`` one stage before those of
      :class:`~zerotrain.gateware.engine.lane.Lane`, counted from ``WORD_STAGE``;
    * ``activation``, ``constant_shift``, ``shift``, ``result`` hold still from stage 1 to two
      before the result, ``sine`` to one before the sine;
    * ``take_sine`` one stage before a result of which the sine is wanted;
    * ``write_scratch``, ``write_preact``, ``write_row`` one stage before the result, or the sine.
      Rows given one cycle later are answered with the written word.

    Results are there ``timing.lane_latency`` stages after ``WORD_STAGE``, ``clamped`` one later,
    sines ``timing.sine_cycles`` later.

    No word that is used was read in the cycle in which it was written: contractions are kept apart,
    and the host does not read samples while it writes them.

    Parameters
    ----------
    chip : Chip
    lanes : sequence of int
        The engine's numbers of the lanes of this group.
    merges : bool
        Lane 0 also makes merged TT-cores.

    Members
    -------
    beat : In(broadcast(chip))
    subtract : In(1)
        For the lane that merges.
    active : In(lanes)
        Lanes that hold samples; the others do not count as clamped.
    sample_en, sample_lane, sample_row, sample_data : In
        Write a sample word of a lane of the engine's, if it is one of these; four cycles later.
    sample : Out
        Word of lane ``sample_lane``, 6 cycles after its row was at ``beat.input_row``; both have
        been still for as long.
    result : Out
        Result of every lane.
    clamped, clamped_0 : Out(1)
        A result of an active lane was saturated; that of lane 0.
    """

    def __init__(self, chip: Chip, lanes: Sequence[int], *, merges: bool) -> None:
        self._chip, self._numbers = chip, tuple(lanes)
        self._lanes = [Lane(chip, merges=merges and k == 0) for k in range(len(lanes))]
        f = chip.formats
        super().__init__(
            {
                "beat": In(broadcast(chip)),
                "subtract": In(1),
                "active": In(len(lanes)),
                "sample_en": In(1),
                "sample_lane": In(range(chip.lanes)),
                "sample_row": In(address_bits(chip.sample_rows)),
                "sample_data": In(f.input.width),
                "sample": Out(f.input.width),
                "result": Out(data.ArrayLayout(signed(self._lanes[0].result_width), len(lanes))),
                "clamped": Out(1),
                "clamped_0": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, f, lanes = self._chip, self._chip.formats, len(self._lanes)

        def own(name: str) -> Value:
            return pipe(m, self.beat[name], 1, name, reset_less=True, attrs={"keep": 1})

        weight, result = own("weight"), own("result")
        activation, first = own("activation"), own("first")
        # Decoded here, so that few wires cross the chip. All but the source hold still.
        constant = Signal(f.lane_width, reset_less=True)
        rounding = Signal(chip.acc_width, reset_less=True)
        taken = Signal(TAKES, reset_less=True)
        steps = Signal(lane_control(chip)["steps"].shape, reset_less=True)
        source, shift = self.beat.source, own("shift")
        m.d.sync += [
            taken.eq(takes(source)),
            constant.eq(
                Mux(
                    (source == Source.CONSTANT) | (source == Source.DELTA_CONSTANT),
                    1 << own("constant_shift"),
                    0,
                )
            ),
            steps.eq(Array([Const(mask) for mask in step_masks(chip.shifts)])[shift]),
            rounding.eq(Array([Const(1 << s >> 1) for s in chip.shifts])[shift]),
        ]

        def memory(row: str, width: int, depth: int, *, apart: bool = False) -> LaneMemory:
            name = row.removesuffix("_row")
            m.submodules[f"{name}_memory"] = made = LaneMemory(
                lanes=lanes, width=width, depth=depth, apart=apart
            )
            m.d.comb += made.row.eq(self.beat[row])
            return made

        samples = memory("input_row", f.input.width, chip.sample_rows, apart=True)
        scratch = memory("scratch_row", f.lane_width, chip.scratch_rows)
        preact = (
            memory("preact_row", f.lane_width, chip.preact_depth)
            if chip.has_environments
            else scratch
        )

        clamped = Signal(lanes)
        for k, lane in enumerate(self._lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.weight.eq(weight),
                lane.input.eq(samples.words[k].as_signed()),
                lane.scratch.eq(scratch.words[k].as_signed()),
                lane.preact.eq(preact.words[k].as_signed()),
                lane.control.takes.eq(taken),
                lane.control.activation.eq(activation),
                lane.control.constant.eq(constant),
                lane.control.first.eq(first),
                lane.control.round.eq(rounding),
                lane.control.steps.eq(steps),
                lane.control.result.eq(result),
                self.result[k].eq(lane.result),
                clamped[k].eq(lane.clamped & self.active[k]),
            ]
        m.d.sync += [self.clamped.eq(clamped.any()), self.clamped_0.eq(clamped[0])]

        # Only lane 0 ever subtracts: no twin of this register is elsewhere.
        m.d.comb += self._lanes[0].subtract.eq(
            pipe(m, self.subtract, 1, "subtract", reset_less=True)
        )

        results = Cat(lane.result[: f.lane_width] for lane in self._lanes)
        if chip.sine:
            sine = own("sine")
            m.d.comb += [lane.control.sine.eq(sine) for lane in self._lanes]
            results = Mux(sine, self._sines(m, own("take_sine")), results)
        enables = {scratch: self.beat.write_scratch}
        enables[preact] = enables.get(preact, Const(0, 1)) | self.beat.write_preact
        for made, enable in enables.items():
            m.d.comb += [
                made.write.eq(enable),
                made.write_row.eq(self.beat.write_row),
                made.data.eq(results),
            ]

        # What the host writes and reads: a copy of the group, then whose it is.
        def host(value: Value, name: str, cycles: int) -> Value:
            return pipe(m, value, cycles, name, reset_less=True, attrs={"keep": 1})

        lane_of_host = host(self.sample_lane, "host_lane", 1)
        enable = Signal(lanes, reset_less=True)
        m.d.sync += enable.eq(
            Cat(lane_of_host == number for number in self._numbers)
            & host(self.sample_en, "host_en", 1).replicate(lanes)
        )
        m.d.comb += [
            samples.write.eq(enable),
            samples.write_row.eq(host(self.sample_row, "host_row", 2)),
            samples.data.eq(host(self.sample_data, "host_data", 3).replicate(lanes)),
        ]
        place = Signal(range(lanes), reset_less=True)
        with m.Switch(lane_of_host):
            for k, number in enumerate(self._numbers):
                with m.Case(number):
                    m.d.sync += place.eq(k)
        words = [Value.cast(word) for word in samples.words]
        m.d.comb += self.sample.eq(selected(m, words, place, "host_sample"))
        return m

    def _sines(self, m: Module, take: Value) -> Value:
        """Lane words, of which one unit for a few lanes each makes the sines."""
        most, words = self._chip.timing.sine_apart, []
        for first in range(0, len(self._lanes), most):
            lanes = self._lanes[first : first + most]
            m.submodules[f"sine_{first}"] = unit = SharedSine(self._chip, len(lanes))
            m.d.comb += unit.take.eq(take)
            for k, lane in enumerate(lanes):
                word = Signal(signed(self._chip.formats.lane_width), name=f"sine_word_{first + k}")
                m.d.comb += [unit.arguments[k].eq(lane.result), word.eq(unit.values[k])]
                words.append(word)
        return Cat(words)
