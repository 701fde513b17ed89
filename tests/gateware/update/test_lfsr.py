"""The recurrence against the golden model."""

import random
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator

from zerotrain.gateware.update.lfsr import heal, lfsr_next
from zerotrain.golden.lfsr import heal as golden_heal
from zerotrain.golden.lfsr import step
from zerotrain.spec.lfsr import TAPS


@pytest.mark.parametrize("degree", sorted(TAPS))
def test_next_state(degree: int) -> None:
    m = Module()
    state, following, healed = Signal(degree), Signal(degree), Signal(degree)
    m.d.comb += [following.eq(lfsr_next(state)), healed.eq(heal(state))]
    rng = random.Random(degree)
    states = [1 << k for k in range(degree)] + [rng.getrandbits(degree) for _ in range(200)]
    states.append((1 << degree) - 1)

    async def testbench(ctx: Any) -> None:
        for value in states:
            ctx.set(state, value)
            assert (value & 1, ctx.get(following)) == step(value, degree)
            assert ctx.get(healed) == value
        ctx.set(state, 0)
        assert ctx.get(healed) == golden_heal(0, degree) == 1

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()
