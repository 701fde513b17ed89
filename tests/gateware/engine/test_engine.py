"""Engine and planner against the golden model: logits and output differences, bit for bit."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from amaranth import Elaboratable, Module
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator, SimulatorContext

from zerotrain.compiler.contraction import overhead
from zerotrain.compiler.lowering import Lowering
from zerotrain.compiler.lowering_cge import CgeForm, CgeLowering
from zerotrain.compiler.plan import SECTIONS, Plan, Section
from zerotrain.compiler.planner import chip_for, plan
from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.engine import SAMPLE_READ_LATENCY, Engine
from zerotrain.gateware.storage.weights import weight_latency
from zerotrain.gateware.variants import lane_array
from zerotrain.golden.cge import cge_forward, output_differences
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import forward
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Network, dense


class Bench(Elaboratable):
    """An engine with the memories of program and weights, initialised before the simulation."""

    def __init__(self, plan: Plan, theta: np.ndarray) -> None:
        self.chip = chip = plan.chip
        self.engine = Engine(chip, lane_array(chip))
        weights = [int(w) & ((1 << chip.formats.weight.width) - 1) for w in theta]
        self.memories = {
            "program": Memory(shape=64, depth=chip.program_depth, init=plan.program.rows),
            "weight": Memory(
                shape=chip.formats.weight.width, depth=chip.weight_depth, init=weights
            ),
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = self.engine
        for name, memory in self.memories.items():
            m.submodules[name] = memory
            read, port = memory.read_port(), getattr(self.engine, name)
            cycles = {"program": 1 - self.chip.compact, "weight": weight_latency(self.chip) - 1}
            address = pipe(m, port.addr, cycles[name], f"{name}_address")
            m.d.comb += [read.addr.eq(address), port.data.eq(read.data), read.en.eq(1)]
            if hasattr(self.engine, f"{name}_w"):
                write, port = memory.write_port(), getattr(self.engine, f"{name}_w")
                m.d.comb += [
                    write.addr.eq(port.addr), write.data.eq(port.data), write.en.eq(port.en)
                ]  # fmt: skip
        return m


@dataclass
class Evaluation:
    delta: bool
    values: dict[int, list[int]]  # output -> value of every lane


def run(
    plan: Plan, theta: np.ndarray, x: np.ndarray, sections: list[int]
) -> tuple[list[Evaluation], int, int]:
    """Run sections and collect the evaluations sent to the loss unit, saturation flags, and cycles
    without those of waiting for the loss unit."""
    bench = Bench(plan, theta)
    engine, width = bench.engine, plan.chip.formats.logit.width
    evaluations: list[Evaluation] = []
    flags = cycles = 0

    def take_word(ctx: SimulatorContext, current: dict[int, list[int]]) -> None:
        """To a serial loss unit: one lane's word at a time."""
        logits = engine.logits
        if not ctx.get(logits.en):
            return
        lane, word = ctx.get(logits.lane), ctx.get(logits.data)
        current.setdefault(ctx.get(logits.index), []).append(word - (word >> (width - 1) << width))
        if ctx.get(logits.last) and lane == plan.chip.lanes - 1:
            values = {index: words[: len(x)] for index, words in current.items()}
            evaluations.append(Evaluation(bool(ctx.get(logits.delta)), values))
            current.clear()

    async def drive(ctx: SimulatorContext) -> None:
        nonlocal flags, cycles
        current: dict[int, list[int]] = {}
        told = None
        # Evaluations that were claimed in all, and those that the loss unit has: two at most.
        reserved = held = 0
        ctx.set(engine.active_lanes, len(x))
        samples = engine.sample_w
        ctx.set(samples.en, 1)
        for (lane, row), word in np.ndenumerate(x):
            ctx.set(samples.lane, lane)
            ctx.set(samples.row, row)
            ctx.set(samples.data, int(word))
            await ctx.tick()
        ctx.set(samples.en, 0)
        for pc in sections:
            ctx.set(engine.pc, pc)
            ctx.set(engine.start, 1)
            await ctx.tick()
            ctx.set(engine.start, 0)
            for _ in range(200_000):
                if held > reserved - len(evaluations) and random.random() < 0.3:
                    held -= 1
                ctx.set(engine.base_free, held < 2)
                ctx.set(engine.delta_free, held < 2)
                claims = ctx.get(engine.reserve_base) + ctx.get(engine.reserve_delta)
                reserved, held = reserved + claims, held + claims
                assert held <= 2
                flags |= ctx.get(engine.saturation)
                if plan.chip.serial_loss:
                    take_word(ctx, current)
                elif told is not None:
                    data = ctx.get(engine.logits.data)
                    values = [(data >> (width * s)) & ((1 << width) - 1) for s in range(len(x))]
                    index, last, delta = told
                    current[index] = [v - (v >> (width - 1) << width) for v in values]
                    if last:
                        evaluations.append(Evaluation(bool(delta), current))
                        current = {}
                told = None
                if not ctx.get(engine.busy):
                    break
                cycles += 1 - ctx.get(engine.stalled)
                if ctx.get(engine.logits.en) and not plan.chip.serial_loss:
                    logits = engine.logits
                    told = tuple(ctx.get(x) for x in (logits.index, logits.last, logits.delta))
                await ctx.tick()
            else:
                pytest.fail("the engine did not finish")
        assert not current
        assert reserved == len(evaluations)

    sim = Simulator(bench)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    return evaluations, flags, cycles


def networks(rng: random.Random) -> Iterator[Network]:
    """Small networks of every shape."""
    while True:
        n_layers = rng.choice((1, 2, 2, 3))
        layers: list[Layer] = []
        d = rng.randint(1, 4)
        inputs = tuple(rng.choice((1, 2, 2, 3)) for _ in range(d))
        for index in range(n_layers):
            d = len(inputs)
            outputs = tuple(rng.choice((1, 2, 2, 3)) for _ in range(d))
            last = index == n_layers - 1
            if last and np.prod(outputs) < 2:
                outputs = (2, *outputs[1:])
            ranks = tuple(rng.randint(1, 3) for _ in range(d - 1))
            activation = Activation.NONE if last else rng.choice([Activation.NONE, Activation.RELU])
            layers.append(Layer(inputs, outputs, ranks, rng.random() < 0.7, activation))
            # The next layer folds this one's outputs its own way.
            inputs = outputs if rng.random() < 0.6 else (int(np.prod(outputs)),)
        network = Network(tuple(layers))
        if network.n_outputs <= 16 and network.n_parameters <= 150:
            yield network


def with_sines(found: Iterator[Network]) -> Iterator[Network]:
    """Those with hidden layers, which have sines where they had no activation."""
    for network in found:
        *hidden, last = network.layers
        layers = [
            replace(layer, activation=Activation.SINE)
            if layer.activation == Activation.NONE
            else layer
            for layer in hidden
        ]
        changed = replace(network, layers=(*layers, last))
        if changed.sines:
            yield changed


def draw(
    seed: int, *, unit: bool = False, compact: bool = False, sine: bool = False
) -> tuple[Plan, np.ndarray, np.ndarray]:
    """A drawn plan; with a merge ``unit``, one in which there is nothing to merge."""
    rng = random.Random(seed)
    network = next(with_sines(networks(rng)) if sine else networks(rng))
    lanes = rng.randint(1, 8 if sine else 4)
    groups = tuple(
        rng.choice([(1,) * d] + [(d,), (1, d - 1) if d > 1 else (1,)] * (not unit))
        for d in (layer.n_tt_cores for layer in network.layers)
    )
    core = Core.COMPACT if compact else Core.PIPELINED
    depths: dict[str, Any] = {"program_depth": 1000, "merge_depth": 0, "core": core}
    if sine:
        preact = QFormat(16, rng.choice([9, 12, 13, 14]))
        depths |= {"cge": Cge.FORWARD, "formats": Formats(preact=preact)}
    if unit:
        depths |= {"merge_depth": 1000, "weight_depth": 2000}
    chip = chip_for(network, lanes=lanes, batch=lanes, groups=groups, **depths)
    array = np.random.default_rng(seed)
    scale = array.choice([0.3, 1.0, 4.0])
    theta = (array.normal(0, 1, network.n_parameters) * scale * 2**13).clip(-(2**15), 2**15 - 1)
    x = (array.normal(0, 1, (rng.randint(1, lanes), network.n_inputs)) * 2**11).clip(
        -(2**15), 2**15 - 1
    )
    tiled = tuple(
        Lowering.can_tile(network, index, sizes) and rng.random() < 0.7
        for index, sizes in enumerate(groups)
    )
    return (
        plan(network, chip, batch=lanes, groups=groups, tiled=tiled),
        theta.astype(int),
        x.astype(int),
    )


@pytest.mark.parametrize("kind", ["", "unit", "compact"])
@pytest.mark.parametrize("seed", range(12))
def test_forward(seed: int, kind: str) -> None:
    """With a merge unit, weights take longer to arrive; compact lanes take turns to round."""
    random.seed(seed)
    check_forward(*draw(seed, unit=kind == "unit", compact=kind == "compact"))


def check_forward(found: Plan, theta: np.ndarray, x: np.ndarray) -> int:
    """Logits and flags of an evaluation. Returns its cycles."""
    evaluations, flags, cycles = run(found, theta, x, [found.program.merge, found.program.forward])
    golden_flags = Flags()
    expected = forward(found.network, found.chip.formats, found.groups, theta, x, golden_flags)
    assert len(evaluations) == 1 and not evaluations[0].delta
    got = np.array([evaluations[0].values[c] for c in range(found.network.n_outputs)]).T
    assert np.array_equal(got, expected)
    assert flags == int(golden_flags.value)
    return cycles


@pytest.mark.parametrize("kind", ["", "unit", "compact"])
@pytest.mark.parametrize("seed", range(300, 308))
def test_forward_with_sines(seed: int, kind: str) -> None:
    """Sums of one product and more, for lanes that fill a unit's turns, and several units."""
    random.seed(seed)
    found, theta, x = draw(seed, unit=kind == "unit", compact=kind == "compact", sine=True)
    check_forward(found, theta, x)


@pytest.mark.parametrize("lanes", [1, 3, 5, 8])
@pytest.mark.parametrize("core", Core)
def test_cycles_of_short_sums_with_sines(core: Core, lanes: int) -> None:
    """Sums of one product wait for the sines of those before, as long as the plan says; it counts
    a gap at the end of each section once too often."""
    network = Network((dense(1, 24, bias=False, activation=Activation.SINE), dense(24, 2)))
    groups, rng = ((1,), (1,)), np.random.default_rng(lanes)
    chip = chip_for(
        network, lanes=lanes, batch=lanes, groups=groups, core=core, cge=Cge.NONE, merge_depth=0
    )
    found = plan(network, chip, batch=lanes, groups=groups)
    theta = rng.integers(-(1 << 15), 1 << 15, network.n_parameters)
    x = rng.integers(-(1 << 12), 1 << 12, (lanes, 1))
    cycles = check_forward(found, theta, x)
    sections: list[Section] = ["merge", "forward"]
    planned = sum(found.beats(s) + overhead(found.sections[s], chip) for s in sections)
    assert planned - 2 * chip.timing.gap_cycles <= cycles <= planned


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("seed", range(100, 106))
def test_cge(seed: int, compact: bool) -> None:
    random.seed(seed)
    check_cge(*draw(seed, compact=compact))


@pytest.mark.parametrize("form", CgeForm)
@pytest.mark.parametrize("seed", range(200, 204))
def test_cge_forms(form: CgeForm, seed: int) -> None:
    """Every form of every layer, also where the planner would choose another."""
    random.seed(seed)
    found, theta, x = draw(seed)
    forms = tuple(
        form
        if form != CgeForm.TILES or CgeLowering.has_tiles(found.network, index)
        else CgeForm.ROWS
        for index in range(len(found.network.layers))
    )
    check_cge(plan(found.network, found.chip, groups=found.groups, forms=forms), theta, x)


def check_cge(found: Plan, theta: np.ndarray, x: np.ndarray) -> None:
    """Every evaluation of a CGE pass, and its saturation flags, against the golden model."""
    sections = [getattr(found.program, section) for section in SECTIONS]
    evaluations, flags, _ = run(found, theta, x, sections)
    golden_flags = Flags()
    formats = found.chip.formats
    layers = cge_forward(found.network, formats, found.groups, theta, x, golden_flags)
    z = layers[-1].y
    base, *rest = evaluations
    assert not base.delta and len(rest) == found.network.n_parameters
    assert np.array_equal(np.array([base.values[c] for c in range(len(z))]), z)
    checked = 0
    for block in output_differences(found.network, formats, layers, golden_flags):
        for i, n in np.ndindex(block.parameters.shape):
            got = rest[block.parameters[i, n]]
            assert got.delta
            dz = np.zeros((found.network.n_outputs, len(x)), int)
            for c, values in got.values.items():
                dz[c] = values
            assert np.array_equal(dz, block.dz[i, :, n])
            checked += 1
    assert checked == len(rest)
    assert flags == int(golden_flags.value)


def test_samples_are_read_back() -> None:
    """Every lane of several groups, in the documented time; a beat's row does not disturb."""
    chip = Chip(lanes=20, loss_ways=4, parameter_depth=16, weight_depth=16, sample_depth=4)
    assert len(chip.lane_groups) > 1
    engine = Engine(chip, lane_array(chip))
    order = random.Random(1).sample(list(np.ndindex(chip.lanes, chip.sample_rows)), k=60)

    async def drive(ctx: SimulatorContext) -> None:
        samples = engine.sample_w
        for k, (lane, row) in enumerate(order):
            for name, value in (("en", 1), ("lane", lane), ("row", row), ("data", 100 + k)):
                ctx.set(getattr(samples, name), value)
            await ctx.tick()
        ctx.set(samples.en, 0)
        ctx.set(engine.sample_read, 1)
        for k, (lane, row) in enumerate(order):
            ctx.set(samples.lane, lane)
            ctx.set(samples.row, row)
            await ctx.tick().repeat(SAMPLE_READ_LATENCY)
            assert ctx.get(engine.sample) == 100 + k

    sim = Simulator(engine)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
