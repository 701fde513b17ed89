"""The sequencer against the loop nests that its programs stand for, and its documented cycles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from amaranth import Elaboratable, Module
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator

from zerotrain.compiler.contraction import Contract, Level, Loop, encode
from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.sequencer import Pace, Sequencer
from zerotrain.spec.program import LEAST_APART, MAX_LOOPS, STREAMS, Result, Source

Section = Sequence[Contract | Loop]

ADDRESS_BITS, ROW_BITS, SHIFTS = 11, 8, (0,)
FAR, NEAR = Pace(), Pace(registers=0)
#: Cycles without a beat between two contractions; what a loop adds at its start, for each trip, and
#: for each contraction that a trip passes over. From the sequencer's docstring.
GAP = {FAR: 8, NEAR: 6}
LOOP = {FAR: (5, 1, 4), NEAR: (4, 2, 3)}
ISSUE_LATENCY = {FAR: 5, NEAR: 3}

contract = Contract(
    summed=(), kept=(), start=(0, 0, 0, 0), source=Source.SCRATCH, result=Result.PREACT, shift=0
)


@dataclass(frozen=True)
class Beat:
    """A beat, and what it is: bias, first, last, evaluation, subtract."""

    address: tuple[int, ...]
    flags: tuple[bool, ...]


def turns(levels: Sequence[Level]) -> Iterator[tuple[int, ...]]:
    """All counters of a nest, innermost first."""
    if not levels:
        yield ()
        return
    for outer in range(levels[-1].count):
        for inner in turns(levels[:-1]):
            yield (*inner, outer)


def beats_of(item: Contract, start: Sequence[int]) -> Iterator[Beat]:
    """What a contraction stands for."""
    for kept in turns(item.kept):
        levels = item.kept[: item.evaluation_levels]
        complete = all(k == level.count - 1 for k, level in zip(kept, levels, strict=False))
        products = list(turns(item.summed))
        for n, summed in enumerate([products[0]] * item.bias + products):
            nest = zip((*item.summed, *item.kept), (*summed, *kept), strict=True)
            moved = [tuple(s * turn for s in level.strides) for level, turn in nest]
            address = tuple(
                sum(parts) % (1 << ADDRESS_BITS) for parts in zip(start, *moved, strict=True)
            )
            last = n == len(products) - 1 + item.bias
            bias = item.bias and n == 0
            subtracted = item.subtract and summed[-1] == 1
            yield Beat(address, (bias, n == 0, last, last and complete, subtracted))


def runs_of(section: Section) -> Iterator[tuple[Contract, list[Beat]]]:
    """Every run of a contraction, in order."""
    for item in section:
        if isinstance(item, Contract):
            yield item, list(beats_of(item, item.start))
            continue
        before = None
        for trip in turns([Level(count) for count in item.counts]):
            changed = max(
                (k for k in range(len(trip)) if before and trip[k] != before[k]), default=MAX_LOOPS
            )
            before = trip
            for inner in item.body:
                if changed >= inner.loop_level:
                    start = [
                        at + sum(turn * move for turn, move in zip(trip, moves, strict=False))
                        for at, moves in zip(inner.start, inner.moves, strict=True)
                    ]
                    yield inner, list(beats_of(inner, start))


class Bench(Elaboratable):
    """A sequencer with its program memory."""

    def __init__(self, rows: Sequence[int], pace: Pace, **options: Any) -> None:
        options = {"count_bits": 8, "subtracts": True} | options
        self.dut = Sequencer(ROW_BITS, ADDRESS_BITS, pace=pace, **options)
        self._memory = Memory(shape=64, depth=1 << ROW_BITS, init=[0, *rows])
        self._registers = pace.registers

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut, m.submodules.memory = self.dut, self._memory
        port = self._memory.read_port()
        m.d.comb += [
            port.addr.eq(self.dut.program.addr),
            self.dut.program.data.eq(pipe(m, port.data, self._registers, "row")),
        ]
        return m


@dataclass
class Trace:
    """What happened, by cycle since the start."""

    beats: list[tuple[int, Beat]] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    claims: list[tuple[int, str]] = field(default_factory=list)
    stalled: list[int] = field(default_factory=list)
    bad: int = 0
    issue_latency: int = 0
    end: int = 0

    def contractions(self, section: Section) -> list[list[int]]:
        """Cycles of the beats of every run of a contraction; all beats are what they must be."""
        found, left = [], list(self.beats)
        for _, wanted in runs_of(section):
            mine, left = left[: len(wanted)], left[len(wanted) :]
            assert [beat for _, beat in mine] == wanted
            found.append([cycle for cycle, _ in mine])
        assert not left
        return found


def run(
    rows: Sequence[int],
    pace: Pace,
    *,
    steer: Callable[[int, Trace], dict[str, int]] = lambda cycle, trace: {},
    deadline: int = 5000,
    **options: Any,
) -> Trace:
    """Run the section at row 1. ``steer`` says what inputs are in a cycle, all else is free."""
    bench = Bench(rows, pace, **options)
    dut, trace = bench.dut, Trace(issue_latency=bench.dut.issue_latency)
    free = dict.fromkeys(("ready", "drained", "base_free", "delta_free"), 1)

    async def drive(ctx: Any) -> None:
        ctx.set(dut.pc, 1)
        await ctx.tick()
        ctx.set(dut.start, 1)
        for cycle in range(deadline):
            for name, value in (free | steer(cycle, trace)).items():
                ctx.set(getattr(dut, name), value)
            beat = ctx.get(dut.beat)
            if beat["valid"]:
                address = ctx.get(dut.address)
                flags = ("bias", "first", "last", "evaluation", "subtract")
                found = Beat(
                    tuple(address[stream] for stream in STREAMS),
                    tuple(bool(beat[name]) for name in flags),
                )
                trace.beats.append((cycle, found))
            for name in ("base", "delta"):
                if ctx.get(getattr(dut, f"reserve_{name}")):
                    trace.claims.append((cycle, name))
            if ctx.get(dut.begins):
                trace.begins.append(cycle)
            if ctx.get(dut.stalled):
                trace.stalled.append(cycle)
            trace.bad += ctx.get(dut.bad_program)
            await ctx.tick()
            ctx.set(dut.start, 0)
            if not ctx.get(dut.busy):
                trace.end = cycle
                break
        else:
            pytest.fail("the sequencer does not finish")
        # Beats on their way.
        for cycle in range(trace.end + 1, trace.end + 10):
            assert not ctx.get(dut.beat)["valid"], cycle
            await ctx.tick()

    sim = Simulator(bench)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    return trace


def draw(rng: Random, *, loops: bool = False, **fields: Any) -> Contract:
    """A contraction of up to six levels; one in three has a bias."""

    def level(count: int) -> Level:
        return Level(count, *(rng.randint(0, 40) for _ in STREAMS))

    subtract = not fields and rng.random() < 0.3
    summed = [level(rng.randint(1, 3)) for _ in range(rng.randint(0, 2))]
    if subtract:
        summed.append(level(2))
    kept = tuple(level(rng.randint(1, 3)) for _ in range(rng.randint(0, 3)))
    made = replace(
        contract,
        summed=tuple(summed),
        kept=kept,
        start=(rng.randrange(500), rng.randrange(500), rng.randrange(500), rng.randrange(500)),
        bias=rng.random() < 0.3,
        subtract=subtract,
        evaluation_levels=rng.randint(0, len(kept)),
    )
    return replace(made, **fields)


def draw_loop(rng: Random) -> Loop:
    """Every offset moves with every counter."""
    counts = tuple(rng.randint(2, 3) for _ in range(rng.randint(1, 3)))

    def moves() -> tuple[int, ...]:
        return tuple(rng.randint(1, 30) for _ in counts)

    third = moves()
    body = [
        replace(
            draw(rng),
            moves=(moves() if k == 0 else (), moves() if k == 1 else (), third, third),
            loop_level=rng.randint(0, len(counts)) if k < 2 else 0,
        )
        for k in range(3)
    ]
    return Loop(counts, tuple(body))


@pytest.mark.parametrize("pace", [FAR, NEAR], ids=["far", "near"])
@pytest.mark.parametrize("seed", range(6))
def test_beats_and_gaps(seed: int, pace: Pace) -> None:
    """A beat per cycle, the documented gap between contractions."""
    rng = Random(seed)
    section = [draw(rng) for _ in range(4)]
    trace = run(encode(section, SHIFTS), pace)
    found = trace.contractions(section)
    assert len(trace.begins) == len(found)
    for cycles in found:
        assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
    assert [b[0] - a[-1] - 1 for a, b in pairwise(found)] == [GAP[pace]] * (len(found) - 1)


@pytest.mark.parametrize("pace", [FAR, NEAR], ids=["far", "near"])
@pytest.mark.parametrize("seed", range(6))
def test_loops(seed: int, pace: Pace) -> None:
    """Addresses of every trip, and what a loop adds to the gaps."""
    rng = Random(100 + seed)
    loop = draw_loop(rng)
    section: Section = [draw(rng), loop, draw(rng)]
    found = run(encode(section, SHIFTS), pace).contractions(section)
    runs = [made for made, _ in runs_of(section)]
    begin, trip, passed = LOOP[pace]
    extra = []
    for a, b in pairwise(runs):
        places = {id(inner): k for k, inner in enumerate(loop.body)}
        before, after = places.get(id(a)), places.get(id(b))
        if before is None:
            extra.append(begin)
        elif after is None:
            extra.append(0)
        elif before == len(loop.body) - 1:
            extra.append(trip + passed * after)
        else:
            extra.append(passed * (after - before - 1))
    gaps = [b[0] - a[-1] - 1 for a, b in pairwise(found)]
    assert gaps == [GAP[pace] + more for more in extra]


@pytest.mark.parametrize("pace", [FAR, NEAR], ids=["far", "near"])
def test_one_counter_of_a_loop(pace: Pace) -> None:
    """With one counter, all addresses but the operand's move."""
    body = replace(
        contract, summed=(Level(3, 1, 1, 1, 0),), kept=(), start=(1, 2, 3, 4),
        moves=((10,), (), (7,), (7,)),
    )  # fmt: skip
    section = [Loop((4,), (body,))]
    run(encode(section, SHIFTS), pace, loop_counters=1).contractions(section)


@pytest.mark.parametrize("pace", [FAR, NEAR], ids=["far", "near"])
@pytest.mark.parametrize("seed", range(3))
def test_ready_and_drained(seed: int, pace: Pace) -> None:
    """A beat comes ``issue_latency`` after the decision; a contraction begins as ``drained`` is
    told."""
    rng = Random(200 + seed)
    section = [draw(rng) for _ in range(3)]
    ready = [rng.random() < 0.6 for _ in range(5000)]
    drained = [rng.random() < 0.1 for _ in range(5000)]
    trace = run(
        encode(section, SHIFTS), pace,
        steer=lambda cycle, _: {"ready": ready[cycle], "drained": drained[cycle]},
    )  # fmt: skip
    found, latency = trace.contractions(section), ISSUE_LATENCY[pace]
    assert trace.issue_latency == latency
    for begin, cycles in zip(trace.begins, found, strict=True):
        assert drained[begin]
        decided = [cycle for cycle in range(begin + 1, cycles[-1]) if ready[cycle]]
        assert cycles == [cycle + latency for cycle in decided[: len(cycles)]]


@pytest.mark.parametrize("pace", [FAR, NEAR], ids=["far", "near"])
@pytest.mark.parametrize("result", [Result.LOGIT, Result.DLOGIT])
@pytest.mark.parametrize("seed", range(3))
def test_credit(seed: int, result: Result, pace: Pace) -> None:
    """The first beat of each evaluation claims a buffer: where one was free in the cycle before,
    and none was claimed in it."""
    rng = Random(300 + seed)
    kept = (Level(rng.randint(1, 2), 1, 1, 1, 1), Level(5, 9, 9, 9, 9))
    section = [draw(rng, kept=kept, result=result, evaluation_levels=1, subtract=False)]
    name, other = ("base", "delta") if result == Result.LOGIT else ("delta", "base")
    free = [rng.random() < 0.4 for _ in range(5000)]
    trace = run(
        encode(section, SHIFTS), pace,
        steer=lambda cycle, _: {f"{name}_free": free[cycle], f"{other}_free": 0},
    )  # fmt: skip
    (cycles,) = trace.contractions(section)
    (begin,) = trace.begins
    claims = [cycle for cycle, of in trace.claims if of == name]
    assert len(claims) == len(trace.claims) == kept[1].count
    decided = [cycle - ISSUE_LATENCY[pace] for cycle in cycles]
    share = len(decided) // kept[1].count
    assert claims == decided[::share]
    # Every beat comes in the first cycle in which it may.
    stalls, now = [], begin
    for k, cycle in enumerate(decided):
        now += 1
        while k % share == 0 and (not free[now - 1] or now - 1 in claims):
            stalls.append(now)
            now += 1
        assert cycle == now
    assert trace.stalled == stalls


@pytest.mark.parametrize("words", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_words_that_leave_one_by_one(seed: int, single: bool, words: int) -> None:
    """Sums end so far apart that all words of one have left, and the cycle after each has no
    beat."""
    rng = Random(400 + seed)
    kinds = (
        {"result": Result.WEIGHT},
        {"result": Result.SCRATCH, "source": Source.CONSTANT},
    )
    fields: dict[str, Any] = kinds[seed] if single else {"result": Result.SCRATCH}
    section = [
        draw(rng, summed=(Level(terms, 1, 2, 3, 0),), kept=(Level(4, 5, 6, 7, 8),), **fields)
        for terms in (1, 2, words, words + 3)
    ]
    pace = Pace(registers=0, words=words)
    apart = LEAST_APART if single else max(words, LEAST_APART)
    found = run(encode(section, SHIFTS), pace).contractions(section)
    for item, cycles in zip(section, found, strict=True):
        ends = cycles[item.terms - 1 :: item.terms]
        assert {b - a for a, b in pairwise(ends)} == {max(item.terms + 1, apart)}
        assert not {end + 1 for end in ends} & set(cycles)
        # The plan counts the same.
        assert cycles[-1] - cycles[0] + 1 == item.beats + item.pauses(words)


@pytest.mark.parametrize("sines", [1, 3, 5])
def test_sums_whose_sines_are_wanted(sines: int) -> None:
    """They end so far apart, others as near as their products are."""
    rng = Random(420 + sines)
    section = [
        draw(rng, summed=(Level(terms, 1, 2, 3, 0),), kept=(Level(4, 5, 6, 7, 8),),
             result=Result.PREACT, bias=False, sine=sine)
        for terms in (1, 2, sines, sines + 2)
        for sine in (True, False)
    ]  # fmt: skip
    found = run(encode(section, SHIFTS), Pace(sines=sines)).contractions(section)
    for item, cycles in zip(section, found, strict=True):
        ends = cycles[item.terms - 1 :: item.terms]
        assert {b - a for a, b in pairwise(ends)} == {max(item.terms, sines * item.sine)}
        assert cycles[-1] - cycles[0] + 1 == item.beats + item.turns(sines)


@pytest.mark.parametrize("pace", [FAR, NEAR], ids=["far", "near"])
def test_what_is_no_instruction(pace: Pace) -> None:
    """It ends the section; so does a loop where there are none."""
    first = replace(contract, summed=(Level(3, 1, 1, 1, 1),))
    rows = encode([first], SHIFTS)
    trace = run([*rows[:-1], 3], pace)
    assert (len(trace.beats), trace.bad) == (3, 1)
    assert run(rows, pace).bad == 0
    loop = encode([Loop((2,), (first,))], SHIFTS)
    trace = run(loop, pace, loops=False)
    assert (len(trace.beats), trace.bad) == (0, 1)
    assert len(run(loop, pace).beats) == 2 * 3
