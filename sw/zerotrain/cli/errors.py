"""What a command that failed says: one sentence on standard error, and an exit code."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

import typer

from zerotrain.spec.files import reason
from zerotrain.spec.words import cut

__all__ = ["tell"]


def tell(error: BaseException) -> int | None:
    """Say on standard error what ended a command.

    Returns
    -------
    int or None
        Exit code: 2 for a bad request, 1 for anything that failed, 130 after Ctrl-C, 141 without a
        word if nobody reads the output any more. None, and nothing is said, for what is a fault of
        Zerotrain's own.
    """
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail("Interrupted", 130)
    if isinstance(error, BrokenPipeError):
        _give_up_output()
        return 141
    # Errors of the option parser; typer does not export their base class.
    parse_error = getattr(error, "format_message", None)
    if parse_error is not None:
        return _fail(f"{parse_error()} (zerotrain --help shows what is possible)", 2)
    if isinstance(error, ValueError):
        return _fail(str(error), 2)
    if isinstance(error, OSError):
        return _fail(_system_error(error), 1)
    # ChipError, BuildError, SimulationError, ToolError: each is a sentence for the user.
    if isinstance(error, RuntimeError) and type(error).__module__.startswith("zerotrain."):
        return _fail(str(error), 1)
    return None


def _system_error(error: OSError) -> str:
    """What the operating system refused, with the name of the file."""
    if error.errno is None:  # a sentence already
        return str(error)
    if error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        return f"Cannot open {path}: {reason(error, path)}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        _give_up_output()
        return f"Cannot write to standard output or a temporary file: {error.strerror}"
    return f"The operating system refuses: {error.strerror or error}"


def _give_up_output() -> None:
    """Let the rest of the output go nowhere: Python would try again at its end, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(sentence: str, code: int) -> int:
    print(f"zerotrain: {cut(sentence)}", file=sys.stderr)
    return code
