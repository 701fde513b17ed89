"""The common memory against plain arrays: what it keeps apart, and what is read when."""

from random import Random
from typing import Any

import pytest
from amaranth.sim import Simulator

from zerotrain.gateware.storage.common_memory import CommonMemory
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import Formats, QFormat


def chip_of(lanes: int, width: int, momentum: int) -> Chip:
    """A chip whose sample words have this width; samples, pre-activations and parameters are few,
    so that neighbouring rows are written."""
    frac = width - 2
    return Chip(
        lanes=lanes,
        formats=Formats(
            input=QFormat(width, min(frac, 6)),
            preact=QFormat(width, min(frac, 6)),
            momentum=QFormat(momentum, 5),
        ),
        cge=Cge.NONE,
        core=Core.COMPACT,
        store=Store.COMMON,
        sample_banks=1,
        loss_ways=1,
        sample_depth=9,
        preact_depth=6,
        parameter_depth=11,
    )


@pytest.mark.parametrize(
    ("lanes", "width", "momentum", "row"),
    [(8, 6, 24, 48), (5, 6, 16, 32), (3, 5, 13, 32), (8, 8, 9, 64), (7, 7, 32, 56), (1, 4, 8, 24)],
)
def test_words(lanes: int, width: int, momentum: int, row: int) -> None:
    """The host writes samples and parameters in any order, the engine rows of pre-activations, lane
    by lane; nothing changes but what is written."""
    chip = chip_of(lanes, width, momentum)
    assert chip.common_width == row
    assert (chip.preact_base, chip.training_base) == (9, 16)
    rng = Random(lanes)
    dut = CommonMemory(chip)
    rows = [[0] * lanes for _ in range(chip.preact_rows)]
    states = [[0, 0] for _ in range(chip.parameter_depth)]

    def signed(word: int, bits: int) -> int:
        return word - (word >> (bits - 1) << bits)

    async def write_sample(ctx: Any, index: int, lane: int, word: int) -> None:
        """As the register bank does: the place first, then the word."""
        ctx.set(dut.idle, 1)
        ctx.set(dut.sample_row, index)
        ctx.set(dut.sample_lane, lane)
        await ctx.tick()
        ctx.set(dut.sample_en, 1)
        ctx.set(dut.sample_data, word)
        await ctx.tick()
        ctx.set(dut.sample_en, 0)
        rows[index][lane] = word

    async def write_state(ctx: Any, index: int, theta: bool, word: int) -> None:
        """Parameter or momentum, by a unit or by the host."""
        name = "theta" if theta else "momentum"
        ctx.set(dut.idle, rng.randrange(2))
        ctx.set(dut.training, 1)
        ctx.set(dut.index, index)
        ctx.set(getattr(dut, f"{name}_en"), 1)
        ctx.set(getattr(dut, f"{name}_data"), word)
        await ctx.tick()
        ctx.set(getattr(dut, f"{name}_en"), 0)
        ctx.set(dut.training, 0)
        states[index][not theta] = word

    async def write_row(ctx: Any, index: int) -> None:
        """All lanes of a row of pre-activations; rows are read in between, and stay readable."""
        ctx.set(dut.idle, 0)
        for lane in range(lanes):
            word = rng.getrandbits(width)
            ctx.set(dut.lanes.en, 1)
            ctx.set(dut.lanes.write_row, index)
            ctx.set(dut.lanes.lane, lane)
            ctx.set(dut.lanes.word, word)
            await ctx.tick()
            rows[index][lane] = word
            ctx.set(dut.lanes.en, 0)
            if rng.random() < 0.3:
                await read_row(ctx, rng.choice([k for k in range(len(rows)) if k != index]))

    async def read_row(ctx: Any, index: int) -> None:
        ctx.set(dut.idle, 0)
        ctx.set(dut.lanes.row, index)
        await ctx.tick()
        assert [ctx.get(dut.lanes.words[k]) for k in range(lanes)] == rows[index]

    async def testbench(ctx: Any) -> None:
        for index in range(len(rows)):
            for lane in range(lanes):
                await write_sample(ctx, index % 9, lane, rng.getrandbits(width))
            await write_row(ctx, index)
        for index in range(len(states)):
            await write_state(ctx, index, True, rng.randrange(-(1 << 15), 1 << 15))
            await write_state(ctx, index, False, rng.randrange(-(1 << momentum - 1), 1 << 8 - 1))
        for _ in range(300):
            index = rng.randrange(chip.parameter_depth)
            match rng.randrange(4):
                case 0:
                    lane = rng.randrange(lanes)
                    await write_sample(ctx, rng.randrange(9), lane, rng.getrandbits(width))
                case 1:
                    await write_row(ctx, chip.preact_base + rng.randrange(6))
                case 2:
                    await write_state(ctx, index, True, rng.randrange(-(1 << 15), 1 << 15))
                case 3:
                    word = rng.randrange(-(1 << momentum - 1), 1 << momentum - 1)
                    await write_state(ctx, index, False, word)
            await read_row(ctx, rng.randrange(len(rows)))
            ctx.set(dut.training, 1)
            ctx.set(dut.index, index)
            await ctx.tick()
            assert [ctx.get(dut.theta), ctx.get(dut.momentum)] == states[index]
            ctx.set(dut.training, 0)
            ctx.set(dut.idle, 1)
            place = rng.randrange(9), rng.randrange(lanes)
            ctx.set(dut.sample_row, place[0])
            ctx.set(dut.sample_lane, place[1])
            await ctx.tick()
            assert ctx.get(dut.sample) == signed(rows[place[0]][place[1]], width)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_words_of_other_widths_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r'^With store = "common", samples and pre-activations share'
    ):
        Chip(
            lanes=8, formats=Formats(input=QFormat(6, 4)), cge=Cge.NONE, core=Core.COMPACT,
            store=Store.COMMON, sample_banks=1,
        )  # fmt: skip
    with pytest.raises(
        ValueError,
        match=r'^A chip with store = "common" has core = "compact", sample_banks = 1 and cge = '
        r'"forward" or "none", got core = "compact", sample_banks = 1 and cge = "environments"$',
    ):
        Chip(lanes=8, core=Core.COMPACT, store=Store.COMMON, sample_banks=1)
