"""The Verilated chip in this process, as a bus."""

import ctypes
import os
import time
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerotrain.cosim.build import Announce, build_library, chip_verilog
from zerotrain.spec.bus import NotYet
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Program

__all__ = ["SimulationError", "VerilatedBus", "VerilatedChip"]

_NOT_YET, _NO_ACK, _FAILED = 1, 2, 3

#: Cycles between two looks at a word that is waited for. A look takes five.
POLL_CYCLES = 1024
#: Cycles between two looks at the wall clock, about 0.1 s; also how long Ctrl-C may take.
SLICE_CYCLES = 250_000


class SimulationError(RuntimeError):
    """An assertion of the gateware failed in the simulation."""


class VerilatedBus:
    """A verilated design with a Wishbone port ``bus``, as a :class:`zerotrain.spec.bus.Bus`.

    The design stands still between calls: its clock runs only while an access or a wait does.

    Parameters
    ----------
    library : Path
        From :func:`zerotrain.cosim.build.build_library`.
    max_wait_cycles : int
        Clock cycles after which a wait gives up, whatever its timeout.

    Attributes
    ----------
    cpu_seconds : float
        Processor time spent in the simulation.
    """

    def __init__(self, library: Path, *, max_wait_cycles: int = 10**10) -> None:
        if max_wait_cycles < 1:
            raise ValueError(f"A wait takes at least 1 cycle, not {max_wait_cycles!r}")
        self._c = _load(library)
        self._max_wait_cycles = max_wait_cycles
        self.cpu_seconds = 0.0
        chip = self._c.chip_open()
        if not chip:
            raise SimulationError(f"The simulated chip {library} failed during reset")
        self._chip: int | None = chip
        self._finalizer = weakref.finalize(self, self._c.chip_close, chip)

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        """Read ``count`` consecutive words from byte ``address``.

        Raises
        ------
        TimeoutError
            If the chip does not acknowledge within 1000 cycles.
        SimulationError
            If an assertion of the gateware fails.
        """
        self._check(address, count)
        words = np.zeros(count, np.uint32)
        done = ctypes.c_uint64()
        result = self._call("chip_read", address, words.ctypes.data, count, ctypes.byref(done))
        self._raise(result, "read", address + 4 * done.value)
        return words

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        """Write consecutive words from byte ``address``; values are taken modulo 2**32.

        Raises
        ------
        TimeoutError, SimulationError
            As :meth:`read`.
        """
        if not isinstance(words, np.ndarray):
            words = np.array([int(w) & 0xFFFFFFFF for w in words], np.uint32)
        data = np.ascontiguousarray(words).astype(np.uint32, casting="unsafe")
        self._check(address, data.size)
        done = ctypes.c_uint64()
        result = self._call("chip_write", address, data.ctypes.data, data.size, ctypes.byref(done))
        self._raise(result, "write", address + 4 * done.value)

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        """Run the clock until ``word & mask == value``.

        Raises
        ------
        NotYet
            After ``timeout`` wall-clock seconds or ``max_wait_cycles``.
        TimeoutError
            If the chip does not acknowledge.
        SimulationError
            If an assertion of the gateware fails.
        """
        self._check(address, 1)
        deadline = time.monotonic() + timeout
        start, word = self.cycles, ctypes.c_uint32()
        impossible = value & ~mask != 0
        while True:
            left = self._max_wait_cycles - (self.cycles - start)
            result = self._call(
                "chip_wait", address, mask, value, POLL_CYCLES,
                0 if impossible else max(0, min(SLICE_CYCLES, left)), ctypes.byref(word),
            )  # fmt: skip
            self._raise(result, "read", address)
            if result != _NOT_YET:
                return
            if impossible or left <= SLICE_CYCLES or time.monotonic() >= deadline:
                raise NotYet(
                    f"the word at {address:#x} of the simulated chip is {word.value:#x} after "
                    f"{self.cycles - start:,} cycles, expected {value:#x} under mask {mask:#x}"
                )

    def run(self, cycles: int) -> None:
        """Run the clock for a number of cycles with the bus idle."""
        self._check(0, 0)
        for begin in range(0, cycles, SLICE_CYCLES):
            result = self._call("chip_run", min(SLICE_CYCLES, cycles - begin))
            self._raise(result, "run", 0)

    def close(self) -> None:
        """Release the chip. Further calls are errors."""
        self._chip = None
        self._finalizer()

    @property
    def cycles(self) -> int:
        """Clock cycles since power-on."""
        self._check(0, 0)
        return int(self._c.chip_cycles(self._chip))

    @property
    def cycles_per_cpu_second(self) -> float:
        """Clock cycles simulated per second of processor time, over the chip's whole life."""
        return self.cycles / self.cpu_seconds if self.cpu_seconds else 0.0

    def _check(self, address: int, count: int) -> None:
        if self._chip is None:
            raise ValueError("This simulated chip is closed: open a new one")
        if address % 4 or not 0 <= address <= (1 << 32) - 4 * count:
            raise ValueError(
                f"Addresses are multiples of 4 below 2**32, not {address!r} for {count} words"
            )

    def _call(self, name: str, *arguments: object) -> int:
        begin = time.thread_time()
        try:
            return int(getattr(self._c, name)(self._chip, *arguments))
        finally:
            self.cpu_seconds += time.thread_time() - begin

    def _raise(self, result: int, what: str, address: int) -> None:
        if result == _NO_ACK:
            raise TimeoutError(
                f"The simulated chip has not acknowledged the {what} of address {address:#x} "
                "within 1000 cycles: its bus hangs"
            )
        if result == _FAILED:
            text = self._c.chip_error(self._chip).decode(errors="replace").replace("../", "")
            raise SimulationError(f"The simulated chip stopped: {text}")


class VerilatedChip(VerilatedBus):
    """The training chip, generated, compiled if it was not before, and powered on.

    Parameters
    ----------
    chip : Chip
        What to generate.
    program : Program, optional
        Initial contents of the program memory.
    announce : callable, optional
        Told in one sentence when something slow begins.
    max_wait_cycles : int
        Clock cycles after which a wait gives up, whatever its timeout.

    Raises
    ------
    BuildError
        If a tool is missing or fails.
    """

    def __init__(
        self,
        chip: Chip,
        program: Program | None = None,
        *,
        announce: Announce | None = None,
        max_wait_cycles: int = 10**10,
    ) -> None:
        self.chip = chip
        text = chip_verilog(chip, program, announce=announce)
        super().__init__(build_library(text, announce=announce), max_wait_cycles=max_wait_cycles)


@cache
def _load(library: Path) -> ctypes.CDLL:
    """The library with the types of harness.cpp's functions.

    It is loaded from a copy in memory. Code that runs from the pages of a file's cache was seen to
    be slower by up to a third, for as long as these pages stayed what they were.
    """
    # Left open: the loader takes a name that it has seen before for the same library.
    copy = os.memfd_create(library.parent.name)
    with library.open("rb") as file:
        while os.sendfile(copy, file.fileno(), None, 1 << 30):
            pass
    u32, u64, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
    c = ctypes.CDLL(f"/proc/self/fd/{copy}")
    for name, result, arguments in (
        ("chip_open", pointer, []),
        ("chip_close", None, [pointer]),
        ("chip_cycles", u64, [pointer]),
        ("chip_error", ctypes.c_char_p, [pointer]),
        ("chip_run", ctypes.c_int, [pointer, u64]),
        ("chip_read", ctypes.c_int, [pointer, u32, pointer, u64, pointer]),
        ("chip_write", ctypes.c_int, [pointer, u32, pointer, u64, pointer]),
        ("chip_wait", ctypes.c_int, [pointer, u32, u32, u32, u64, u64, pointer]),
    ):
        function = getattr(c, name)
        function.restype, function.argtypes = result, arguments
    return c
