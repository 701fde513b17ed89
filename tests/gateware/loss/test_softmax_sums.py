"""The two halves of the softmax against the golden functions, each number in its cycle."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth import Module
from amaranth.sim import Simulator

from zerotrain.gateware.loss.interpolate import FRACTION, Interpolator
from zerotrain.gateware.loss.softmax_sums import Logarithm, SoftmaxSums
from zerotrain.golden.loss import exp2, fine_logits, log2, reference
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.tables import EXP2, LN2, LN2_BITS, LOG2, LOG2E

Draw = Callable[..., Formats]
Ints = np.ndarray

PERIOD = 1e-6
FULL = (1 << 32) - 1
MASK = (1 << FRACTION) - 1
#: Distances beyond this are clamped, and their argument does not matter.
EXPONENT_MAX = 1 << 25


@dataclass
class Element:
    """An output of all ways, in one cycle."""

    find: bool
    base: bool
    first: bool
    last: bool
    match: list[int]
    word: list[int]
    kept: list[int]
    # What must come of it, by way.
    keep: list[int]
    hit: list[int]  # of the maximum so far
    head: list[int]
    argument: list[int | None]
    total: list[int]  # with the last one
    full: list[int]


def words(rng: Random, fmt: QFormat, shape: tuple[int, int]) -> Ints:
    """Words of one magnitude, from 2 bits to the full width."""
    top = 1 << (rng.randint(2, fmt.width) - 1)
    return np.array(
        [[rng.randint(-top, top - 1) for _ in range(shape[1])] for _ in range(shape[0])]
    )


def group(rng: Random, f: Formats, ways: int, n: int, z: Ints, base: bool) -> list[Element]:
    """One evaluation of the lanes of a group; ``z`` is int64[ways, n]."""
    dz = None if base else words(rng, f.dlogit, (ways, n))
    # Some lanes have no sample: none of their outputs is the true one.
    labels = [rng.randint(0, n - 1) if rng.random() < 0.8 else n for _ in range(ways)]
    d = fine_logits(z, f, dz) - reference(z, f)[:, None]
    exponent = (d * LOG2E) >> 14
    total = exp2(exponent).sum(axis=-1)
    keep = z.max(axis=-1, keepdims=True) - z
    out: list[Element] = []
    for finding in (True, False) if base else (False,):
        for c in range(n):
            best = z[:, : c + 1].argmax(axis=-1)
            out.append(
                Element(
                    finding, base, c == 0, c == n - 1,
                    [int(label == c) for label in labels],
                    (z if base else dz)[:, c].tolist(),  # type: ignore[index]
                    [rng.getrandbits(4) if base else int(k) for k in keep[:, c]],
                    keep[:, c].tolist(),
                    [int(best[k] == labels[k]) for k in range(ways)],
                    [int(d[k, labels[k]]) if labels[k] <= c else 0 for k in range(ways)],
                    [int(t) & MASK if abs(x) < EXPONENT_MAX else None
                     for t, x in zip(exponent[:, c], d[:, c], strict=True)],
                    np.minimum(total, FULL).tolist(),
                    (total > FULL).astype(int).tolist(),
                )
            )  # fmt: skip
    return out


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_sums(seed: int, differences: bool, gaps: bool, draw_formats: Draw) -> None:
    """Groups in a row, of base evaluations alone or with differences after them."""
    rng = Random(f"{seed} {differences} {gaps}")
    f = draw_formats(rng, 20) if seed else Formats()
    ways, n = rng.randint(1, 5), rng.choice([2, 3, rng.randint(2, 16), 64])
    chip = Chip(lanes=8, loss_ways=ways, formats=f, output_depth=64)
    elements: list[Element | None] = []
    for _ in range(rng.randint(2, 6)):
        z = words(rng, f.logit, (ways, n))
        if rng.random() < 0.3:  # ties: the first largest logit counts
            z[:, rng.randrange(n)] = z.max(axis=-1)
        for base in [True] + [False] * (rng.randint(0, 3) if differences else 0):
            for e in group(rng, f, ways, n, z, base):
                elements += [None] * (rng.choice([0, 0, 0, 1, 4]) if gaps else 0)
                elements.append(e)

    m = Module()
    m.submodules.dut = dut = SoftmaxSums(chip)
    for k in range(ways):
        m.submodules[f"interpolator{k}"] = unit = Interpolator(EXP2)
        m.d.comb += [unit.argument.eq(dut.argument[k]), dut.value[k].eq(unit.value)]
    assert (dut.REQUEST, dut.LATENCY) == (6, 13)
    lead = Logarithm.LEAD + 1
    lines = elements + [None] * (dut.LATENCY + 2)

    def before(cycle: int, age: int) -> Element | None:
        return lines[cycle - age] if cycle >= age else None

    async def testbench(ctx: Any) -> None:
        for cycle, e in enumerate(lines):
            ctx.set(dut.find, bool(e and e.find))
            ctx.set(dut.valid, bool(e and not e.find))
            if e:
                for name in ("first", "last", "base"):
                    ctx.set(getattr(dut, name), getattr(e, name))
                for k in range(ways):
                    ctx.set(dut.match[k], e.match[k])
                    ctx.set(dut.word[k], e.word[k])
                    ctx.set(dut.kept[k], e.kept[k])
            past = before(cycle, 1)
            if past and past.find:
                assert [ctx.get(dut.maximum_hit[k]) for k in range(ways)] == past.hit
            elif past:
                assert [ctx.get(dut.keep[k]) for k in range(ways)] == past.keep
            past = before(cycle, 3)
            if past and not past.find:
                assert [ctx.get(dut.head[k]) for k in range(ways)] == past.head
            past = before(cycle, dut.REQUEST)
            assert ctx.get(dut.request) == bool(past and not past.find)
            if past and not past.find:
                for k, argument in enumerate(past.argument):
                    assert argument in (None, ctx.get(dut.argument[k]))
            past = before(cycle, dut.REQUEST - lead)
            assert ctx.get(dut.soon) == bool(past and not past.find)
            past = before(cycle, dut.LATENCY)
            complete = bool(past and not past.find and past.last)
            assert ctx.get(dut.done) == complete
            if past and complete:
                assert [ctx.get(dut.total[k]) for k in range(ways)] == past.total
                assert [ctx.get(dut.full[k]) for k in range(ways)] == past.full
            await ctx.tick()

    sim = Simulator(m)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, which takes a cycle per element


def test_logarithm() -> None:
    """A sum in every cycle, of every length; nothing and the largest sum too."""
    rng = Random(1)
    totals = [0, 1, FULL, 1 << 20, 1 << 31, (1 << 20) - 1]
    totals += [rng.getrandbits(bits) | 1 << (bits - 1) for bits in range(1, 33) for _ in range(8)]
    rng.shuffle(totals)
    expected = ((log2(np.array(totals)) * LN2) >> LN2_BITS).tolist()
    m = Module()
    m.submodules.dut = dut = Logarithm()
    assert (dut.LEAD, dut.latency) == (3, 10)
    m.submodules.interpolator = unit = Interpolator(LOG2)
    m.d.comb += [unit.argument.eq(dut.argument), dut.value.eq(unit.value)]

    async def testbench(ctx: Any) -> None:
        for cycle in range(len(totals) + dut.latency):
            if cycle < len(totals):
                ctx.set(dut.total, totals[cycle])
            if 0 <= cycle - dut.LEAD < len(totals):
                s = totals[cycle - dut.LEAD]
                below = s << (32 - s.bit_length()) & 0x7FFFFFFF  # the leading bit
                assert ctx.get(dut.argument) == below >> (31 - FRACTION)
            if cycle >= dut.latency:
                assert ctx.get(dut.result) == expected[cycle - dut.latency]
            await ctx.tick()

    sim = Simulator(m)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, which takes a cycle per sum
