"""Presets' chips on eight lanes: their counters against the plan."""

from collections.abc import Sequence

import numpy as np
import pytest

from zerotrain.compiler.plan import StepCost, StepKind
from zerotrain.compiler.planner import chip_for, plan
from zerotrain.config.config import Config
from zerotrain.cosim.chip import VerilatedChip
from zerotrain.host.driver import Driver
from zerotrain.host.session import ChipKind, Session
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, Command
from zerotrain.spec.step import StepSettings

QUERIES, BATCH = 8, 32
COMMANDS: dict[StepKind, Command] = {
    "evaluate": Command.EVALUATE, "rge": Command.RGE, "cge": Command.CGE
}  # fmt: skip


@pytest.mark.cosim
@pytest.mark.parametrize("unit", [True, False])
def test_multiplier_use(unit: bool) -> None:
    """At 8 lanes at least 88 % of the multipliers' cycles of an RGE step are the plan's products,
    with a merge unit; 70 % without one, or in a CGE step.

    The plan says where the others go, and is within 2 % of the chip's own count.
    """
    config = Config.preset("digits")
    network = config.network
    chip = chip_for(network, lanes=8, batch=BATCH)
    if not unit:
        chip = chip_for(network, lanes=8, batch=BATCH, merge_depth=0)
    assert bool(chip.merge_depth) == unit
    found = plan(network, chip, batch=BATCH)
    rng = np.random.default_rng(1)
    bus = VerilatedChip(chip)
    try:
        driver = Driver.loaded(bus, chip, network, found.program)
        driver.parameters = rng.integers(-3000, 3000, network.n_parameters)
        driver.momentum = np.zeros(network.n_parameters, np.int64)
        driver.lfsr_state = 1
        driver.load_batch(
            rng.integers(0, 2048, (BATCH, network.n_inputs)), rng.integers(0, 10, BATCH), 0
        )
        for kind, command in COMMANDS.items():
            result = driver.step(command, StepSettings(queries=QUERIES), bank=0)
            cost = found.step_cost(kind, queries=QUERIES, baseline=Baseline.MEAN)
            least = 0.87 if unit and kind == "rge" else 0.70
            assert cost.macs / (result.cycles * chip.lanes) >= least
            assert abs(result.cycles / cost.cycles - 1) < 0.02
            assert result.cycles > result.beats > 0
    finally:
        bus.close()


def run_steps(
    session: Session, batch: int, kinds: Sequence[StepKind], queries: int = QUERIES
) -> None:
    """Steps on the Verilog and on the golden model: equal, and as long as planned."""
    chip, network = session.chip, session.config.network
    rng = np.random.default_rng(2)
    # Parameters of up to 0.75, and pixels of up to 2.
    weight, pixel = chip.formats.weight.frac_bits, chip.formats.input.frac_bits
    theta = rng.integers(-(3 << weight >> 2), 3 << weight >> 2, network.n_parameters)
    batches = [
        (
            rng.integers(
                0, min(2 << pixel, chip.formats.input.raw_max) + 1, (batch, network.n_inputs)
            ),
            rng.integers(0, 10, batch),
        )
        for _ in kinds
    ]
    settings = StepSettings(queries=queries, gradient_shift=16, decay=14, step_mantissa=16)
    found = []
    for chip_kind in (ChipKind.VERILATED, ChipKind.GOLDEN):
        bus = session.open_bus(chip_kind)
        try:
            driver = Driver.loaded(bus, chip, network, session.plan.program)
            driver.parameters, driver.lfsr_state = theta, 1
            driver.momentum = np.zeros(network.n_parameters, np.int64)
            losses = []
            for kind, (x, labels) in zip(kinds, batches, strict=True):
                driver.load_batch(x, labels, 0)
                result = driver.step(COMMANDS[kind], settings, bank=0)
                losses.append(result.losses.tolist())
                if chip_kind == ChipKind.VERILATED:
                    cost = session.plan.step_cost(
                        kind, batch=batch, queries=queries, baseline=Baseline.MEAN
                    )
                    check_cycles(kind, result.cycles, cost, chip)
            found.append(
                (losses, driver.parameters.tolist(), driver.momentum.tolist(), driver.lfsr_state)
            )
        finally:
            bus.close()
    assert found[0] == found[1]


def check_cycles(kind: StepKind, cycles: int, cost: StepCost, chip: Chip) -> None:
    """Those of the plan, which takes the most that a serial loss unit may need."""
    if kind == "cge" and chip.has_environments:
        assert 0.5 < cycles / cost.cycles < 1.0
    else:
        # Nothing hides the last loss, which counts for more in a smaller batch. The more losses,
        # the further are some from the most cycles that they may take.
        within = 0.04 if chip.has_environments else 0.01 if kind == "rge" else 0.03
        assert abs(cycles / cost.cycles - 1) < within
    if not chip.has_environments:
        assert cost.macs / (cycles * chip.lanes) >= 0.5


@pytest.mark.cosim
def test_plain_tt_chip() -> None:
    """Plain TT layers with sines, in words of 18 bits: equal to the golden model, and as fast as
    planned."""
    run_steps(Session.of(Config.preset("hjb-small")), BATCH, ["rge", "evaluate", "rge"])


@pytest.mark.cosim
def test_small_chip() -> None:
    """The chip for the iCE40UP5K: equal to the golden model, and no slower than planned."""
    run_steps(Session.of(Config.preset("digits-small")), BATCH, ["rge", "rge", "cge"])


@pytest.mark.cosim
def test_small_chip_at_paper_size() -> None:
    """The MNIST chip for the same part. The last pass has idle lanes."""
    session = Session.of(Config.preset("mnist-small"))
    run_steps(session, 20, ["rge", "evaluate", "rge"], queries=3)
    assert session.plan.step_cost("rge", batch=64, queries=10, baseline=Baseline.MEAN).use(8) > 0.93


@pytest.mark.cosim
def test_small_chip_with_environments() -> None:
    """The same with environments, one evaluation of the loss at a time."""
    values = Config.preset("digits-small").to_dict()
    values["chip"] |= {"cge": "environments", "loops": True, "scratch_depth": 200}
    run_steps(Session.of(Config.from_dict(values)), 8, ["rge", "cge"])
