"""The demo's chip: its counters against the plan."""

import numpy as np
import pytest

from zerotrain.cosim.chip import VerilatedChip
from zerotrain.host.driver import Driver
from zerotrain.spec.config import Config
from zerotrain.spec.planner import StepKind, plan
from zerotrain.spec.registers import Command
from zerotrain.spec.step import StepSettings

QUERIES, BATCH = 8, 32


@pytest.mark.cosim
def test_multiplier_use() -> None:
    """At 8 lanes at least 70 % of the multipliers' cycles are the plan's products.

    The plan says where the others go, and is within 2 % of the chip's own count.
    """
    config = Config.preset("digits")
    chip, network = config.build_chip(), config.network
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
        kinds: dict[StepKind, Command] = {"rge": Command.RGE, "cge": Command.CGE}
        for kind, command in kinds.items():
            result = driver.step(command, StepSettings(queries=QUERIES), bank=0)
            cost = found.step_cost(kind, queries=QUERIES)
            assert cost.macs / (result.cycles * chip.lanes) >= 0.70
            assert abs(result.cycles / cost.cycles - 1) < 0.02
            assert result.cycles > result.beats > 0
    finally:
        bus.close()
