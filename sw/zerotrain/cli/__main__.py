"""Where the program begins: Ctrl-C is one sentence from here on, also while modules load."""

import sys
from typing import Any

__all__ = ["main"]


def main() -> int:
    """Load the command line and run it."""
    try:
        import os
        import signal

        def stop(*details: Any) -> None:
            """Nothing has begun; an exception would have to pass through other people's imports."""
            os.write(2, b"zerotrain: Interrupted\n")
            os._exit(130)

        before = signal.getsignal(signal.SIGINT)
        # Elsewhere Ctrl-C is ignored, e.g. in a shell's background job.
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, stop)
        from zerotrain.cli.main import main as run

        signal.signal(signal.SIGINT, before)
        return run()
    except ImportError as error:
        sys.stderr.write(f"zerotrain: {error}: install Zerotrain again, with all it needs\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("zerotrain: Interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
