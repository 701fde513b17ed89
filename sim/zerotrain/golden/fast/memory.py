"""The same memory for the large arrays of one step after the other.

Memory fresh from the system costs a fault for every page: about a fifth of a CGE step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.words import Words, word_type
from zerotrain.spec.formats import QFormat

__all__ = ["Memory", "borrowed_memory"]

Buffers = list[NDArray[np.uint8]]

#: What the last step used, unless a step is using it.
_kept: Buffers = []
_lock = Lock()


class Memory:
    """Gives out arrays; threads may share it.

    Parameters
    ----------
    free : list
        Buffers to use first.
    """

    def __init__(self, free: Buffers) -> None:
        self._free = free
        self._lock = Lock()
        self.given: Buffers = []

    def words(self, shape: tuple[int, ...], fmt: QFormat) -> Words:
        """A new array for words of a format, not filled."""
        kind = word_type(fmt)
        size = prod(shape) * kind().itemsize
        with self._lock:
            at = next((n for n, buffer in enumerate(self._free) if buffer.size == size), None)
            buffer = np.empty(size, np.uint8) if at is None else self._free.pop(at)
            self.given.append(buffer)
        words: NDArray[Any] = buffer.view(kind)
        return words.reshape(shape)


@contextmanager
def borrowed_memory() -> Iterator[Memory]:
    """Memory whose arrays are not used after the context: the next one gives them out again."""
    with _lock:
        free = _kept.copy()
        _kept.clear()
    memory = Memory(free)
    yield memory
    with _lock:
        _kept[:] = memory.given
