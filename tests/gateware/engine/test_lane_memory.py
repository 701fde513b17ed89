"""Memories beside the lanes against a plain array: parts, enables, latencies."""

from random import Random
from typing import Any

import pytest
from amaranth.sim import Simulator

from zerotrain.gateware.engine.lane_memory import LaneMemory

LATENCY = 3


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("lanes", [1, 8, 9, 10, 18])
def test_words(lanes: int, apart: bool) -> None:
    """Rows are answered after three cycles, and a row one cycle after its write with new words."""
    rng = Random(lanes)
    width, depth = rng.randint(1, 18), rng.randint(2, 40)
    dut = LaneMemory(lanes=lanes, width=width, depth=depth, apart=apart)
    memory = [[0] * lanes for _ in range(depth)]

    async def testbench(ctx: Any) -> None:
        pending: list[list[int] | None] = []
        following: tuple[int, list[int]] | None = None
        before: int | None = None
        for _ in range(300):
            # No row is asked for in the cycle of its write.
            write_row = rng.randrange(depth)
            enables = [rng.random() < 0.5 for _ in range(lanes)] if apart else [
                rng.random() < 0.5
            ] * lanes  # fmt: skip
            row = before if before is not None and rng.random() < 0.5 else rng.randrange(depth)
            if row == write_row:
                enables = [False] * lanes
            new = [rng.getrandbits(width) for _ in range(lanes)]
            ctx.set(dut.row, row)
            ctx.set(dut.write_row, write_row)
            ctx.set(dut.write, sum(e << k for k, e in enumerate(enables)) if apart else enables[0])
            if following is not None:
                ctx.set(dut.data, following[1])
            pending.append(list(memory[row]))
            for k, enable in enumerate(enables):
                if enable:
                    memory[write_row][k] = new[k]
            following, before = (write_row, new), write_row if any(enables) else None
            await ctx.tick()
            if len(pending) == LATENCY:
                expected = pending.pop(0)
                assert [int(ctx.get(dut.words[k])) for k in range(lanes)] == expected

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
