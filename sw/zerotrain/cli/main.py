"""The command line: ``zerotrain``."""

import sys
from collections.abc import Sequence

import typer

from zerotrain.cli import design_verbs, run_verbs
from zerotrain.cli.app import app
from zerotrain.cli.display import spell_out
from zerotrain.cli.errors import tell

__all__ = ["app", "main"]

#: What registers its verbs when it is loaded.
_VERBS = (design_verbs, run_verbs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes of the user become one sentence on standard error.

    Returns
    -------
    int
        Exit code: 0, 2 for a bad request, 1 for anything that failed, 3 after a training that
        diverged, 130 after Ctrl-C, 141 if nobody reads the output any more.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"] or ["--help"]
    spell_out(sys.stdout)
    command = typer.main.get_command(app)
    try:
        # Not command.main(), for which Ctrl-C is an exit without a word.
        with command.make_context("zerotrain", words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:
        code = None if traceback and isinstance(error, Exception) else tell(error)
        if code is None:
            raise
        return code
    return 0
