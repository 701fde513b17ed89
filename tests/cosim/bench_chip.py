"""cocotb tests of the whole chip: the host's driver on the generated Verilog, against golden."""

from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.task import bridge

from zerotrain.cosim.cocotb_bus import CocotbBus
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver
from zerotrain.spec.bus import Bus
from zerotrain.spec.registers import Command, Error, register, windows
from zerotrain.spec.step import StepSettings

from ..golden import draw
from .designs import CHIP, PLAN


class Testbench:
    """The chip under cocotb, and the same chip in NumPy, given the same things to do."""

    def __init__(self, dut: Any) -> None:
        self.bus = CocotbBus(dut)

    async def run(self, body: Any) -> None:
        await self.bus.reset()
        await bridge(body)(self.bus)

    @staticmethod
    def drivers(bus: Bus) -> tuple[Driver, Driver]:
        """Drivers of both chips, in the same drawn state."""
        golden = GoldenChip(CHIP, PLAN.network, PLAN.groups)
        pair = tuple(Driver.loaded(b, CHIP, PLAN.network, PLAN.program) for b in (bus, golden))
        rng = np.random.default_rng(7)
        n = PLAN.network.n_parameters
        theta = draw.words(rng, CHIP.formats.weight, n)
        momentum = draw.words(rng, CHIP.formats.momentum, n)
        for driver in pair:
            driver.parameters, driver.momentum, driver.lfsr_state = theta, momentum, 0x1234567
        return pair[0], pair[1]

    @staticmethod
    def step(
        drivers: tuple[Driver, Driver], command: Command, settings: StepSettings, batch: int
    ) -> None:
        """One step on both: losses, flags, and everything that it leaves behind are equal."""
        rng = np.random.default_rng(batch)
        x, targets = draw.batch(rng, PLAN.network, CHIP.formats, batch)
        results, states = [], []
        for driver in drivers:
            driver.load_batch(x, targets, batch % 2)
            results.append(driver.step(command, settings, bank=batch % 2))
            states.append((driver.parameters, driver.momentum, driver.lfsr_state))
        (ours, theirs), (left, right) = results, states
        assert ours.losses.tolist() == theirs.losses.tolist()
        assert ours.saturation == theirs.saturation
        assert ours.correct == theirs.correct
        assert left[0].tolist() == right[0].tolist()
        assert left[1].tolist() == right[1].tolist()
        assert left[2] == right[2]
        assert ours.cycles > ours.beats > 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def registers_and_windows(dut: Any) -> None:
    def body(bus: Bus) -> None:
        golden = GoldenChip(CHIP, PLAN.network, PLAN.groups)
        rng = np.random.default_rng(3)
        for window in windows(CHIP).values():
            count = min(window.words, 40)
            words = rng.integers(0, 1 << 32, count, np.uint32)
            for chip in (bus, golden):
                chip.write(window.base, words)
            got, want = bus.read(window.base, count), golden.read(window.base, count)
            if window.name != "losses":  # whose memory may hold anything before the first step
                assert got.tolist() == want.tolist(), window.name
        for address in (0x7FFC, 0x40000000):
            for chip in (bus, golden):
                assert chip.read(address)[0] == 0
        errors = [int(chip.read(register("error").address)[0]) for chip in (bus, golden)]
        assert errors == [Error.BAD_ADDRESS, Error.BAD_ADDRESS]

    await Testbench(dut).run(body)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def evaluate_rge_cge(dut: Any) -> None:
    def body(bus: Bus) -> None:
        drivers = Testbench.drivers(bus)
        rng = np.random.default_rng(11)
        # An odd batch, and one that fills the lanes; several steps in a row share their state.
        for batch in (2 * CHIP.lanes + 1, CHIP.lanes):
            for command in (Command.EVALUATE, Command.RGE, Command.CGE):
                Testbench.step(drivers, command, draw.settings(rng), batch)

    await Testbench(dut).run(body)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def accesses_while_a_step_runs(dut: Any) -> None:
    """Memories of the running step are out of reach; the other half of the samples is not."""

    def body(bus: Bus) -> None:
        ours, golden = Testbench.drivers(bus)
        rng = np.random.default_rng(5)
        x, targets = draw.batch(rng, PLAN.network, CHIP.formats, CHIP.lanes)
        settings = StepSettings(queries=4)
        for driver in (ours, golden):
            driver.load_batch(x, targets, 0)
        ours.start(Command.RGE, settings, bank=0)
        found = windows(CHIP)
        sample = found["samples"].base
        other = sample + 4 * (1 << (CHIP.sample_depth - 1).bit_length())
        error = register("error").address
        assert bus.read(error)[0] == 0
        bus.write(other, [3, 1, 4])
        assert bus.read(error)[0] == 0
        for address in (sample, *(w.base for n, w in found.items() if n != "samples")):
            assert bus.read(address)[0] == 0
            bus.write(address, [1])
            assert bus.read(error)[0] == Error.BUSY_ACCESS, hex(address)
            bus.write(error, [Error.BUSY_ACCESS])
        bus.write(register("command").address, [Command.RGE])
        assert bus.read(error)[0] == Error.BAD_COMMAND
        bus.write(error, [Error.BAD_COMMAND])
        result = ours.wait()
        golden_result = golden.step(Command.RGE, settings, bank=0)
        assert result.losses.tolist() == golden_result.losses.tolist()
        assert ours.parameters.tolist() == golden.parameters.tolist()
        assert bus.read(other, 3).tolist() == [3, 1, 4]
        with pytest.raises(TimeoutError, match="under cocotb"):
            bus.wait(error, 1, 1, 0.05)

    await Testbench(dut).run(body)
