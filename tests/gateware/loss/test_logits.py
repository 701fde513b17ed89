"""The walk over the logits: its elements, and the cycles in which they leave."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from amaranth import Cat
from amaranth.sim import Simulator

from zerotrain.gateware.arithmetic import selection_levels
from zerotrain.gateware.loss.logits import DifferenceSweep, LogitSweep
from zerotrain.spec.chip import Chip

PERIOD = 1e-6
KEPT = 9


@dataclass
class Evaluation:
    base: bool
    words: list[list[int]]  # by output and lane, zero where the evaluation does not write
    outputs: list[int]  # those that are written, in this order
    kept: list[list[int]]  # what the unit under test is told to keep of it


@dataclass
class Case:
    chip: Chip
    twice: bool
    n_outputs: int
    turns: int
    active: int
    target_row: int
    evaluations: list[Evaluation]

    @property
    def groups(self) -> int:
        return -(-self.active // self.chip.loss_ways)

    def cycles(self, e: Evaluation) -> int:
        """Of a sweep, as the docstring promises."""
        again = self.n_outputs if e.base and self.twice else 0
        return self.groups * (self.turns + again)

    def elements(self, e: Evaluation, kept: Evaluation | None) -> Iterator[dict[str, Any] | None]:
        """What every turn of a sweep brings; ``kept`` is the last base evaluation."""
        ways, row = self.chip.loss_ways, self.target_row
        for g in range(self.groups):
            lanes = range(g * ways, min((g + 1) * ways, self.active))
            for finding in (True, False) if e.base and self.twice else (False,):
                for turn in range(self.n_outputs if finding else self.turns):
                    if turn >= self.n_outputs:
                        yield None
                        continue
                    yield {
                        "find": int(finding), "valid": int(not finding), "base": int(e.base),
                        "first": int(turn == 0), "last": int(turn == self.n_outputs - 1),
                        "end": int(g == self.groups - 1), "index": turn, "row": row,
                        "active": (1 << len(lanes)) - 1,
                        "word": [e.words[turn][lane] for lane in lanes],
                        "kept": [kept.kept[turn][lane] for lane in lanes] if kept else None,
                    }  # fmt: skip
                    row += 0 if self.twice else 1
            row += 1 if self.twice else 0


@dataclass
class Seen:
    """What a simulation saw, by cycle."""

    completed: list[int] = field(default_factory=list)  # last write
    started: list[int] = field(default_factory=list)
    reserved: list[int] = field(default_factory=list)
    may_start: list[bool] = field(default_factory=list)
    drained: list[bool] = field(default_factory=list)
    held: list[tuple[int, int]] = field(default_factory=list)  # free, busy
    elements: dict[int, dict[str, Any]] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)


def draw_case(rng: Random, sweep: type[LogitSweep]) -> Case:
    lanes = rng.choice([1, 2, rng.randint(1, 20)])
    n_outputs = rng.choice([2, 3, rng.randint(2, 16), rng.choice([33, 64])])
    chip = Chip(
        lanes=lanes,
        loss_ways=rng.randint(1, min(5, lanes)),
        output_depth=1 << (n_outputs - 1).bit_length(),
        target_depth=2048,
    )
    f = chip.formats
    evaluations: list[Evaluation] = []
    for _ in range(rng.randint(3, 9)):
        base = not evaluations or sweep is LogitSweep or rng.random() < 0.3
        width = rng.randint(2, (f.logit if base else f.dlogit).width)
        top = 1 << (width - 1)
        outputs = rng.sample(range(n_outputs), n_outputs if base else rng.randint(1, n_outputs))
        words = [[rng.randint(-top, top - 1) for _ in range(lanes)] for _ in range(n_outputs)]
        for c in set(range(n_outputs)) - set(outputs):
            words[c] = [0] * lanes
        kept = [[rng.getrandbits(KEPT) for _ in range(lanes)] for _ in range(n_outputs)]
        evaluations.append(Evaluation(base, words, outputs, kept))
    turns = n_outputs + rng.choice([0, 1, rng.randint(0, 5)])
    active = rng.choice([lanes, rng.randint(1, lanes)])
    return Case(chip, rng.random() < 0.5, n_outputs, turns, active, rng.randint(0, 99), evaluations)


def simulate(rng: Random, case: Case, sweep: type[LogitSweep], *, gaps: bool) -> Seen:
    chip, seen = case.chip, Seen()
    width, lanes = chip.formats.logit.width, chip.lanes
    dut = sweep(chip, twice=case.twice, outputs_per_row=not case.twice, kept_width=KEPT)
    assert dut.latency == 2 + selection_levels(-(-lanes // chip.loss_ways))
    words, kept = Cat(*dut.word), Cat(*dut.kept)

    def lane_words(packed: int, count: int, *, signed: bool, bits: int) -> list[int]:
        parts = [packed >> k * bits & ((1 << bits) - 1) for k in range(count)]
        return [p - (1 << bits) if signed and p >> (bits - 1) else p for p in parts]

    async def testbench(ctx: Any) -> None:
        for name in ("n_outputs", "turns", "target_row"):
            ctx.set(getattr(dut, name), getattr(case, name))
        ctx.set(dut.active_lanes, case.active)
        await ctx.tick().repeat(2)
        waiting = list(case.evaluations)
        writes: list[tuple[Evaluation, int, bool]] = []
        swept: list[Evaluation] = []
        left, group, busy_until, data, end = 0, 0, 0, 0, None
        total = sum(map(case.cycles, case.evaluations))
        for cycle in range(30 * total + 2000):
            # Reserved in any cycle with room, written afterwards: one output per cycle.
            reserve = bool(waiting and ctx.get(dut.free) and (not gaps or rng.random() < 0.5))
            ctx.set(dut.reserve, reserve)
            ctx.set(dut.logits.data, data)
            ctx.set(dut.logits.en, 0)
            if writes and (not gaps or rng.random() < 0.7):
                e, c, last = writes.pop(0)
                ctx.set(dut.logits.en, 1)
                ctx.set(dut.logits.delta, not e.base)
                ctx.set(dut.logits.index, c)
                ctx.set(dut.logits.last, last)
                data = sum((w & ((1 << width) - 1)) << k * width for k, w in enumerate(e.words[c]))
                if last:
                    seen.completed.append(cycle)
            if reserve:
                seen.reserved.append(cycle)
                e = waiting.pop(0)
                writes += [(e, c, c == e.outputs[-1]) for c in e.outputs]
            may_start = not (gaps and rng.random() < 0.3)
            ctx.set(dut.stall, not may_start)
            drained = left == len(swept) and cycle >= busy_until
            ctx.set(dut.drained, drained)
            seen.may_start.append(may_start)
            seen.drained.append(drained)
            seen.held.append((ctx.get(dut.free), ctx.get(dut.busy)))
            seen.rows.append(ctx.get(dut.target_addr))
            if ctx.get(dut.started):
                seen.started.append(cycle)
                swept.append(case.evaluations[len(swept)])
            keep = [rng.getrandbits(KEPT) for _ in range(chip.loss_ways)]
            if ctx.get(dut.find) or ctx.get(dut.valid):
                names = ("find", "valid", "base", "first", "last", "end", "index", "active")
                found: dict[str, Any] = {n: ctx.get(getattr(dut, n)) for n in names}
                count = found["active"].bit_count()
                found["word"] = lane_words(ctx.get(words), count, signed=True, bits=width)
                found["kept"] = lane_words(ctx.get(kept), count, signed=False, bits=KEPT)
                seen.elements[cycle] = found
                e = case.evaluations[left]
                start = group * chip.loss_ways
                if found["valid"] and e.base:
                    own = e.kept[found["index"]][start : start + chip.loss_ways]
                    keep[: len(own)] = own
                group += found["valid"] and found["last"]
                if found["valid"] and found["last"] and found["end"]:
                    left, group = left + 1, 0
                    # What is to be kept is handed back in the next cycle.
                    busy_until = cycle + 2
            await ctx.tick()
            for k, word in enumerate(keep):
                ctx.set(dut.keep[k], word)
            if left == len(case.evaluations) and end is None:
                end = cycle + 20
            if cycle == end:
                return
        raise AssertionError("The sweep does not end")

    sim = Simulator(dut)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, whose loop has a deadline
    return seen


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("sweep", [LogitSweep, DifferenceSweep])
@pytest.mark.parametrize("seed", range(8))
def test_cycles(seed: int, sweep: type[LogitSweep], gaps: bool) -> None:
    """Every element in its cycle and no other; starts, claims and rows of targets in theirs."""
    rng = Random(f"{seed} {sweep.__name__} {gaps}")
    case = draw_case(rng, sweep)
    seen = simulate(rng, case, sweep, gaps=gaps)
    latency = 2 + selection_levels(-(-case.chip.lanes // case.chip.loss_ways))

    expected: dict[int, dict[str, Any]] = {}
    started, ends = list[int](), list[int]()
    kept = None
    for number, e in enumerate(case.evaluations):
        # The turn after the start is 2 cycles after the last write at the soonest.
        start = max([seen.completed[number] + 1, *ends[-1:]])
        after_base = number and case.evaluations[number - 1].base
        while not seen.may_start[start] or (after_base and not seen.drained[start]):
            start += 1
        started.append(start)
        ends.append(start + case.cycles(e))
        elements = list(case.elements(e, None if e.base else kept))
        assert len(elements) == case.cycles(e)
        for turn, element in enumerate(elements):
            if element:
                expected[start + 1 + turn + latency] = element
        kept = e if e.base else kept
    assert seen.started == started
    for cycle, element in expected.items():
        row, told = element.pop("row"), element.pop("kept")
        found = dict(seen.elements[cycle])
        assert told in (None, found.pop("kept"))
        found.pop("kept", None)
        assert found == element
        assert seen.rows[cycle - 1] == row
    assert set(seen.elements) == set(expected)
    for cycle, claims in enumerate(seen.held):
        held = sum(t < cycle for t in seen.reserved) - sum(t < cycle for t in ends)
        assert claims == (held < 2, held > 0)


def test_back_to_back() -> None:
    """Evaluations of differences that wait are swept without a pause between them."""
    rng = Random(2)
    case = draw_case(rng, DifferenceSweep)
    while case.cycles(case.evaluations[-1]) < 2 * case.n_outputs + 4:
        case = draw_case(rng, DifferenceSweep)
    first, *_ = case.evaluations
    difference = Evaluation(False, first.words, list(range(case.n_outputs)), first.kept)
    case.evaluations = [first, *[difference] * 5]
    started = simulate(rng, case, DifferenceSweep, gaps=False).started
    turns = case.groups * case.turns
    assert [b - a for a, b in zip(started[2:], started[3:], strict=False)] == [turns] * 3
