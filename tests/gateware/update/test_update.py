"""The update unit against the golden model."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth import Module, signed
from amaranth.sim import Simulator

from zerotrain.gateware.update.pipelined_update import PipelinedUpdate
from zerotrain.gateware.update.serial_update import SerialUpdate
from zerotrain.golden.fixed import Flags
from zerotrain.golden.lfsr import bits
from zerotrain.golden.update import cge_gradient, differences, rge_gradient, update
from zerotrain.spec.chip import COEFFICIENT_WORD, Chip, Core
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.lfsr import TAPS
from zerotrain.spec.registers import Baseline, Saturation, UpdateRule
from zerotrain.spec.step import StepSettings

Attach = Callable[..., Any]
Draw = Callable[..., Formats]

Unit = type[PipelinedUpdate] | type[SerialUpdate]

PERIOD = 1e-6
DEPTH = 32
COEFFICIENT = QFormat(COEFFICIENT_WORD, 0)


def word(rng: Random, fmt: QFormat) -> int:
    """A value of any magnitude, now and then a corner."""
    if rng.random() < 0.05:
        return rng.choice([fmt.raw_min, fmt.raw_max, 0, -1])
    return rng.randint(fmt.raw_min, fmt.raw_max) >> rng.randrange(fmt.width)


def draw_settings(rng: Random, chip: Chip) -> StepSettings:
    baseline = rng.choice(list(Baseline))
    few = 2 if baseline == Baseline.MEAN else 1
    return StepSettings(
        queries=rng.choice([few, chip.query_depth, rng.randint(few, chip.query_depth)]),
        baseline=baseline,
        update_rule=rng.choice(list(UpdateRule)),
        gradient_shift=rng.choice([0, 31, rng.randrange(32), rng.randrange(12)]),
        decay=rng.choice([0, 15, rng.randrange(16)]),
        step_mantissa=rng.choice([0, 255, rng.randrange(256), rng.randrange(16)]),
        step_shift=rng.choice([0, 31, rng.randrange(32), rng.randrange(12)]),
    )


@pytest.mark.parametrize("unit", [PipelinedUpdate, SerialUpdate])
@pytest.mark.parametrize("seed", range(10))
def test_steps(seed: int, unit: Unit, attach: Attach, draw_formats: Draw) -> None:
    """Drawn steps in a row: parameters, momentum, flags and cycle counts. Chips that split their
    steps do some with coefficients."""
    rng = Random(seed)
    chip = Chip(
        lanes=1,
        loss_ways=1,
        formats=draw_formats(rng) if seed else Formats(),
        parameter_depth=DEPTH,
        evaluation_depth=DEPTH + 1,
        query_depth=rng.choice([2, 7, 12, 16]),
        lfsr_degree=rng.choice(sorted(TAPS)),
        core=Core.COMPACT if unit is SerialUpdate else Core.PIPELINED,
        split=seed % 2 == 1,
    )
    f = chip.formats
    state = [rng.getrandbits(chip.lfsr_degree) | 1 for _ in range(chip.query_depth)]
    m = Module()
    m.submodules.dut = dut = unit(chip)
    ports = {"theta": (f.weight, DEPTH), "momentum": (f.momentum, DEPTH)}
    memories = {
        name: attach(
            m, name, signed(fmt.width), depth, [],
            read=getattr(dut, name), write=getattr(dut, f"{name}_w"),
            latency=chip.timing.read_latency,
        )
        for name, (fmt, depth) in ports.items()
    }  # fmt: skip
    losses = attach(
        m, "losses", dut.losses.data.shape(), chip.loss_rows, [],
        read=dut.losses, write=dut.difference_w if chip.keeps_differences else None,
        latency=chip.timing.read_latency,
    )  # fmt: skip
    seen = 0

    async def step(ctx: Any, cge: bool, given: bool) -> None:
        settings = draw_settings(rng, chip)
        d = rng.choice([1, 2, 3, rng.randint(1, DEPTH)])
        count = d + 1 if cge else settings.queries + (settings.baseline == Baseline.BASE)
        old = {n: np.array([word(rng, fmt) for _ in range(d)]) for n, (fmt, _) in ports.items()}
        values = np.array([word(rng, f.loss) for _ in range(count)])
        for name, words in old.items():
            for p in range(d):
                ctx.set(memories[name].data[p], int(words[p]))
        for e in range(count):
            ctx.set(losses.data[e], int(values[e]))
        coefficients = np.array([word(rng, COEFFICIENT) for _ in range(settings.queries)])
        for q in range(settings.queries * given):
            ctx.set(losses.data[chip.difference_row + q], int(coefficients[q]))

        if cge:
            gradient = cge_gradient(values)
        else:
            streams = []
            for i in range(settings.queries):
                ctx.set(dut.snapshot.en, 1)
                ctx.set(dut.snapshot.addr, i)
                ctx.set(dut.snapshot.data, state[i])
                await ctx.tick()
                drawn, state[i] = bits(state[i], d, chip.lfsr_degree)
                streams.append(drawn)
            ctx.set(dut.snapshot.en, 0)
            found = coefficients if given else differences(values, settings.baseline)
            gradient = rge_gradient(found, np.array(streams))
        flags = Flags()
        theta, momentum = update(old["theta"], old["momentum"], gradient, settings, f, flags)

        for name in (
            "queries", "baseline", "update_rule", "gradient_shift", "decay", "step_mantissa",
            "step_shift",
        ):  # fmt: skip
            ctx.set(getattr(dut, name), getattr(settings, name))
        ctx.set(dut.n_parameters, d)
        ctx.set(dut.cge, cge)
        if chip.split:
            ctx.set(dut.given, given)
        await ctx.tick().repeat(2)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        cycles, raised = 0, Saturation(0)
        while ctx.get(dut.busy):
            raised |= Saturation.GRADIENT * ctx.get(dut.saturated_gradient)
            raised |= Saturation.PARAMETER * ctx.get(dut.saturated_parameter)
            cycles += 1
            assert cycles < 16 * 18 + 60 + 100 * DEPTH, "The update unit does not finish"
            await ctx.tick()
        assert [ctx.get(memories["momentum"].data[p]) for p in range(d)] == momentum.tolist()
        assert [ctx.get(memories["theta"].data[p]) for p in range(d)] == theta.tolist()
        assert raised == flags.value
        expected = dut.cycles(
            cge=cge, n_parameters=d, queries=settings.queries, baseline=settings.baseline,
            given=given,
        )  # fmt: skip
        if unit is SerialUpdate:
            # The bound is that of the longest shifts.
            shifts = settings.gradient_shift
            shifts += settings.step_shift if settings.update_rule == UpdateRule.LINEAR else 0
            expected -= d * (62 - shifts)
            assert d * (SerialUpdate.CYCLES + shifts) < cycles <= expected
        else:
            assert cycles == expected

    async def testbench(ctx: Any) -> None:
        nonlocal seen
        for k in range(8):
            await step(ctx, cge=k % 2 == 1, given=chip.split and k % 4 == 2)
            seen += 1

    sim = Simulator(m)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, whose loop has a deadline
    assert seen == 8


def test_no_parameters() -> None:
    """A step over nothing ends at once instead of running over the whole memory."""
    dut = PipelinedUpdate(Chip(lanes=2))

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.start, 1)
        await ctx.tick()
        assert not ctx.get(dut.busy)

    sim = Simulator(dut)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run_until(10 * PERIOD)
