"""A group of lanes with their memories: what lies close together on the chip.

Golden model: that of :mod:`zerotrain.gateware.lane`; a group only brings words to its lanes.
"""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.lane import TAKES, Lane, lane_control, step_masks, takes
from zerotrain.gateware.memory import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result, Source

__all__ = ["WORD_STAGE", "LaneGroup", "broadcast"]

#: Stage in which memory words are at the lanes. Rows are at the inputs of the group in stage 1, in
#: its registers in stage 2, answered in stage 3.
WORD_STAGE = 4


def broadcast(chip: Chip) -> data.StructLayout:
    """What all groups are told, each field one stage before its use (see :class:`LaneGroup`)."""
    subtract = {"subtract": 1} if chip.lane_subtracts else {}
    return data.StructLayout(
        {
            "input_row": address_bits(chip.sample_rows),
            "scratch_row": address_bits(chip.scratch_rows),
            "preact_row": address_bits(chip.preact_depth),
            "source": Source,
            "weight": signed(chip.formats.weight.width),
            "first": 1,
            "adds": 1,
            "done": 1,
            "write_scratch": 1,
            "write_preact": 1,
            "write_row": max(address_bits(chip.scratch_rows), address_bits(chip.preact_depth)),
            "relu": 1,
            "constant_shift": range(chip.formats.lane_width),
            "shift": range(len(chip.shifts)),
            "result": Result,
        }
        | subtract
    )


class LaneGroup(wiring.Component):
    """Lanes with their sample, scratch and pre-activation memories.

    What every lane is told goes through registers of the group, so that no signal crosses the chip
    and feeds many loads in one cycle. They are marked ``keep``: synthesis would merge them with
    their twins in other groups. Memory words are registered as well: block RAM is slow to answer.
    On a compact chip, rows are registered once more instead.

    Without CGE, pre-activations are rows of the scratch memory from ``scratch_depth`` on.

    Stages are those of a beat. Inputs are given one stage before their use:

    * ``input_row``, ``scratch_row``, ``preact_row`` in stage 1; their words are at the lanes in
      stage ``WORD_STAGE`` = 4;
    * ``source`` in stage 3, ``weight``, ``first``, ``adds`` and ``done`` one stage before
      :class:`~zerotrain.gateware.lane.LaneStages` says, counted from ``WORD_STAGE``; ``subtract``,
      if lanes do that, as ``first``;
    * ``relu``, ``constant_shift``, ``shift``, ``result`` hold still from stage 1 to the one before
      ``done``;
    * ``write_scratch``, ``write_preact``, ``write_row`` one stage before the result. Rows given one
      cycle later are answered with the written word.

    Results are there ``chip.lane_latency`` stages after ``WORD_STAGE``, ``clamped`` one later.

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
    active : In(lanes)
        Lanes that hold samples; the others do not count as clamped.
    sample_en, sample_lane, sample_row, sample_data : In
        Write a sample word of a lane of the engine's, if it is one of these; three cycles later, or
        two on a compact chip.
    sample : Out
        Word of lane ``sample_lane``, 4 cycles after its row was at ``beat.input_row``; the lane has
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

        beat = Signal(broadcast(chip), reset_less=True, attrs={"keep": 1})
        m.d.sync += beat.eq(self.beat)
        # Decoded here, so that few wires cross the chip. All but the source hold still.
        constant = Signal(f.lane_width, reset_less=True)
        rounding = Signal(chip.acc_width, reset_less=True)
        taken = Signal(TAKES, reset_less=True)
        steps = Signal(lane_control(chip)["steps"].shape, reset_less=True)
        source = self.beat.source
        m.d.sync += [
            taken.eq(takes(source)),
            constant.eq(
                Mux(
                    (source == Source.CONSTANT) | (source == Source.DELTA_CONSTANT),
                    1 << beat.constant_shift,
                    0,
                )
            ),
            steps.eq(Array([Const(mask) for mask in step_masks(chip.shifts)])[beat.shift]),
            rounding.eq(Array([Const(1 << s >> 1) for s in chip.shifts])[beat.shift]),
        ]

        def memory(name: str, width: int, depth: int, row: Value) -> tuple[Memory, data.View]:
            """A memory of words of all lanes, and the registered words of a row."""
            m.submodules[f"{name}_memory"] = made = Memory(
                shape=lanes * width, depth=depth, init=[]
            )
            port = made.read_port()
            words = Signal(
                data.ArrayLayout(unsigned(width), lanes), name=f"{name}_words", reset_less=True
            )
            if chip.compact:
                m.d.sync += port.addr.eq(row)
                m.d.comb += words.eq(port.data)
            else:
                m.d.comb += port.addr.eq(row)
                m.d.sync += words.eq(port.data)
            return made, words

        samples, sample_words = memory("sample", f.input.width, chip.sample_rows, beat.input_row)
        scratch, scratch_words = memory(
            "scratch", f.lane_width, chip.scratch_rows, beat.scratch_row
        )
        preact, preact_words = scratch, scratch_words
        if chip.cge:
            preact, preact_words = memory(
                "preact", f.lane_width, chip.preact_depth, beat.preact_row
            )

        clamped = Signal(lanes)
        for k, lane in enumerate(self._lanes):
            m.submodules[f"lane_{k}"] = lane
            m.d.comb += [
                lane.weight.eq(beat.weight),
                lane.input.eq(sample_words[k].as_signed()),
                lane.scratch.eq(scratch_words[k].as_signed()),
                lane.preact.eq(preact_words[k].as_signed()),
                lane.control.takes.eq(taken),
                lane.control.relu.eq(beat.relu),
                lane.control.constant.eq(constant),
                lane.control.first.eq(beat.first),
                lane.control.adds.eq(beat.adds),
                lane.control.done.eq(beat.done),
                lane.control.round.eq(rounding),
                lane.control.steps.eq(steps),
                lane.control.result.eq(beat.result),
                self.result[k].eq(lane.result),
                clamped[k].eq(lane.clamped & self.active[k]),
            ]
        m.d.sync += [self.clamped.eq(clamped.any()), self.clamped_0.eq(clamped[0])]

        if chip.lane_subtracts:
            m.d.comb += [lane.control.subtract.eq(beat.subtract) for lane in self._lanes]

        results = Cat(lane.result[: f.lane_width] for lane in self._lanes)
        written = [(scratch, beat.write_scratch | beat.write_preact)]
        if chip.cge:
            written = [(scratch, beat.write_scratch), (preact, beat.write_preact)]
        for made, enable in written:
            port = made.write_port()
            m.d.comb += [
                port.en.eq(enable),
                port.addr.eq(beat.write_row),
                port.data.eq(results),
            ]

        # What the host writes and reads: a copy of the group, then whose it is.
        fields = ("sample_en", "sample_lane", "sample_row", "sample_data")
        told = Cat(getattr(self, name) for name in fields)
        copy = pipe(m, told, 0 if chip.compact else 1, "host", attrs={"keep": 1})
        host = data.View(
            data.StructLayout({name: getattr(self, name).shape() for name in fields}), copy
        )
        sample_en = Signal(lanes)
        sample_row = Signal.like(self.sample_row, reset_less=True, attrs={"keep": 1})
        sample_data = Signal.like(self.sample_data, reset_less=True, attrs={"keep": 1})
        m.d.sync += [
            sample_en.eq(
                Cat((host.sample_lane == number) & host.sample_en for number in self._numbers)
            ),
            sample_row.eq(host.sample_row),
            sample_data.eq(host.sample_data),
        ]
        place = Signal(range(lanes), reset_less=True)
        with m.Switch(host.sample_lane):
            for k, number in enumerate(self._numbers):
                with m.Case(number):
                    m.d.sync += place.eq(k)
        m.d.sync += self.sample.eq(Array(list(sample_words))[place])
        port = samples.write_port(granularity=f.input.width)
        m.d.comb += [
            port.en.eq(sample_en),
            port.addr.eq(sample_row),
            port.data.eq(sample_data.replicate(lanes)),
        ]
        return m
