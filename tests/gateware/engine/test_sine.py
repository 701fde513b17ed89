"""The sine unit against the golden model: alone, and with lanes that take turns."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from zerotrain.gateware.engine.sine import SharedSine, SineUnit
from zerotrain.golden.activations import activate
from zerotrain.spec.activations import Activation
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.formats import QFormat
from zerotrain.spec.sine import argument

from ...golden.test_activations import PREACTS, formats_with, operands


def chip_of(core: Core, preact: QFormat, lanes: int = 2) -> Chip:
    return Chip(
        lanes=lanes, core=core, cge=Cge.NONE, sine=True, formats=formats_with(preact),
        loss_ways=1, acc_width=48,
    )  # fmt: skip


@pytest.mark.parametrize("core", Core)
@pytest.mark.parametrize("preact", PREACTS, ids=str)
def test_every_kind_of_argument(preact: QFormat, core: Core) -> None:
    """One a cycle: every magnitude, both sides of interval ends and of the limits, both signs."""
    chip = chip_of(core, preact)
    unit, given = SineUnit(chip), operands(preact)
    wanted = activate(np.array(given), Activation.SINE, chip.formats).tolist()
    latency, found = chip.timing.sine_latency, []

    async def drive(ctx: Any) -> None:
        for word in given + [0] * latency:
            ctx.set(unit.argument, word)
            found.append(ctx.get(unit.value))
            await ctx.tick()

    sim = Simulator(unit)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    assert found[latency:] == wanted


@pytest.mark.parametrize(("lanes", "served"), [(1, 1), (3, 3), (8, 5), (8, 3), (64, 4)])
def test_lanes_take_turns(lanes: int, served: int) -> None:
    """As fast as may be, and with pauses: all sines are there in one cycle, which is that of the
    timing."""
    chip, rng = chip_of(Core.PIPELINED, QFormat(18, 15), lanes), np.random.default_rng(lanes)
    timing, fmt, unit = chip.timing, argument(chip.formats.preact), SharedSine(chip, served)
    starts = np.cumsum([0, *[timing.sine_apart] * 6, *rng.integers(timing.sine_apart, 20, 6)])
    words = {int(at): rng.integers(fmt.raw_min, fmt.raw_max + 1, served) for at in starts}
    found = {}

    async def drive(ctx: Any) -> None:
        for cycle in range(int(starts[-1]) + timing.sine_cycles + 1):
            ctx.set(unit.take, cycle in words)
            given = words.get(cycle, rng.integers(fmt.raw_min, fmt.raw_max + 1, served))
            for k, word in enumerate(given):
                ctx.set(unit.arguments[k], int(word))
            found[cycle] = [ctx.get(unit.values[k]) for k in range(served)]
            await ctx.tick()

    sim = Simulator(unit)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    for start, given in words.items():
        wanted = activate(given, Activation.SINE, chip.formats).tolist()
        assert found[start + timing.sine_cycles] == wanted
