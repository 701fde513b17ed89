"""cocotb tests of CocotbBus on the toy target."""

from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.task import bridge

from zerotrain.cosim.cocotb_bus import CocotbBus
from zerotrain.spec.bus import Bus

from .toy import CYCLES, DEAF, DEPTH, SLOW


async def started(dut: Any) -> CocotbBus:
    bus = CocotbBus(dut)
    await bus.reset()
    return bus


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def words_arrive_in_order(dut: Any) -> None:
    def body(bus: Bus) -> None:
        words = np.random.default_rng(1).integers(0, 1 << 32, DEPTH, np.uint32)
        bus.write(0, words)
        assert np.array_equal(bus.read(0, DEPTH), words)
        bus.write(8, [-1, 1 << 32 | 5])
        assert bus.read(4, 4).tolist() == [words[1], 0xFFFFFFFF, 5, words[4]]

    await bridge(body)(await started(dut))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def waits_and_deadlines(dut: Any) -> None:
    def body(bus: Bus) -> None:
        bus.wait(CYCLES, 0x1000, 0x1000, 60)
        assert 0x1000 <= int(bus.read(CYCLES)[0]) < 0x1000 + 1100
        assert bus.read(SLOW)[0] == 1
        with pytest.raises(TimeoutError, match="has not acknowledged .* 0x2000 "):
            bus.read(DEAF)
        with pytest.raises(TimeoutError, match="^the word at 0x0 of the chip under "):
            bus.wait(0, 1, 2, 60)
        bus.close()
        with pytest.raises(ValueError, match="closed"):
            bus.read(0)

    await bridge(body)(await started(dut))
