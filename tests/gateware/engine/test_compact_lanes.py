"""Compact lanes, beat by beat, against exact sums and their documented stages."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from zerotrain.gateware.engine.compact_lanes import RESULT_STAGE, CompactLanes
from zerotrain.gateware.engine.lane_array import SAMPLE_READ_LATENCY
from zerotrain.gateware.storage.common_memory import CommonMemory
from zerotrain.gateware.variants import lane_array
from zerotrain.golden.activations import activate, difference
from zerotrain.golden.fixed import requantize
from zerotrain.spec.activations import ACTIVATIONS, Activation
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.network import Loss
from zerotrain.spec.program import LEAST_APART, Result, Source
from zerotrain.spec.registers import Saturation

CHIPS: dict[str, dict[str, Any]] = {
    "environments": {"cge": Cge.ENVIRONMENTS},
    "squares": {"cge": Cge.ENVIRONMENTS, "loss": Loss.MEAN_SQUARED_ERROR},
    "forward": {"cge": Cge.FORWARD},
    "common": {"cge": Cge.FORWARD, "store": Store.COMMON, "sample_banks": 1},
}
ROWS = 8
#: What lanes do to words that they read.
READ = [activation for activation in Activation if not ACTIVATIONS[activation].on_write]


def chip_of(kind: str, lanes: int) -> Chip:
    return Chip(
        lanes=lanes, loss_ways=1, core=Core.COMPACT, sample_depth=ROWS, scratch_depth=ROWS,
        preact_depth=ROWS, parameter_depth=16, weight_depth=16, evaluation_depth=17,
        acc_width=44, **CHIPS[kind],
    )  # fmt: skip


@dataclass(frozen=True)
class Control:
    """The control word's fields that lanes know."""

    source: Source = Source.INPUT
    result: Result = Result.SCRATCH
    shift: int = 0
    activation: Activation = Activation.NONE
    unit_weight: bool = False
    constant_shift: int = 0

    @property
    def fields(self) -> dict[str, int]:
        code = ACTIVATIONS[self.activation].code
        return self.__dict__ | {"activation": code, "unit_weight": int(self.unit_weight)}

    @property
    def single(self) -> bool:
        copies = self.result == Result.SCRATCH and self.source == Source.CONSTANT
        return copies or self.result == Result.WEIGHT


@dataclass(frozen=True)
class Beat:
    """A beat with its addresses and its weight."""

    weight: int
    operand: int = 0
    aux: int = 0
    result: int = 0
    first: bool = False
    last: bool = False
    bias: bool = False
    evaluation: bool = False
    subtract: bool = False


@dataclass
class Trace:
    """What came out: cycle and what."""

    logits: list[tuple[int, int, int, int, bool]] = field(default_factory=list)
    weights: list[tuple[int, int, int]] = field(default_factory=list)
    flags: dict[int, int] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)


class Bench:
    """Lanes, the memory that they share with others if they do, and a test that is the engine."""

    def __init__(self, chip: Chip) -> None:
        lanes = lane_array(chip)
        assert isinstance(lanes, CompactLanes)
        self.chip, self.lanes = chip, lanes
        if chip.store == Store.COMMON:
            self.memory = CommonMemory(chip)
        self.cycle = 0
        self.trace = Trace()
        self.slots: list[Beat | None] = [None] * lanes.stages
        self.control = Control()

    def run(self, test: Any) -> None:
        m = Module()
        m.submodules.lanes = self.lanes
        if self.chip.store == Store.COMMON:
            m.submodules.memory = self.memory
            wiring.connect(m, self.lanes.common, self.memory.lanes)
        else:
            m.d.sync += Signal().eq(0)
        sim = Simulator(m)
        sim.add_clock(1e-6)
        sim.add_testbench(test)
        sim.run()

    async def load(self, ctx: Any, x: np.ndarray) -> None:
        """Write samples ``[lanes, rows]``; the host has the memory."""
        common = self.chip.store == Store.COMMON
        if common:
            ctx.set(self.memory.idle, 1)
        for row, lane in np.ndindex(x.shape[::-1]):
            word = int(x[lane, row])
            if common:
                ctx.set(self.memory.sample_row, row)
                ctx.set(self.memory.sample_lane, lane)
                await ctx.tick()
                ctx.set(self.memory.sample_en, 1)
                ctx.set(self.memory.sample_data, word)
                await ctx.tick()
                ctx.set(self.memory.sample_en, 0)
            else:
                port = self.lanes.sample_w
                for name, value in (("en", 1), ("lane", lane), ("row", row), ("data", word)):
                    ctx.set(getattr(port, name), value)
                await ctx.tick()
        if common:
            ctx.set(self.memory.idle, 0)
        else:
            ctx.set(self.lanes.sample_w.en, 0)
        await ctx.tick().repeat(6)

    async def tick(self, ctx: Any, beat: Beat | None) -> None:
        """One cycle, with this beat in stage 0."""
        lanes, trace = self.lanes, self.trace
        self.slots = [beat, *self.slots[:-1]]
        for port, slot in zip(lanes.beats, self.slots, strict=True):
            flags = ("first", "last", "bias", "evaluation", "subtract")
            told = {name: int(getattr(slot, name)) for name in flags} if slot else {}
            ctx.set(port, {"valid": int(slot is not None)} | told)
        if beat:
            for name in ("operand", "aux", "result"):
                ctx.set(getattr(lanes, name), getattr(beat, name))
        if self.slots[2]:
            ctx.set(lanes.weight, self.slots[2].weight)
        # Outputs of this cycle.
        logits, weight = lanes.logits, lanes.weight_w
        if ctx.get(logits.en):
            width = self.chip.formats.logit.width
            word = ctx.get(logits.data)
            lane = -1
            if self.chip.serial_loss:
                lane, word = ctx.get(logits.lane), word - (word >> (width - 1) << width)
            found = (ctx.get(logits.index), lane, word, bool(ctx.get(logits.last)))
            trace.logits.append((self.cycle, *found))
        if ctx.get(weight.en):
            trace.weights.append((self.cycle, ctx.get(weight.addr), ctx.get(weight.data)))
        if ctx.get(lanes.saturation):
            trace.flags[self.cycle] = ctx.get(lanes.saturation)
        if ctx.get(lanes.busy):
            trace.busy.add(self.cycle)
        await ctx.tick()
        self.cycle += 1

    async def contract(
        self, ctx: Any, control: Control, sums: Sequence[Sequence[Beat]]
    ) -> list[int]:
        """Run sums as close as the sequencer may; cycles of their last beats."""
        self.control = control
        for word in (self.lanes.issued, self.lanes.control):
            ctx.set(word, control.fields)
        apart = LEAST_APART if control.single else max(self.chip.lanes, LEAST_APART)
        if self.chip.store == Store.COMMON and control.result == Result.PREACT:
            # One port: no row is read while words are written.
            apart = RESULT_STAGE + self.chip.lanes
        ends: list[int] = []
        for terms in sums:
            while ends and self.cycle + len(terms) - 1 < max(ends[-1] + apart, self.cycle):
                await self.tick(ctx, None)
            for beat in terms:
                await self.tick(ctx, beat)
            ends.append(self.cycle - 1)
            await self.tick(ctx, None)
        for _ in range(RESULT_STAGE + self.chip.lanes + 2):
            await self.tick(ctx, None)
        return ends


def signed_word(word: int, width: int) -> int:
    return word - (word >> (width - 1) << width)


def terms_of(beats: Sequence[Beat]) -> list[Beat]:
    """Mark first and last."""
    last = len(beats) - 1
    return [replace(b, first=k == 0, last=k == last) for k, b in enumerate(beats)]


def of_any_magnitude(rng: Random, width: int) -> int:
    bits = rng.randint(1, width)
    return rng.randint(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def drawn_samples(rng: Random, lanes: int, width: int) -> np.ndarray:
    return np.array([[of_any_magnitude(rng, width) for _ in range(ROWS)] for _ in range(lanes)])


def near_a_clamp(rng: Random, shift: int, width: int) -> tuple[list[int], int]:
    """Two operands, and what the first is to be multiplied by, the second by 1: their sum is
    rounded to about the least or the most of ``width`` bits."""
    extreme = rng.choice((-(1 << (width - 1)), (1 << (width - 1)) - 1)) + rng.randint(-1, 1)
    total = (extreme << shift) + rng.choice((0, -1, 1, 1 << shift >> 1, (1 << shift >> 1) - 1))
    return [total >> 14, total & ((1 << 14) - 1)], 1 << 14


KINDS_AND_LANES = list(product(CHIPS, (1, 3, 8)))


@pytest.mark.parametrize(("kind", "lanes"), KINDS_AND_LANES)
def test_logits(kind: str, lanes: int) -> None:
    """Of sums as close together as they may be: the word of lane k comes in stage 7 + k."""
    rng, chip = Random(lanes), chip_of(kind, lanes)
    f, bench = chip.formats, Bench(chip)
    x = drawn_samples(rng, lanes, f.input.width)

    async def test(ctx: Any) -> None:
        await bench.load(ctx, x)
        active = rng.randint(1, lanes)
        ctx.set(bench.lanes.active_lanes, active)
        for index, shift in enumerate(chip.shifts):
            sums = [
                terms_of(
                    [
                        Beat(of_any_magnitude(rng, f.weight.width), rng.randrange(ROWS), 0, n)
                        for _ in range(rng.choice((1, 2, lanes, lanes + 3)))
                    ]
                )
                for n in range(6)
            ]
            sums[-1][-1] = replace(sums[-1][-1], evaluation=True)
            bench.trace = trace = Trace()
            control = Control(result=Result.LOGIT, shift=index)
            ends = await bench.contract(ctx, control, sums)
            logits, flags, busy = [], {}, set()
            for n, (end, terms) in enumerate(zip(ends, sums, strict=True)):
                acc = np.sum([b.weight * x[:, b.operand] for b in terms], axis=0)
                words = []
                for lane in range(lanes):
                    word, clamped = requantize(acc[lane : lane + 1], shift, f.logit.width)
                    words.append(int(word[0]))
                    at = end + RESULT_STAGE + lane
                    busy |= {at - 1, at}
                    if chip.serial_loss:
                        logits.append((at, n, lane, words[-1], n == 5))
                    if clamped and lane < active:
                        flags[at] = int(Saturation.LOGIT)
                if not chip.serial_loss:
                    logits.append((end + RESULT_STAGE + lanes - 1, n, -1, 0, n == 5))
            found = trace.logits
            if not chip.serial_loss:
                found = [(cycle, n, -1, 0, last) for cycle, n, _, _, last in found]
            assert found == logits
            assert trace.flags == flags
            assert trace.busy == busy

    bench.run(test)


@pytest.mark.parametrize(("kind", "lanes"), KINDS_AND_LANES)
@pytest.mark.parametrize("result", [Result.SCRATCH, Result.PREACT])
def test_words_that_are_read_again(kind: str, lanes: int, result: Result) -> None:
    """Results at the clamps and one beyond, stored, then read with every activation."""
    rng, chip = Random(10 + lanes), chip_of(kind, lanes)
    f, bench = chip.formats, Bench(chip)
    width = f.preact.width if result == Result.PREACT else f.lane_width
    place = chip.preact_base if result == Result.PREACT else 0
    shift = chip.shifts[-1] if chip.shifts[-1] <= 13 else 13
    index = chip.shifts.index(shift)
    merging = chip.shifts.index(f.weight.frac_bits)

    async def test(ctx: Any) -> None:
        ctx.set(bench.lanes.active_lanes, lanes)
        for _ in range(3):
            x = np.zeros((lanes, ROWS), int)
            for lane in range(lanes):
                for row in range(0, ROWS, 2):
                    x[lane, row : row + 2], weight = near_a_clamp(rng, shift, width)
            await bench.load(ctx, x)
            sums = [
                terms_of([Beat(weight, 2 * n, 0, place + n), Beat(1, 2 * n + 1, 0, place + n)])
                for n in range(ROWS // 2)
            ]
            bench.trace = trace = Trace()
            ends = await bench.contract(ctx, Control(result=result, shift=index), sums)
            stored = np.zeros((lanes, len(sums)), int)
            flags = {}
            for n, end in enumerate(ends):
                acc = weight * x[:, 2 * n] + x[:, 2 * n + 1]
                for lane in range(lanes):
                    word, clamped = requantize(acc[lane : lane + 1], shift, width)
                    stored[lane, n] = word[0]
                    if clamped:
                        kind_of = (
                            Saturation.SCRATCH if result == Result.SCRATCH else Saturation.PREACT
                        )
                        flags[end + RESULT_STAGE + lane] = int(kind_of)
            assert trace.flags == flags
            assert not trace.logits and not trace.weights

            # As merged weights, only lane 0's word comes out; so lane 0 is looked at.
            source = Source.SCRATCH if result == Result.SCRATCH else Source.PREACT
            for activation in READ if source == Source.PREACT else (Activation.NONE,):
                bench.trace = trace = Trace()
                control = Control(
                    source, Result.WEIGHT, merging, activation, unit_weight=True
                )  # fmt: skip
                sums = [terms_of([Beat(0, place + n, 0, n)]) for n in range(stored.shape[1])]
                ends = await bench.contract(ctx, control, sums)
                values = activate(stored[0], activation, f)
                words, _ = requantize(values << f.weight.frac_bits, 13, f.weight.width)
                got = [
                    (cycle, at, signed_word(word, f.weight.width))
                    for cycle, at, word in trace.weights
                ]
                assert got == [
                    (end + RESULT_STAGE, n, int(word))
                    for n, (end, word) in enumerate(zip(ends, words, strict=True))
                ]

    bench.run(test)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("activation", READ)
@pytest.mark.parametrize("source", [Source.DELTA, Source.DELTA_CONSTANT])
def test_differences(source: Source, activation: Activation, lanes: int) -> None:
    """``act(Y + dy) - act(Y)`` where it bends, for the words of both memories."""
    rng, chip = Random(20 + lanes), chip_of("environments", lanes)
    f, bench = chip.formats, Bench(chip)
    align = f.delta.frac_bits - f.preact.frac_bits
    copied = chip.shifts.index(f.weight.frac_bits)
    constant = min(chip.constants)

    async def test(ctx: Any) -> None:
        for _ in range(4):
            dy = drawn_samples(rng, lanes, f.delta.width)
            y = drawn_samples(rng, lanes, f.delta.width - align + 1)
            # About where it bends.
            about = -(y << align) + np.array([[rng.randint(-2, 2) for _ in range(ROWS)]] * lanes)
            dy[:, ::2] = np.clip(about, f.delta.raw_min, f.delta.raw_max)[:, ::2]
            for words, result in ((dy, Result.SCRATCH), (y, Result.PREACT)):
                await bench.load(ctx, words)
                copies = [terms_of([Beat(0, n, 0, n)]) for n in range(ROWS)]
                control = Control(result=result, shift=copied, unit_weight=True)
                await bench.contract(ctx, control, copies)
            bench.trace = trace = Trace()
            control = Control(
                source, Result.WEIGHT, copied, activation, unit_weight=True,
                constant_shift=constant,
            )  # fmt: skip
            places = [(rng.randrange(ROWS), rng.randrange(ROWS)) for _ in range(12)]
            places += [(row, row) for row in range(ROWS)]
            sums = [terms_of([Beat(0, at, of, n)]) for n, (at, of) in enumerate(places)]
            await bench.contract(ctx, control, sums)
            for (_, _, word), (at, of) in zip(trace.weights, places, strict=True):
                moved = dy[0, at] if source == Source.DELTA else 1 << constant
                wanted = difference(np.array([y[0, of] << align]), np.array([moved]), activation, f)
                assert signed_word(word, f.weight.width) == wanted[0]

    bench.run(test)


def test_subtraction() -> None:
    """Products of lane 0 that are subtracted; the constant of a bias."""
    rng, chip = Random(5), chip_of("environments", 2)
    f, bench = chip.formats, Bench(chip)
    assert chip.lane_subtracts
    x = drawn_samples(rng, 2, 8)

    async def test(ctx: Any) -> None:
        await bench.load(ctx, x)
        sums = []
        for n in range(8):
            beats = [
                Beat(of_any_magnitude(rng, 12), rng.randrange(ROWS), 0, n, subtract=k % 2 == 1)
                for k in range(4)
            ]
            sums.append(terms_of([Beat(rng.randint(-99, 99), 0, 0, n, bias=True), *beats]))
        index = 1
        control = Control(result=Result.WEIGHT, shift=index, constant_shift=max(chip.constants))
        ends = await bench.contract(ctx, control, sums)
        expected = []
        for n, (end, terms) in enumerate(zip(ends, sums, strict=True)):
            acc = sum(
                (-1) ** b.subtract
                * b.weight
                * (1 << max(chip.constants) if b.bias else x[0, b.operand])
                for b in terms
            )
            word, _ = requantize(np.array([acc]), chip.shifts[index], f.weight.width)
            expected.append((end + RESULT_STAGE, n, int(word[0])))
        assert [
            (cycle, at, signed_word(word, f.weight.width))
            for cycle, at, word in bench.trace.weights
        ] == expected

    bench.run(test)


@pytest.mark.parametrize("kind", ["environments", "forward"])
def test_samples_are_read_back(kind: str) -> None:
    """In the documented time."""
    rng, chip = Random(6), chip_of(kind, 5)
    bench = Bench(chip)
    x = drawn_samples(rng, 5, chip.formats.input.width)

    async def test(ctx: Any) -> None:
        await bench.load(ctx, x)
        ctx.set(bench.lanes.sample_read, 1)
        for _ in range(20):
            lane, row = rng.randrange(5), rng.randrange(ROWS)
            ctx.set(bench.lanes.sample_w.lane, lane)
            ctx.set(bench.lanes.sample_w.row, row)
            await ctx.tick().repeat(SAMPLE_READ_LATENCY)
            assert ctx.get(bench.lanes.sample) == x[lane, row]

    bench.run(test)
