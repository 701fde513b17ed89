"""Pieces of arithmetic that take their time, against the same in Python."""

from random import Random
from typing import Any

import pytest
from amaranth import Module, Signal, signed
from amaranth.sim import Simulator

from zerotrain.gateware.arithmetic import add_or_subtract, selected, selection_levels


@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17, 18, 64])
def test_selected(count: int) -> None:
    """A new choice every cycle, cleared or not; the words stand still."""
    rng = Random(count)
    words = [rng.getrandbits(9) for _ in range(count)]
    m = Module()
    index, clear, out = Signal(range(max(2, count))), Signal(), Signal(9)
    sources = [Signal(9, init=word) for word in words]
    m.d.comb += out.eq(selected(m, sources, index, "word", clear=clear))

    async def testbench(ctx: Any) -> None:
        expected: list[int] = []
        for _ in range(5 * count + 20):
            chosen, cleared = rng.randrange(count), rng.random() < 0.3
            ctx.set(index, chosen)
            ctx.set(clear, cleared)
            expected.append(0 if cleared else words[chosen])
            await ctx.tick()
            if len(expected) == selection_levels(count):
                assert ctx.get(out) == expected.pop(0)

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize(("total_width", "term_width"), [(8, 3), (12, 12), (33, 20)])
def test_add_or_subtract(total_width: int, term_width: int) -> None:
    """Every magnitude, the most negative words included."""
    rng = Random(total_width)
    m = Module()
    total, term, subtract = Signal(signed(total_width)), Signal(signed(term_width)), Signal()
    out = Signal(signed(total_width))
    m.d.comb += out.eq(add_or_subtract(total, term, subtract))

    def draw(width: int) -> int:
        low = -1 << (width - 1)
        return rng.choice((low, -low - 1, 0, -1, rng.randint(low, -low - 1)))

    async def testbench(ctx: Any) -> None:
        for _ in range(400):
            a, b, less = draw(total_width), draw(term_width), rng.getrandbits(1)
            ctx.set(total, a)
            ctx.set(term, b)
            ctx.set(subtract, less)
            exact = a - b if less else a + b
            half = 1 << (total_width - 1)
            assert ctx.get(out) == (exact + half) % (2 * half) - half

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()
