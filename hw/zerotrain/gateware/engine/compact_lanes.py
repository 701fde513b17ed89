"""The lanes of a compact chip: multiply and accumulate, nothing else.

Golden model: :func:`zerotrain.golden.fixed.requantize` of exact sums of products.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import add_or_subtract
from zerotrain.gateware.engine.lane import TAKES
from zerotrain.gateware.engine.requantiser import Requantiser
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result

__all__ = ["END_STAGE", "RESULT_STAGE", "WORD_STAGE", "CompactLanes"]

#: Stages of a beat: memory words are there, its sum is complete if it is the last, lane 0's result.
WORD_STAGE = 2
END_STAGE = WORD_STAGE + 3
RESULT_STAGE = END_STAGE + 2


class CompactLanes(wiring.Component):
    """All lanes of a compact chip with their memories and the one requantiser that they share.

    A lane selects its operand, multiplies and accumulates. As a sum ends, all lanes hand theirs to
    a chain and begin again; the chain moves on by a lane per cycle, lane 0 first, to the
    requantiser. So results come one after the other, while the next sums run: those must end
    ``lanes`` cycles later at the earliest, or two, where only lane 0's is wanted. The cycle after
    the last beat of a sum has no beat: the accumulators are set to the rounding constant.

    There is a register before and behind the multiplier and nothing else.

    Without environments, pre-activations are rows of the scratch memory; or they are with the
    samples, in a memory elsewhere (``chip.common``).

    Stages are those of a beat. ``input_row``, ``scratch_row``, ``preact_row`` are rows in stage 1;
    ``takes``, ``constant``, ``relu`` and ``weight`` are taken in stage ``WORD_STAGE`` = 2,
    ``first`` a stage later, ``subtract`` in stage 4, ``ends`` in stage ``END_STAGE`` = 5.
    ``single``, ``shift`` and ``result`` hold still from there to the last word. The result of lane
    k is there in stage ``RESULT_STAGE + k``, and written to ``write_row`` at its end, which is
    still by then.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    input_row, scratch_row, preact_row : In
        Rows of the memories.
    takes : In(TAKES)
        What the operand is made of; nothing where there is no beat.
    constant : In
        Is or-ed to the operand: of beats that take a constant, else zero.
    relu : In(1)
    weight : In(signed)
    first, ends : In(1)
        The first, the last beat of a sum.
    subtract : In(1)
        This product is subtracted, in lane 0; only for ``chip.lane_subtracts``.
    single : In(1)
        Only the word of lane 0 is wanted.
    shift, result : In
        As in :class:`~zerotrain.gateware.engine.requantiser.Requantiser`.
    write_scratch, write_preact : In(1)
        Where words are written.
    write_row : In
    sample_en, sample_lane, sample_row, sample_data : In
        Write a sample word, a cycle later.
    sample : Out
        Word of lane ``sample_lane`` at the row before, a cycle later.
    stored : In(ArrayLayout(unsigned(input width), lanes))
        Instead of all that concerns samples and pre-activations, with ``chip.common``: such words,
        in stage 2.
    valid : Out(1)
        A word is there.
    lane : Out(range(lanes))
        Whose.
    word : Out(signed)
        Still until the next.
    clamped : Out(1)
        The word was saturated.
    busy : Out(1)
        Words are under way.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._requantiser = Requantiser(chip)
        f = chip.formats
        self._accumulator = min(chip.acc_width, max(32, f.weight.width + f.lane_width))
        samples, scratch, preact = (
            address_bits(depth)
            for depth in (chip.sample_rows, chip.scratch_rows, chip.preact_depth)
        )
        own = {
            "input_row": In(samples),
            "preact_row": In(preact),
            "write_preact": In(1),
            "sample_en": In(1),
            "sample_lane": In(range(chip.lanes)),
            "sample_row": In(samples),
            "sample_data": In(f.input.width),
            "sample": Out(f.input.width),
        }
        if chip.common:
            own = {"stored": In(data.ArrayLayout(unsigned(f.input.width), chip.lanes))}
        super().__init__(
            {
                **own,
                "scratch_row": In(scratch),
                "takes": In(TAKES),
                "constant": In(f.lane_width),
                "relu": In(1),
                "weight": In(signed(f.weight.width)),
                "first": In(1),
                "ends": In(1),
                "subtract": In(1),
                "single": In(1),
                "shift": In(self._requantiser.shift.shape()),
                "result": In(Result),
                "write_scratch": In(1),
                "write_row": In(max(scratch, preact)),
                "valid": Out(1),
                "lane": Out(range(chip.lanes)),
                "word": Out(self._requantiser.word.shape()),
                "clamped": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, f, lanes = self._chip, self._chip.formats, self._chip.lanes
        width = f.lane_width

        def memory(name: str, word: int, depth: int, row: Value) -> tuple[Memory, data.View]:
            """A memory of words of all lanes, and the words of a row."""
            m.submodules[f"{name}_memory"] = made = Memory(shape=lanes * word, depth=depth, init=[])
            port = made.read_port()
            m.d.comb += port.addr.eq(row)
            return made, data.View(data.ArrayLayout(unsigned(word), lanes), port.data)

        scratch, words = memory("scratch", width, chip.scratch_rows, self.scratch_row)
        if chip.common:
            inputs = activations = self.stored
        else:
            samples, inputs = memory("sample", f.input.width, chip.sample_rows, self.input_row)
            preact, activations = scratch, words
        if chip.has_environments:
            preact, activations = memory("preact", width, chip.preact_depth, self.preact_row)

        # Multiplier registers have no reset: only those are absorbed into iCE40 DSP blocks.
        p1_weight = Signal(signed(f.weight.width), reset_less=True)
        m.d.sync += p1_weight.eq(self.weight)
        # Half of the last place that is kept. Synthesis must not see that the other bits are always
        # zero: it would give the accumulators' registers a reset, and then they are not absorbed.
        never = Signal()
        m.d.sync += never.eq(self.takes.input & self.takes.preact)
        halves = Signal(self._accumulator)
        m.d.comb += halves.eq(Array([Const(1 << s >> 1) for s in chip.shifts])[self.shift])
        rounding = Cat(
            halves[k] if k + 1 in chip.shifts else never for k in range(self._accumulator)
        ).as_signed()
        chain = [Signal(signed(chip.acc_width), name=f"chain_{k}", reset_less=True)
                 for k in range(lanes)]  # fmt: skip
        for k in range(lanes):
            p1_operand = Signal(signed(width), name=f"p1_operand_{k}", reset_less=True)
            p2_prod = Signal(signed(len(p1_weight) + width), name=f"p2_prod_{k}", reset_less=True)
            operand = self._operand(
                m, inputs[k].as_signed(), words[k].as_signed(), activations[k].as_signed()
            )
            # Where there is no beat, the product is zero.
            m.d.sync += [p1_operand.eq(operand), p2_prod.eq(p1_weight * p1_operand)]
            total = self._accumulate(m, k, p2_prod, rounding)
            m.d.sync += chain[k].eq(Mux(self.ends, total, chain[k + 1] if k + 1 < lanes else total))

        # Words on their way: whether in stage END_STAGE + 1, and whose.
        m.submodules.requantiser = requantiser = self._requantiser
        c1_valid, c1_lane = Signal(), Signal.like(self.lane)
        m.d.sync += c1_lane.eq(c1_lane + 1)
        with m.If(self.ends):
            m.d.sync += [c1_valid.eq(1), c1_lane.eq(0)]
        with m.Elif(self.single | (c1_lane == lanes - 1)):
            m.d.sync += c1_valid.eq(0)
        m.d.sync += [self.valid.eq(c1_valid), self.lane.eq(c1_lane)]
        m.d.comb += [
            requantiser.take.eq(c1_valid),
            requantiser.sum.eq(chain[0]),
            requantiser.shift.eq(self.shift),
            requantiser.result.eq(self.result),
            self.word.eq(requantiser.word),
            self.clamped.eq(requantiser.clamped),
            self.busy.eq(c1_valid | self.valid),
        ]

        if chip.common:
            written = [(scratch, self.write_scratch)]
        elif chip.has_environments:
            written = [(scratch, self.write_scratch), (preact, self.write_preact)]
        else:
            written = [(scratch, self.write_scratch | self.write_preact)]
        for made, enable in written:
            port = made.write_port(granularity=width)
            m.d.comb += [
                port.en.eq((self.valid & enable) << self.lane),
                port.addr.eq(self.write_row),
                port.data.eq(requantiser.word[:width].replicate(lanes)),
            ]

        if chip.common:
            return m
        port = samples.write_port(granularity=f.input.width)
        m.d.comb += [
            port.en.eq(self.sample_en << self.sample_lane),
            port.addr.eq(self.sample_row),
            port.data.eq(self.sample_data.replicate(lanes)),
        ]
        m.d.sync += self.sample.eq(Array(list(inputs))[self.sample_lane])
        return m

    def _accumulate(self, m: Module, k: int, product: Value, rounding: Value) -> Value:
        """A lane's sum, from the cycle after its last product was taken.

        The accumulator has the width of the block's, 32 bits, or of a product. How often it wrapped
        is counted beside it: as products are at most a quarter of its range, its two highest bits
        tell, a cycle later.
        """
        low = self._accumulator
        acc = Signal(signed(low), name=f"acc_{k}", reset_less=True)
        total: Value = acc + product
        if k == 0 and self._chip.lane_subtracts:
            total = add_or_subtract(acc, product, self.subtract)
        m.d.sync += acc.eq(Mux(self.first, rounding, total))
        high = self._chip.acc_width - low
        if not high:
            return acc
        quarter = Signal(2, name=f"quarter_{k}", reset_less=True)
        wraps = Signal(high, name=f"wraps_{k}", reset_less=True)
        up, down = (quarter == 3) & (acc[-2:] == 0), (quarter == 0) & (acc[-2:] == 3)
        wrapped = (Cat(up, wraps) + Cat(up, down.replicate(high)))[1 : high + 1]
        m.d.sync += [
            quarter.eq(Mux(self.first, 0, acc[-2:])),
            wraps.eq(Mux(self.first, 0, wrapped)),
        ]
        return Cat(acc, wrapped).as_signed()

    def _operand(self, m: Module, sample: Value, scratch: Value, preact: Value) -> Value:
        """What a lane multiplies."""
        takes, relu = self.takes, self.relu
        if self._chip.common:
            taken = takes.input | (takes.preact & ~(relu & (sample < 0)))
            stored = Mux(taken, sample, 0)
            return stored | Mux(takes.scratch, scratch, 0) | self.constant.as_signed()
        sample = Mux(takes.input, sample, 0)
        if not self._chip.has_environments:
            # One memory: whether its word counts is one bit.
            taken = takes.scratch | (takes.preact & ~(relu & (preact < 0)))
            return sample | Mux(taken, scratch, 0) | self.constant.as_signed()
        dy = Mux(takes.scratch, scratch, 0) | self.constant.as_signed()
        rest = sample | Mux(takes.preact & ~(relu & (preact < 0)), preact, 0)
        return self._bent(m, dy | rest, dy, preact, relu & takes.delta)

    def _bent(self, m: Module, straight: Value, dy: Value, y: Value, bends: Value) -> Value:
        """The operand of differences: ``act(Y + dy) - act(Y)``, which fits the word of dy."""
        f = self._chip.formats
        width, align = f.lane_width, f.delta.frac_bits - f.preact.frac_bits
        aligned = y << align
        moved = aligned + dy
        operand = Signal(signed(width))
        with m.If(~bends | ~((y < 0) | (moved < 0))):
            m.d.comb += operand.eq(straight)
        with m.Elif(~(y < 0)):
            m.d.comb += operand.eq(-aligned)
        with m.Elif(~(moved < 0)):
            m.d.comb += operand.eq(moved)
        return operand
