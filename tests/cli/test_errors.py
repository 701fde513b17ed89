"""What a command that failed says."""

import errno
import os

import pytest

from zerotrain.boards.tools import ToolError
from zerotrain.cli.errors import tell
from zerotrain.cosim.tools import BuildError


def system(code: int, path: str | None = None) -> OSError:
    return OSError(code, os.strerror(code), path)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Interrupted"),
        (ValueError("Wrong"), 2, "Wrong"),
        (OSError("A sentence: do this"), 1, "A sentence: do this"),
        (TimeoutError("Too long"), 1, "Too long"),
        (system(errno.ENOENT, "ex6/log.csv"), 1, "Cannot open ex6/log.csv: there is no folder ex6"),
        (system(errno.ENOSPC, "/x"), 1, "Cannot open /x: the file system of / is full, or your "
         "share of it"),
        (system(errno.ENOMEM), 1, "The operating system refuses: Cannot allocate memory"),
        (BuildError("No compiler"), 1, "No compiler"),
        (ToolError("No router"), 1, "No router"),
        (ValueError("x" * 5000), 2, f"{'x' * 600} ... {'x' * 200}"),
    ],
)  # fmt: skip
def test_sentences(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert tell(error) == code
    assert capsys.readouterr().err == f"zerotrain: {message}\n"


@pytest.mark.parametrize("error", [RuntimeError("?"), KeyError("k"), AssertionError()])
def test_faults_of_our_own_are_not_hidden(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert tell(error) is None
    assert capsys.readouterr().err == ""
