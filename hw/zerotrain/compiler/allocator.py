"""Address allocation for the planner."""

__all__ = ["Allocator"]


class Allocator:
    """First-fit allocation of word ranges in a memory that grows as needed.

    Attributes
    ----------
    peak : int
        Words needed so far.
    """

    def __init__(self, start: int = 0) -> None:
        self._used: list[tuple[int, int]] = []
        self._start = start
        self.peak = start

    def allocate(self, words: int) -> int:
        """Reserve ``words`` at the lowest free address, and return that address."""
        address = self._start
        for low, high in sorted(self._used):
            if address + words <= low:
                break
            address = max(address, high)
        self._used.append((address, address + words))
        self.peak = max(self.peak, address + words)
        return address

    def free(self, address: int) -> None:
        """Give back the range that starts at ``address``."""
        self._used = [r for r in self._used if r[0] != address]
