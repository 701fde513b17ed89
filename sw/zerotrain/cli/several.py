"""An option with several values, as in ``--seeds 1 2 3``.

The option parser has options with a fixed number of values only, and ``train`` has no arguments: so
what stands behind ``--seeds`` up to the next option is one value for it.
"""

from typing import Any

from typer.core import TyperCommand

__all__ = ["SeveralSeeds"]

_OPTION = "--seeds"


class SeveralSeeds(TyperCommand):
    """A command whose option ``--seeds`` takes all values up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = list(args)
        if _OPTION in words:
            first = words.index(_OPTION) + 1
            count = 0
            while first + count < len(words) and not words[first + count].startswith("-"):
                count += 1
            if count > 1:
                words[first : first + count] = [" ".join(words[first : first + count])]
        return super().parse_args(ctx, words)
