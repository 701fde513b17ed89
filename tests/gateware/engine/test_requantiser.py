"""The shared requantiser against the golden model."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from zerotrain.gateware.engine.requantiser import Requantiser
from zerotrain.golden.fixed import requantize
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.formats import Formats
from zerotrain.spec.program import Result

Draw = Callable[..., Formats]

CYCLES = 400


def drawn_sum(rng: Random, chip: Chip, shift: int, width: int) -> int:
    """A sum, the half that rounds not included: of any magnitude, or about a clamp."""
    low, high = -(1 << (chip.acc_width - 1)), (1 << (chip.acc_width - 1)) - 1
    if rng.random() < 0.5:
        sign, bits = rng.choice((-1, 1)), rng.randint(0, chip.acc_width - 1)
        value = sign * rng.getrandbits(bits)
    else:
        extreme = rng.choice((-(1 << (width - 1)), (1 << (width - 1)) - 1)) + rng.randint(-2, 2)
        value = (extreme << shift) + rng.randint(-(1 << shift), 1 << shift)
    return max(low, min(high - (1 << shift >> 1), value))


@pytest.mark.parametrize("cge", [Cge.FORWARD, Cge.ENVIRONMENTS])
@pytest.mark.parametrize("seed", range(6))
def test_words(seed: int, cge: Cge, draw_formats: Draw) -> None:
    """A word a cycle after its sum, one per cycle; still until the next."""
    rng = Random(seed)
    formats = draw_formats(rng) if seed else Formats()
    while cge == Cge.FORWARD and not formats.cge_mu:
        formats = draw_formats(rng)
    chip = Chip(
        lanes=2, loss_ways=1, core=Core.COMPACT, formats=formats, cge=cge,
        acc_width=rng.choice((40, 48)),
    )  # fmt: skip
    dut = Requantiser(chip)
    widths = dict.fromkeys((Result.LOGIT, Result.DLOGIT), formats.logit.width) | {
        Result.SCRATCH: formats.lane_width,
        Result.PREACT: formats.preact.width,
        Result.WEIGHT: formats.weight.width,
    }

    async def drive(ctx: Any) -> None:
        seen = set()
        expected = 0, 0
        for cycle in range(CYCLES):
            kind, index = rng.choice(list(widths)), rng.randrange(len(chip.shifts))
            shift, take = chip.shifts[index], cycle < 2 or rng.random() < 0.8
            total = drawn_sum(rng, chip, shift, widths[kind])
            ctx.set(dut.take, take)
            ctx.set(dut.sum, total + (1 << shift >> 1))
            ctx.set(dut.shift, index)
            ctx.set(dut.result, kind)
            if take:
                word, clamped = requantize(np.array([total]), shift, widths[kind])
                expected = int(word[0]), int(clamped)
                seen.add((kind, clamped))
            await ctx.tick()
            assert (ctx.get(dut.word), ctx.get(dut.clamped)) == expected, (cycle, kind, total)
        # Neither side of any clamp was left out.
        assert {kind for kind, clamped in seen if not clamped} == set(widths)
        assert any(clamped for _, clamped in seen)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
