"""The weight memory against a plain array: banks, segments, the merge unit's copy, latencies."""

from random import Random
from typing import Any

import pytest
from amaranth.sim import Simulator

from zerotrain.gateware.storage.weights import (
    FACTOR_LATENCY,
    WeightMemory,
    weight_latency,
)
from zerotrain.spec.chip import Chip
from zerotrain.spec.memories import segments


@pytest.mark.parametrize(
    ("depth", "parts"),
    [
        (2, [2]),
        (1024, [1024]),
        (1025, [1025]),
        (2049, [2048, 1]),
        (5306, [4096, 1210]),
        (13149, [8192, 4096, 861]),
        (16384, [16384]),
        (16385, [16384, 1]),
    ],
)
def test_segments(depth: int, parts: list[int]) -> None:
    assert segments(depth) == parts
    assert sum(-(-part // 1024) for part in parts) == -(-depth // 1024)


def corners(depth: int, rng: Random) -> list[int]:
    """Addresses at both ends of every segment, and others."""
    ends = [sum(segments(depth)[:k]) for k in range(len(segments(depth)))]
    drawn = [rng.randrange(depth) for _ in range(30)]
    return sorted({0, depth - 1, *ends, *(end - 1 for end in ends if end), *drawn})


@pytest.mark.parametrize("banked", [False, True])
@pytest.mark.parametrize(
    ("weight_depth", "merge_depth"), [(600, 0), (2 * 2049, 2049), (2 * 7200, 5306), (64, 20)]
)
def test_words(weight_depth: int, merge_depth: int, banked: bool) -> None:
    """Words and their copy, from the first address on that may read them."""
    rng = Random(weight_depth)
    chip = Chip(
        lanes=1, loss_ways=1, parameter_depth=2, merge_depth=merge_depth, weight_depth=weight_depth
    )
    dut = WeightMemory(chip)
    area = weight_depth // 2 if banked and merge_depth else weight_depth
    addresses = corners(area, rng)
    factors = [a for a in addresses if a < merge_depth]
    banks: list[dict[int, int]] = [{}, {}]

    async def read(ctx: Any, name: str, latency: int, asked: list[int]) -> list[int]:
        """One word per cycle."""
        port, words = getattr(dut, name), []
        for k in range(len(asked) + latency):
            if k < len(asked):
                ctx.set(port.addr, asked[k])
            if k >= latency:
                words.append(ctx.get(port.data))
            await ctx.tick()
        return words

    async def write(ctx: Any, address: int, word: int) -> None:
        ctx.set(dut.write.en, 1)
        ctx.set(dut.write.addr, address)
        ctx.set(dut.write.data, word)
        await ctx.tick()
        ctx.set(dut.write.en, 0)
        ctx.set(dut.write.addr, rng.randrange(area))

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.banked, banked)
        for bank in (0, 1, 0) if banked and merge_depth else (0,):
            kept = banks[bank]
            ctx.set(dut.write_bank, bank)
            for address in rng.sample(addresses, len(addresses)):
                kept[address] = rng.randint(-(1 << 15), (1 << 15) - 1)
                await write(ctx, address, kept[address])
            # What was written last, as soon as may be.
            ctx.set(dut.read_bank, bank)
            assert await read(ctx, "read", weight_latency(chip), [address]) == [kept[address]]
            for half in (0, 1):
                ctx.set(dut.read_bank, half)
                words = banks[half if banked and merge_depth else 0]
                if words:
                    asked = rng.sample(addresses, len(addresses))
                    expected = [words[a] for a in asked]
                    assert await read(ctx, "read", weight_latency(chip), asked) == expected
            for name in ("left", "right") if merge_depth else ():
                last = rng.choice(factors)
                kept[last] = rng.randint(-(1 << 15), (1 << 15) - 1)
                await write(ctx, last, kept[last])
                # The copy takes the ports for the cycle that follows.
                await ctx.tick()
                asked = [last, *rng.sample(factors, len(factors))]
                got = await read(ctx, name, FACTOR_LATENCY, asked)
                assert got == [kept[a] for a in asked]

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
