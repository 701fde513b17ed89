"""The perturbation unit against the golden model."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth import Module, signed
from amaranth.sim import Simulator

from zerotrain.gateware.update.perturb import Perturb
from zerotrain.golden.fixed import Flags
from zerotrain.golden.lfsr import bits
from zerotrain.golden.update import perturb
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.formats import Formats
from zerotrain.spec.lfsr import TAPS
from zerotrain.spec.registers import Saturation

DEPTH = 64
Attach = Callable[..., Any]
Draw = Callable[..., Formats]

PERIOD = 1e-6


def draw_chip(rng: Random, formats: Formats, *, compact: bool) -> Chip:
    return Chip(
        lanes=2,
        formats=formats,
        parameter_depth=DEPTH,
        weight_depth=rng.choice([DEPTH, 4 * DEPTH]),
        query_depth=rng.choice([2, 5, 16]),
        lfsr_degree=rng.choice(sorted(TAPS)),
        cge=Cge.ENVIRONMENTS if rng.random() < 0.5 or not formats.cge_mu else Cge.FORWARD,
        core=Core.COMPACT if compact else Core.PIPELINED,
        split=rng.random() < 0.5,
    )


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_queries(seed: int, compact: bool, attach: Attach, draw_formats: Draw) -> None:
    """Several copies in a row: words, snapshots, flags, latency, and the stream goes on, or begins
    again where the step began."""
    rng = Random(seed)
    chip = draw_chip(rng, draw_formats(rng), compact=compact)
    fmt = chip.formats.weight
    n = rng.choice([1, 2, 3, DEPTH - 1, DEPTH])
    theta = [rng.randint(fmt.raw_min, fmt.raw_max) >> rng.randrange(fmt.width) for _ in range(n)]
    theta[-1] = rng.choice([fmt.raw_min, fmt.raw_max])

    m = Module()
    m.submodules.dut = dut = Perturb(chip)
    word = signed(fmt.width)
    latency = chip.timing.read_latency
    attach(m, "theta", word, chip.parameter_depth, theta, read=dut.theta, latency=latency)
    weights = attach(m, "weights", word, chip.weight_depth, [], write=dut.weight)
    snapshots = attach(m, "snapshots", chip.lfsr_degree, chip.query_depth, [], write=dut.snapshot)
    done = False

    async def testbench(ctx: Any) -> None:
        nonlocal done
        assert ctx.get(dut.state) == 0
        state = rng.getrandbits(chip.lfsr_degree) if seed else 0
        for k in range(2):
            ctx.set(dut.load, 1 << k)
            ctx.set(dut.load_word, state >> 32 * k & 0xFFFFFFFF)
            await ctx.tick()
        ctx.set(dut.load, 0)
        assert ctx.get(dut.state) == state
        ctx.set(dut.n_parameters, n)
        await ctx.tick()
        origin: int | None = None
        for _ in range(6):
            moving = rng.random() < 0.6
            query = rng.choice([0, rng.randrange(chip.query_depth)])
            raises = chip.raises and not moving and rng.random() < 0.8
            mu = rng.randint(1, (1 << 16) - 1) >> rng.randrange(16) or 1
            flags = Flags()
            expected, following = list(theta), state
            if moving:
                origin = state if query == 0 else origin
                state = state or 1
                drawn, following = bits(state, n, chip.lfsr_degree)
                expected = perturb(np.array(theta), drawn, mu, chip.formats, flags).tolist()
            elif raises:
                query = rng.choice([0, n - 1, rng.randrange(n)])
                raised = np.array(expected[query] + chip.formats.cge_mu)
                expected[query] = int(flags.saturate(raised, fmt.width, Saturation.PERTURB))
            for signal, value in (
                (dut.perturb, moving), (dut.raises, raises), (dut.query, query), (dut.mu, mu),
                (dut.start, 1),
            ):  # fmt: skip
                ctx.set(signal, value)
            await ctx.tick()
            ctx.set(dut.start, 0)
            cycles, clamped = 0, False
            while ctx.get(dut.busy):
                clamped |= bool(ctx.get(dut.saturated))
                cycles += 1
                assert cycles < 2 * DEPTH, "The perturbation unit does not finish"
                # Writing the state of a busy generator is ignored.
                ctx.set(dut.load, 3 * (cycles == 1))
                await ctx.tick()
            ctx.set(dut.load, 0)
            assert cycles == n + 2 + latency
            assert [ctx.get(weights.data[p]) for p in range(n)] == expected
            assert ctx.get(dut.state) == following
            assert clamped == bool(flags.value)
            if moving:
                assert ctx.get(snapshots.data[query]) == state
            state = following
            if chip.split and origin is not None and rng.random() < 0.5:
                ctx.set(dut.restore, 1)
                await ctx.tick()
                ctx.set(dut.restore, 0)
                state = origin
                assert ctx.get(dut.state) == state
        ctx.set(dut.n_parameters, 0)
        await ctx.tick()
        ctx.set(dut.start, 1)
        await ctx.tick()
        assert not ctx.get(dut.busy)
        done = True

    sim = Simulator(m)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, whose loop has a deadline
    assert done
