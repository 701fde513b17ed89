"""The chip under cocotb as a bus of this process; the simulation runs in another one."""

import os
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Listener

import numpy as np
from numpy.typing import NDArray

from zerotrain.cosim.build import Announce, chip_verilog
from zerotrain.cosim.tools import BuildError
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Program

__all__ = ["CocotbChip"]

#: Seconds in which the simulation has to be built and to connect.
START_SECONDS = 600
#: Seconds that it may run: a training takes about ten times as long as in process.
RUN_SECONDS = 24 * 3600


class CocotbChip:
    """The generated Verilog under cocotb and Verilator, as a :class:`zerotrain.spec.bus.Bus`.

    Slower than :class:`zerotrain.cosim.chip.VerilatedChip`, but through another simulator
    interface, the one that the test benches use.

    Parameters
    ----------
    chip : Chip
    program : Program, optional
        Initial contents of the program memory.
    announce : callable, optional
        Told when something slow begins.

    Raises
    ------
    BuildError
        If cocotb is not installed, or the simulation cannot be built or started.
    """

    def __init__(
        self, chip: Chip, program: Program | None = None, *, announce: Announce | None = None
    ) -> None:
        try:
            from zerotrain.cosim.runner import run_bench
        except ModuleNotFoundError as error:
            raise BuildError(
                f"The chip under cocotb needs the package {error.name}: install it with "
                "pip install 'zerotrain[dev]'"
            ) from None
        verilog = chip_verilog(chip, program, announce=announce)
        if announce:
            announce("Building the cocotb simulation (once; later runs use the result)")
        self._failure: BaseException | None = None
        self._connection: Connection | None = None
        # A socket without a file: paths of sockets have 107 bytes, which a TMPDIR may exceed.
        name, key = f"zerotrain-{os.urandom(16).hex()}", os.urandom(16)
        settings = {"ZEROTRAIN_BUS_NAME": name, "ZEROTRAIN_BUS_KEY": key.hex()}

        def simulate() -> None:
            try:
                run_bench(
                    verilog,
                    "zerotrain.cosim.bus_server",
                    tests=1,
                    settings=settings,
                    seconds=RUN_SECONDS,
                )
            except BaseException as error:
                self._failure = error

        self._thread = threading.Thread(target=simulate, daemon=True)
        with Listener(f"\0{name}", authkey=key) as listener:
            self._thread.start()
            self._connection = self._accept(listener)

    def _accept(self, listener: Listener) -> Connection:
        """Wait for the simulation to connect, or to end without having done so."""
        accepted: list[Connection] = []
        waiting = threading.Thread(target=lambda: accepted.append(listener.accept()), daemon=True)
        waiting.start()
        deadline = time.monotonic() + START_SECONDS
        while not accepted:
            waiting.join(0.1)
            if not accepted and not self._thread.is_alive():
                raise BuildError(f"The cocotb simulation did not start: {self._failure}")
            if time.monotonic() > deadline:
                raise BuildError(
                    f"The cocotb simulation was not ready after {START_SECONDS} seconds"
                )
        return accepted[0]

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        """Read ``count`` consecutive words from byte ``address``."""
        words = self._call("read", address, count)
        assert isinstance(words, np.ndarray)
        return words

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        """Write consecutive words from byte ``address``; values are taken modulo 2**32."""
        self._call("write", address, words)

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        """Return once ``word & mask == value``.

        Raises
        ------
        NotYet
            After ``timeout`` wall-clock seconds.
        """
        self._call("wait", address, mask, value, timeout)

    def close(self) -> None:
        """End the simulation."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._thread.join(timeout=60)

    def _call(self, name: str, *arguments: object) -> object:
        if self._connection is None:
            raise ValueError("The chip is closed: open another one")
        try:
            self._connection.send((name, arguments))
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._thread.join(timeout=60)
            raise BuildError(f"The cocotb simulation ended early: {self._failure}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer
