"""The chip under cocotb, as a bus for blocking code: the same driver as for every other chip.

Only inside a cocotb simulation::

    @cocotb.test(timeout_time=10, timeout_unit="ms")
    async def trains(dut):
        bus = CocotbBus(dut)
        await bus.reset()
        await bridge(train)(bus)        # train() calls bus.read(), bus.write(), bus.wait()
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import FallingEdge, Timer
from numpy.typing import NDArray

from zerotrain.spec.bus import NotYet

__all__ = ["ACK_CYCLES", "PERIOD_NS", "CocotbBus"]

PERIOD_NS = 10
#: Cycles after which an access that is not acknowledged is an error.
ACK_CYCLES = 1000
#: Cycles between two looks at a word that is waited for: first, and at most.
_POLL_CYCLES = (8, 1024)


class CocotbBus:
    """Wishbone initiator on the port ``bus`` of a generated design.

    Inputs change and outputs are sampled at falling edges, far from the edge that counts. The
    target's ``ack`` must come from a register, as that of the register bank does.

    Parameters
    ----------
    dut
        cocotb's handle of the top module, with ports ``clk``, ``rst`` and ``bus__*``.
    """

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self._open = True

    async def reset(self, cycles: int = 4) -> None:
        """Start the clock and reset the design."""
        dut = self._dut
        for name in ("adr", "dat_w", "sel", "cyc", "stb", "we"):
            self._port(name).value = 0
        dut.rst.value = 1
        Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start()
        for _ in range(cycles):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        await FallingEdge(dut.clk)

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        """Read ``count`` consecutive words from byte ``address``.

        Raises
        ------
        TimeoutError
            If the chip does not acknowledge.
        """
        self._check(address)
        return np.array(resume(self.read_words)(address, count), np.uint32)

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        """Write consecutive words from byte ``address``; values are taken modulo 2**32.

        Raises
        ------
        TimeoutError
            If the chip does not acknowledge.
        """
        self._check(address)
        resume(self.write_words)(address, [int(word) & 0xFFFFFFFF for word in words])

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        """Let time pass until ``word & mask == value``.

        Raises
        ------
        NotYet
            After ``timeout`` wall-clock seconds. (Simulated time is limited by the test.)
        TimeoutError
            If the chip does not acknowledge.
        """
        self._check(address)
        resume(self._wait)(address, mask, value, timeout)

    def close(self) -> None:
        """Release the chip. Further calls are errors."""
        self._open = False

    async def read_words(self, address: int, count: int) -> list[int]:
        """:meth:`read` for a coroutine."""
        return [await self.access(address + 4 * k) for k in range(count)]

    async def write_words(self, address: int, words: Sequence[int]) -> None:
        """:meth:`write` for a coroutine."""
        for k, word in enumerate(words):
            await self.access(address + 4 * k, word)

    async def access(self, address: int, data: int | None = None, sel: int = 0xF) -> int:
        """One access: a write if there is ``data``, otherwise a read, whose word is returned.

        Begins and ends at a falling edge.
        """
        clk, ack = self._dut.clk, self._port("ack")
        self._port("adr").value = address >> 2
        self._port("we").value = data is not None
        self._port("dat_w").value = data or 0
        self._port("sel").value = sel
        self._port("cyc").value = 1
        self._port("stb").value = 1
        for _ in range(ACK_CYCLES):
            await FallingEdge(clk)
            if int(ack.value):
                break
        else:
            raise TimeoutError(
                f"The chip under cocotb has not acknowledged the access to address {address:#x} "
                f"within {ACK_CYCLES} cycles: its bus hangs"
            )
        word = int(self._port("dat_r").value) if data is None else 0
        await FallingEdge(clk)  # the access ends at the rising edge before
        self._port("cyc").value = 0
        self._port("stb").value = 0
        return word

    async def _wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        pause, longest = _POLL_CYCLES
        while True:
            word = await self.access(address)
            if word & mask == value:
                return
            if time.monotonic() >= deadline or value & ~mask:
                raise NotYet(
                    f"the word at {address:#x} of the chip under cocotb is {word:#x} after "
                    f"{timeout:g} s, expected {value:#x} under mask {mask:#x}"
                )
            # One wake-up of Python, not one a cycle.
            await Timer(pause * PERIOD_NS, unit="ns")
            await FallingEdge(self._dut.clk)
            pause = min(2 * pause, longest)

    def _port(self, name: str) -> Any:
        return getattr(self._dut, f"bus__{name}")

    def _check(self, address: int) -> None:
        if not self._open:
            raise ValueError("This chip under cocotb is closed: start a new simulation")
        if address < 0 or address % 4:
            raise ValueError(f"Addresses are multiples of 4, at least 0, not {address!r}")
