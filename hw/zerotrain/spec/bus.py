"""The bus as the host sees it: what every chip, simulated or real, offers its driver."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bus", "NotYet"]


class NotYet(TimeoutError):
    """A word that was waited for did not become what it should; the message has no full stop and
    begins small, to stand in the sentence of who waited."""


@runtime_checkable
class Bus(Protocol):
    """Aligned 32-bit words at byte addresses.

    Implemented by the golden chip, the Verilated chip in process, the chip under cocotb, and later
    by links to boards.
    """

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        """Read ``count`` consecutive words from byte ``address``."""
        ...

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        """Write consecutive words from byte ``address``; values are taken modulo 2**32."""
        ...

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        """Return once ``word & mask == value``.

        Raises
        ------
        NotYet
            After ``timeout`` wall-clock seconds, or at once if it can never come true.
        """
        ...

    def close(self) -> None:
        """Release the chip. Further calls are errors."""
        ...
