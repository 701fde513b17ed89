"""Runs cocotb test benches on generated Verilog: one build per design, cached by content."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.config
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from zerotrain.cosim.cache import cached, content_key
from zerotrain.cosim.tools import (
    BuildError,
    environment,
    failure,
    require_tools,
    tool_versions,
)

__all__ = ["run_bench"]

#: Wall-clock limit of one test bench. Its tests have limits of their own, in simulated time.
BENCH_SECONDS = 900

_BUILD_ARGS = ["-O3", "--no-timing", "--assert", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
_TIMESCALE = ("1ns", "1ns")


def run_bench(
    verilog: str,
    module: str,
    *,
    tests: int,
    root: Path | None = None,
    settings: Mapping[str, str] | None = None,
    seconds: int = BENCH_SECONDS,
) -> None:
    """Build a design and run the cocotb tests of a module on it.

    Parameters
    ----------
    verilog : str
        From :func:`zerotrain.cosim.build.to_verilog`; the top module is ``top``.
    module : str
        Dotted name of the Python module with the tests, as seen from ``root``.
    tests : int
        How many tests the module has; fewer mean that some silently did not run.
    root : Path, optional
        Folder that is put on the Python path of the simulation.
    settings : mapping, optional
        Environment variables for the test bench.
    seconds : int
        Wall-clock limit of the simulation.

    Raises
    ------
    BuildError
        If a tool is missing or fails.
    AssertionError
        If a test fails, or their number is not the expected one; the message holds the log.
    """
    require_tools()
    folder = _build(verilog)
    with tempfile.TemporaryDirectory(prefix="zerotrain-bench-") as name:
        work = Path(name)
        log, results = work / "bench.log", work / "results.xml"
        saved = list(sys.path)
        try:
            # cocotb hands sys.path on to the simulation.
            sys.path[:0] = [str(root)] if root else []
            with environment():
                if limit := shutil.which("timeout"):
                    os.environ["SIM_CMD_PREFIX"] = f"{limit} {seconds}"
                # A failing test makes the simulation fail too; the results tell more.
                with suppress(RuntimeError):
                    get_runner("verilator").test(
                        test_module=module,
                        hdl_toplevel="top",
                        hdl_toplevel_lang="verilog",
                        build_dir=folder,
                        test_dir=work,
                        results_xml=str(results),
                        seed=1,
                        extra_env=dict(settings or {}),
                        log_file=log,
                    )
        finally:
            sys.path[:] = saved
        if not results.is_file():
            raise AssertionError(f"{module} broke off before its tests had ended:\n{_end(log)}")
        ran, failed = get_results(results)
        if failed or ran != tests:
            raise AssertionError(
                f"{module}: {failed} of {ran} tests failed, {tests} were expected to run:\n"
                f"{_end(log)}"
            )


def _build(verilog: str) -> Path:
    """Folder with the simulation's executable."""
    key = content_key(
        verilog,
        tool_versions(),
        version("cocotb"),
        str(cocotb_tools.config.libs_dir),  # linked in by path
        *_BUILD_ARGS,
        *_TIMESCALE,
    )

    def build(folder: Path) -> None:
        source = folder / "top.v"
        source.write_text(verilog, encoding="utf-8")
        log = folder / "build.log"
        with tempfile.TemporaryDirectory(prefix="zerotrain-build-", dir=_plain(folder)) as work:
            try:
                with environment():
                    get_runner("verilator").build(
                        sources=[source],
                        hdl_toplevel="top",
                        build_dir=work,
                        build_args=_BUILD_ARGS,
                        timescale=_TIMESCALE,
                        log_file=log,
                    )
            except RuntimeError as error:
                raise BuildError(failure("the test bench", log, key)) from error
            shutil.move(Path(work) / "top", folder / "top")

    return cached("bench", key, build)


def _plain(folder: Path) -> Path:
    """A folder to build in: GNU make refuses those with blanks."""
    places = (folder, Path(tempfile.gettempdir()), Path("/tmp"))
    plain = next((place for place in places if not re.search(r"\s", str(place))), None)
    if plain is None or not os.access(plain, os.W_OK):
        raise BuildError(
            f"GNU make cannot build in {folder}, because of the blank in its name: name a folder "
            "without blanks in the environment variable ZEROTRAIN_CACHE or TMPDIR"
        )
    return plain


def _end(log: Path, lines: int = 60) -> str:
    """The end of a log."""
    if not log.is_file():
        return "(no output)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
