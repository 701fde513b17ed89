"""Random networks on random chips: the Verilog equals the golden model, bit for bit.

Few chips are built; many networks are loaded into each over the bus. Excluded from the draw are
only networks that the planner refuses for the chip's memories or accumulators.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest

from zerotrain.compiler.lowering import Lowering
from zerotrain.compiler.lowering_cge import CgeForm, CgeLowering
from zerotrain.compiler.plan import Plan
from zerotrain.compiler.planner import plan
from zerotrain.cosim.chip import VerilatedChip
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver, StepResult
from zerotrain.spec.bus import Bus
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Activation, Layer, Loss, Network
from zerotrain.spec.registers import Command, Error, commands, register, windows

from ..golden import draw

#: Chips, and networks drawn for each: every case runs a step of each kind that the chip does.
CHIPS, CASES = 11, 35
LANES = (8, 3, 16, 5, 1, 7, 4, 6, 8, 5, 7)


def draw_chip(index: int) -> Chip:
    """A chip of a fixed lane count; about every other one has drawn formats."""
    rng = np.random.default_rng(1000 + index)
    formats = draw.formats(rng) if index % 2 or index == 8 else Formats()
    common = index == 10
    if common:
        formats = draw.formats(rng, alike=True)
    softmax = index % 4 != 3
    # A merge unit, or merging on the lanes, with the formats of either kind.
    compact = index in (4, 6, 7, 8, 9, 10)
    unit = index // 2 % 2 == 0 and not compact
    lanes = LANES[index]
    return Chip(
        lanes=lanes,
        formats=formats,
        loss=Loss.SOFTMAX_CROSS_ENTROPY if softmax else Loss.MEAN_SQUARED_ERROR,
        cge={6: Cge.NONE, 7: Cge.NONE, 5: Cge.FORWARD, 8: Cge.FORWARD, 10: Cge.FORWARD}.get(
            index, Cge.ENVIRONMENTS
        ),
        core=Core.COMPACT if compact else Core.PIPELINED,
        loops=index != 8,
        store=Store.COMMON if common else Store.SPRAM if index in (4, 8) else Store.BLOCKS,
        loss_ways=draw.pick(rng, 1, 1 if index > 5 else min(3, lanes)),
        lfsr_degree=32 if index == 8 else int(rng.choice([33, 40, 48, 64])),
        acc_width=48,
        parameter_depth=700,
        evaluation_depth=701,
        weight_depth=(3000, 6000)[unit],
        merge_depth=(0, 1500)[unit],
        sample_banks=1 if index in (1, 4, 10) else 2,
        sample_depth=400,
        target_depth=90,
        scratch_depth=3000,
        preact_depth=120,
        program_depth=1500,
        output_depth=16,
        query_depth=8,
        count_width=7 if common else 16,
    )


def draw_network(rng: np.random.Generator, loss: Loss) -> Network:
    """1 to 4 layers of 1 to 5 modes of 1 to 5, ranks 1 to 8."""

    def modes(d: int, limit: int) -> tuple[int, ...]:
        while True:
            found = tuple(int(n) for n in rng.choice([1, 1, 2, 2, 3, 4, 5], d))
            if prod(found) <= limit:
                return found

    layers: list[Layer] = []
    count = draw.pick(rng, 1, 4)
    for n in range(count):
        last, d = n == count - 1, draw.pick(rng, 1, 5)
        size = layers[-1].n_outputs if layers else 0
        in_modes = draw.refactor(rng, size, d) if layers else modes(d, 40)
        out_modes = modes(d, 12 if last else 30)
        while last and loss == Loss.SOFTMAX_CROSS_ENTROPY and prod(out_modes) < 2:
            out_modes = modes(d, 12)
        top = draw.pick(rng, 1, 8)
        ranks = tuple(draw.pick(rng, 1, top) for _ in range(d - 1))
        relu = not last and rng.random() < 0.7
        layers.append(
            Layer(in_modes, out_modes, ranks, bool(rng.random() < 0.6),
                  Activation.RELU if relu else Activation.NONE)
        )  # fmt: skip
    return Network(tuple(layers), loss)


@dataclass
class Case:
    plan: Plan
    seed: int
    batch: int


def draw_choices(
    rng: np.random.Generator, network: Network, *, cge: bool, loops: bool
) -> dict[str, Any]:
    """What the planner would choose otherwise."""
    groups = draw.groups(rng, network)
    tiled, forms = [], []
    for index, sizes in enumerate(groups):
        can_tile = loops and Lowering.can_tile(network, index, sizes)
        tiled.append(can_tile and rng.random() < 0.5)
        options = [
            form
            for form in CgeForm
            if form != CgeForm.TILES or CgeLowering.has_tiles(network, index)
        ]
        forms.append(options[draw.pick(rng, 0, len(options) - 1)])
    return {"groups": groups, "tiled": tuple(tiled), "forms": tuple(forms) if cge else ()}


def draw_case(chip: Chip, seed: int) -> Case:
    """A network that the chip holds, with any groups, tiling, CGE forms, and any batch of one to
    three passes."""
    rng = np.random.default_rng(seed)
    while True:
        network = draw_network(rng, chip.loss)
        batch = draw.pick(rng, 1, 3 * chip.lanes)
        choices: dict[str, Any] = {}
        if rng.random() < 0.7:
            choices = draw_choices(rng, network, cge=chip.has_environments, loops=chip.loops)
        try:
            return Case(plan(network, chip, batch=batch, **choices), seed, batch)
        except ValueError as error:
            known = ("does not fit the chip", "accumulators", "common memory")
            assert any(words in str(error) for words in known)


def run(bus: Bus, case: Case) -> tuple[list[StepResult], list[np.ndarray], int]:
    """A step of each kind on one chip, with everything that it holds afterwards."""
    rng, chip, network = np.random.default_rng(case.seed), case.plan.chip, case.plan.network
    driver = Driver.loaded(bus, chip, network, case.plan.program)
    driver.parameters = draw.words(rng, chip.formats.weight, network.n_parameters)
    driver.momentum = draw.words(rng, chip.formats.momentum, network.n_parameters)
    driver.lfsr_state = int(rng.integers(0, 1 << min(33, chip.lfsr_degree)))
    results, memory = [], []
    for k, command in enumerate(commands(chip)):
        x, targets = draw.batch(rng, network, chip.formats, case.batch)
        bank = k % chip.sample_banks
        driver.load_batch(x, targets, bank)
        results.append(driver.step(command, draw.settings(rng), bank=bank))
        memory += [np.array(driver.parameters), np.array(driver.momentum)]
    return results, memory, driver.lfsr_state


def compare(bus: Bus, case: Case) -> None:
    """Losses, parameters, momentum, generator and saturation flags after every step."""
    golden = GoldenChip(case.plan.chip, case.plan.network, case.plan.groups)
    (got, memory, state), (want, expected, end) = run(bus, case), run(golden, case)
    for ours, theirs in zip(got, want, strict=True):
        where = f"case {case.seed}, {theirs.command.name}, {case.plan.network}"
        assert np.array_equal(ours.losses, theirs.losses), where
        assert ours.saturation == theirs.saturation, where
        assert ours.correct == theirs.correct, where
    assert all(np.array_equal(a, b) for a, b in zip(memory, expected, strict=True)), case.seed
    assert state == end


@pytest.mark.parametrize("index", range(CHIPS))
def test_networks_on_chip(index: int) -> None:
    chip = draw_chip(index)
    bus = VerilatedChip(chip)
    try:
        for k in range(CASES):
            compare(bus, draw_case(chip, 10_000 * index + k))
    finally:
        bus.close()


def test_one_bank_is_out_of_reach_while_a_step_runs() -> None:
    chip = draw_chip(1)
    assert chip.sample_banks == 1
    case, rng = draw_case(chip, 10_000), np.random.default_rng(1)
    bus = VerilatedChip(chip)
    golden = GoldenChip(chip, case.plan.network, case.plan.groups)
    try:
        ours, theirs = (Driver.loaded(b, chip, case.plan.network, case.plan.program)
                        for b in (bus, golden))  # fmt: skip
        x, targets = draw.batch(rng, case.plan.network, chip.formats, case.batch)
        for driver in (ours, theirs):
            driver.load_batch(x, targets, 0)
        ours.start(Command.RGE, draw.settings(np.random.default_rng(2)), bank=0)
        error = register("error").address
        for name in ("samples", "targets"):
            bus.write(windows(chip)[name].base, [1])
            assert bus.read(error)[0] == Error.BUSY_ACCESS
            bus.write(error, [Error.BUSY_ACCESS])
        want = theirs.step(Command.RGE, draw.settings(np.random.default_rng(2)), bank=0)
        assert np.array_equal(ours.wait().losses, want.losses)
    finally:
        bus.close()


def test_enough_cases() -> None:
    assert CHIPS * CASES >= 200
