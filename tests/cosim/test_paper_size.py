"""The paper's network on 64 lanes, on MNIST: simulated chip and golden model, step by step.

Too long for every push: ``make cosim-mnist``. It needs MNIST's files and fails without them.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from zerotrain.config.config import Config
from zerotrain.cosim.chip import VerilatedChip
from zerotrain.data import load
from zerotrain.data.dataset import quantize
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.session import Session
from zerotrain.host.settings import step_settings
from zerotrain.spec.registers import Baseline, Command
from zerotrain.spec.step import StepSettings

pytestmark = pytest.mark.paper_size

LANES, BATCH, QUERIES, SEED = 64, 64, 10, 1
#: A loss of the batch and a CGE step in cycles, and the share of RGE's cycles that are products.
LOSS_CYCLES, CGE_CYCLES, RGE_USE = 350_000, 6_000_000, 0.95


@pytest.fixture(scope="module")
def session() -> Session:
    config = Config.preset("mnist-3962")
    return Session.of(replace(config, chip=replace(config.chip, lanes=LANES)))


@pytest.fixture(scope="module")
def drivers(session: Session) -> Iterator[tuple[Driver, Driver]]:
    """The simulated chip and the golden one, at the initial parameters."""
    chip, network, plan = session.chip, session.config.network, session.plan
    simulated = VerilatedChip(chip, announce=print)
    buses = (simulated, GoldenChip(chip, network, plan.groups))
    loaded = [Driver.loaded(bus, chip, network, plan.program, timeout=300.0) for bus in buses]
    theta = initial_parameters(network, chip.formats, SEED, 0)
    for driver in loaded:
        driver.parameters, driver.momentum = theta, np.zeros_like(theta)
        driver.lfsr_state = 0x123456789
    yield loaded[0], loaded[1]
    simulated.close()


def compare(
    session: Session,
    drivers: tuple[Driver, Driver],
    batch: int,
    command: Command,
    settings: StepSettings | None = None,
) -> int:
    """One step of both chips on the training set's batch ``batch``; cycles of the simulated one."""
    data = load("mnist").training.take(np.arange(batch * BATCH, (batch + 1) * BATCH))
    x = quantize(data.x, session.chip.formats.input)
    begin = time.monotonic()
    results = []
    for driver in drivers:
        driver.load_batch(x, data.targets, 0)
        results.append(driver.step(command, settings, bank=0))
    simulated, golden = results
    assert simulated.losses.tolist() == golden.losses.tolist()
    assert simulated.saturation == golden.saturation
    assert simulated.correct == golden.correct
    for values in zip(*((d.parameters, d.momentum) for d in drivers), strict=True):
        assert values[0].tolist() == values[1].tolist()
    assert drivers[0].lfsr_state == drivers[1].lfsr_state
    sys.stdout.write(
        f"{command.name} step on batch {batch}: {len(simulated.losses)} losses equal, "
        f"{simulated.cycles:,} cycles, {simulated.beats / simulated.cycles:.1%} of them products, "
        f"{time.monotonic() - begin:.0f} s\n"
    )
    return simulated.cycles


def test_loss_of_a_batch(session: Session, drivers: tuple[Driver, Driver]) -> None:
    assert compare(session, drivers, 0, Command.EVALUATE) <= LOSS_CYCLES


def test_rge_steps(session: Session, drivers: tuple[Driver, Driver]) -> None:
    stage = session.training.rge
    assert stage is not None
    for batch in range(5):
        settings = step_settings(stage, session.chip.formats, BATCH, stage.step_size)
        if batch == 0:
            settings = replace(settings, baseline=Baseline.BASE)
        before = drivers[0].parameters
        cycles = compare(session, drivers, batch, Command.RGE, settings)
        assert not np.array_equal(drivers[0].parameters, before)
        losses = QUERIES + (settings.baseline == Baseline.BASE)
        macs = session.plan.step_macs("rge", BATCH, losses)
        assert macs / (cycles * LANES) >= RGE_USE


def test_cge_step(session: Session, drivers: tuple[Driver, Driver]) -> None:
    stage = session.training.cge
    assert stage is not None
    settings = step_settings(stage, session.chip.formats, BATCH, stage.step_size)
    assert compare(session, drivers, 5, Command.CGE, settings) <= CGE_CYCLES
