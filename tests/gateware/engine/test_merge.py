"""The merge unit against the golden model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.sim import Simulator

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.contraction import Contract, Level, encode
from zerotrain.compiler.merging import Key, Merging
from zerotrain.gateware.engine.merge import MergeUnit
from zerotrain.gateware.storage.memory import ReadPort
from zerotrain.gateware.storage.weights import WeightMemory, weight_latency
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import difference_weights, unpack
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Layer, Network
from zerotrain.spec.program import Result, Source
from zerotrain.spec.registers import Saturation

Attach = Callable[..., Any]
Draw = Callable[..., Formats]

#: Words of the weight memory, and of the merge unit's copy.
WEIGHTS, FACTORS = 2048, 512
PROGRAM_BITS = 8


def merging(
    left: tuple[int, tuple[int, ...]],
    right: tuple[int, tuple[int, ...]],
    target: int,
    fmt: Any,
    *,
    tiles: bool,
) -> Contract:
    """``[a, i, j, b] x [b, i2, j2] -> [a, (i, i2), (j, j2)]``, announced tile by tile or once."""
    (left_at, (a, i, j, b)), (right_at, (_, i2, j2)) = left, right
    columns = j * j2
    kept = (
        Level(j2, operand=1, result=1),
        Level(j, weight=b, result=j2),
        Level(a, weight=i * j * b, result=i * i2 * columns),
        Level(i2, operand=j2, result=columns),
        Level(i, weight=j * b, result=i2 * columns),
    )
    return Contract(
        summed=(Level(b, weight=1, operand=i2 * j2),),
        kept=kept,
        start=(left_at, right_at, 0, target),
        source=Source.SCRATCH,
        result=Result.WEIGHT,
        shift=fmt.frac_bits,
        evaluation_levels=3 if tiles else 5,
        sync=tiles,
    )


def chip_of(formats: Formats) -> Chip:
    return Chip(
        lanes=1, loss_ways=1, formats=formats, parameter_depth=FACTORS, merge_depth=FACTORS,
        weight_depth=WEIGHTS, program_depth=1 << PROGRAM_BITS, acc_width=48,
    )  # fmt: skip


@dataclass
class Outcome:
    """What the unit did.

    Attributes
    ----------
    memory : list of int
        The weight memory, up to the last result.
    clamped : bool
        Whether any result was.
    announced : list of int
        How many results had been written at each announcement.
    written : int
        Results in all.
    """

    memory: list[int]
    clamped: bool
    announced: list[int]
    written: int


def simulate(
    attach: Attach, chip: Chip, words: Sequence[int], section: Sequence[Contract]
) -> Outcome:
    """Run a section on weights that begin with ``words``."""
    fmt = chip.formats.weight
    m = Module()
    m.submodules.dut = dut = MergeUnit(chip)
    word = signed(fmt.width)
    m.submodules.weights = weights = WeightMemory(chip)
    wiring.connect(m, dut.left, weights.left)
    wiring.connect(m, dut.right, weights.right)
    # Before the start, the test is what perturbs.
    loads, address, loaded = Signal(), Signal(range(WEIGHTS)), Signal(word)
    m.d.comb += [
        weights.write.en.eq(dut.weight_w.en | loads),
        weights.write.addr.eq(Mux(loads, address, dut.weight_w.addr)),
        weights.write.data.eq(Mux(loads, loaded, dut.weight_w.data)),
    ]
    # Rows come through a register.
    row = Signal(64)
    rows = [0, *encode(section, chip.formats.shifts)]
    port = ReadPort(PROGRAM_BITS, 64).flip().create()
    attach(m, "program", 64, chip.program_depth, rows, read=port)
    m.d.comb += [port.addr.eq(dut.program.addr), dut.program.data.eq(row)]
    m.d.sync += row.eq(port.data)
    out = Outcome([], False, [], 0)

    async def testbench(ctx: Any) -> None:
        ctx.set(loads, 1)
        for k, value in enumerate(words):
            ctx.set(address, k)
            ctx.set(loaded, int(value))
            await ctx.tick()
        ctx.set(loads, 0)
        ctx.set(dut.pc, 1)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        cycles = end = 0
        most = sum(c.beats + c.packets + 50 for c in section)
        while ctx.get(dut.busy):
            out.clamped |= bool(ctx.get(dut.saturated))
            if ctx.get(dut.weight_w.en):
                out.written += 1
                end = max(end, ctx.get(dut.weight_w.addr) + 1)
            if ctx.get(dut.merged):
                out.announced.append(out.written)
            cycles += 1
            assert cycles < most, "The merge unit does not finish"
            await ctx.tick()
        for k in range(end):
            ctx.set(weights.read.addr, k)
            await ctx.tick().repeat(weight_latency(chip))
            out.memory.append(ctx.get(weights.read.data))
        assert not ctx.get(dut.bad_program)

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, whose loop has a deadline
    return out


@pytest.mark.parametrize("seed", range(8))
def test_sections(seed: int, attach: Attach, draw_formats: Draw) -> None:
    """Two contractions, the second with the result of the first as a factor."""
    rng = Random(seed)
    formats = draw_formats(rng)
    fmt = formats.weight
    chip = chip_of(formats)
    a, b, c = (rng.randint(1, 3) for _ in range(3))
    i, j, i2, j2, i3, j3 = (rng.randint(1, 2) for _ in range(6))
    array = np.random.default_rng(seed)
    first = array.integers(fmt.raw_min, fmt.raw_max, (a, i, j, b), endpoint=True)
    # The columns of the second factor hold its right rank, the fastest index.
    second = array.integers(fmt.raw_min, fmt.raw_max, (b, i2, j2 * c), endpoint=True)
    third = array.integers(fmt.raw_min, fmt.raw_max, (c, i3, j3), endpoint=True) >> 2
    words = [*first.ravel(), *second.ravel(), *third.ravel()]
    at = np.cumsum([0, first.size, second.size, third.size])
    merged_at, target = int(at[3]), FACTORS + 7
    # The second contraction reads the result of the first as [(a, I), (j, j2), c].
    section = [
        merging((0, (a, i, j, b)), (int(at[1]), (b, i2, j2 * c)), merged_at, fmt, tiles=False),
        merging(
            (merged_at, (a, i * i2, j * j2, c)), (int(at[2]), (c, i3, j3)), target, fmt, tiles=True
        ),
    ]  # fmt: skip

    flags = Flags()

    def product(left: Any, right: Any) -> Any:
        exact = np.einsum("aijb,bkl->aikjl", left.astype(object), right.astype(object))
        rounded = (exact.astype(np.int64) + (1 << fmt.frac_bits >> 1)) >> fmt.frac_bits
        return flags.saturate(rounded, fmt.width, Saturation.MERGE)

    one = product(first, second)
    two = product(one.reshape(a, i * i2, j * j2, c), third)

    out = simulate(attach, chip, words, section)
    columns = a * j * j2 * j3
    assert out.announced == [one.size + columns * (k + 1) for k in range(i * i2 * i3)]
    assert out.written == one.size + two.size
    assert out.memory[merged_at : merged_at + one.size] == one.ravel().tolist()
    assert out.memory[target : target + two.size] == two.ravel().tolist()
    assert out.clamped == bool(flags.value)


@pytest.mark.parametrize("seed", range(8))
def test_differences(seed: int, attach: Attach, draw_formats: Draw) -> None:
    """The weights of every output of a layer less those of the first."""
    rng = Random(100 + seed)
    formats, d = draw_formats(rng), rng.randint(2, 4)
    out_modes = (*(rng.randint(1, 2) for _ in range(d - 1)), rng.randint(2, 3))
    layer = Layer(
        tuple(rng.randint(1, 3) for _ in range(d)), tuple(rng.sample(out_modes, d)),
        tuple(rng.randint(1, 4) for _ in range(d - 1)), bias=False,
    )  # fmt: skip
    network = Network((layer,))
    chip = chip_of(formats)
    merging = Merging(network, formats, Allocator(), unit=True)
    key = Key(0, 0, d, relative=True)
    merging.place_factors([key])
    merging.place([key])
    theta = np.random.default_rng(seed).integers(
        formats.weight.raw_min, formats.weight.raw_max, network.n_parameters, endpoint=True
    )
    # Some so small that nothing is clamped.
    theta >>= rng.choice([0, formats.weight.width // 2])
    flags = Flags()
    (part,) = unpack(network, formats, theta)
    wanted = difference_weights(part.cores, formats, flags)[1:].astype(int)
    out = simulate(attach, chip, theta.tolist(), merging.make(key))
    at = merging.at[key].address
    assert out.memory[at : at + wanted.size] == wanted.ravel().tolist()
    assert out.clamped == bool(flags.value)
