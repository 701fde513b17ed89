"""Where the program begins: Ctrl-C is one sentence from here on, also while modules load."""

import os
import signal
import sys
from types import FrameType

__all__ = ["main"]


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Nothing has begun yet; an exception would have to pass through other people's imports."""
    os.write(2, b"zerotrain: Interrupted\n")
    os._exit(130)


def main() -> int:
    """Load the command line and run it."""
    before = signal.getsignal(signal.SIGINT)
    # Elsewhere Ctrl-C is ignored, e.g. by a shell's background job.
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from zerotrain.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    return run()


if __name__ == "__main__":
    sys.exit(main())
