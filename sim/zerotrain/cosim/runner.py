"""Runs cocotb test benches on generated Verilog: one build per design, cached by content."""

import os
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
from zerotrain.cosim.tools import BuildError, environment, require_tools, tool_versions
from zerotrain.spec.files import cache_folder

__all__ = ["run_bench"]

#: Wall-clock limit of one test bench. Its tests have limits of their own, in simulated time.
BENCH_SECONDS = 900

_BUILD_ARGS = ["-O3", "--no-timing", "--assert", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
_TIMESCALE = ("1ns", "1ns")


def run_bench(
    verilog: str,
    module: str,
    *,
    root: Path,
    tests: int,
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
    root : Path
        Folder that is put on the Python path of the simulation.
    tests : int
        How many tests the module has; fewer mean that some silently did not run.
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
            sys.path.insert(0, str(root))
            with environment():
                if limit := shutil.which("timeout"):
                    os.environ["SIM_CMD_PREFIX"] = f"{limit} {seconds}"
                # The same stimulus in every run; pytest's own variables are not for the bench.
                os.environ.pop("PYTEST_CURRENT_TEST", None)
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
        log, work = folder / "build.log", folder / "work"
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
            kept = cache_folder() / f"failed-{key}.log"
            shutil.copyfile(log, kept)
            raise BuildError(
                f"Verilator or the C++ compiler could not build the test bench ({error}): "
                f"see {kept}"
            ) from error
        (work / "top").rename(folder / "top")
        shutil.rmtree(work)

    return cached("bench", key, build)


def _end(log: Path, lines: int = 60) -> str:
    """The end of a log."""
    if not log.is_file():
        return "(no output)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
