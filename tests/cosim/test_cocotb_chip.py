"""The chip under cocotb as a bus of another process."""

from pathlib import Path

import numpy as np
import pytest

from zerotrain.cosim.cocotb_chip import CocotbChip
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver
from zerotrain.spec.bus import Bus
from zerotrain.spec.registers import Command
from zerotrain.spec.step import StepSettings

from ..golden import draw
from .designs import CHIP, PLAN


@pytest.mark.cosim
def test_same_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step through the connection equals the golden chip's, also where names of temporary files
    are too long for a socket; a closed chip says so."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    def run(bus: Bus) -> tuple[list[int], list[int]]:
        rng = np.random.default_rng(3)
        driver = Driver.loaded(bus, CHIP, PLAN.network, PLAN.program)
        driver.parameters = draw.words(rng, CHIP.formats.weight, PLAN.network.n_parameters)
        driver.momentum = np.zeros(PLAN.network.n_parameters, np.int64)
        driver.lfsr_state = 99
        x, targets = draw.batch(rng, PLAN.network, CHIP.formats, CHIP.lanes)
        driver.load_batch(x, targets, 0)
        result = driver.step(Command.RGE, StepSettings(queries=2), bank=0)
        return result.losses.tolist(), driver.parameters.tolist()

    bus = CocotbChip(CHIP)
    try:
        assert run(bus) == run(GoldenChip(CHIP, PLAN.network, PLAN.groups))
        with pytest.raises(TimeoutError):
            bus.wait(0, 0xFFFFFFFF, 0, timeout=0.2)  # the identifier is never zero
    finally:
        bus.close()
    with pytest.raises(ValueError, match=r"^The chip is closed: open another one$"):
        bus.read(0)
