"""Reproducible random numbers: the same on every machine and with every NumPy.

NumPy does not promise that its generators keep their streams from version to version. A run that
must be repeated bit for bit needs that promise, so these are a counter passed through SplitMix64's
finaliser (Steele, Lea, Flood 2014), in integer arithmetic only.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["permutation", "uniform", "words"]

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def words(count: int, *key: int) -> NDArray[np.uint64]:
    """``count`` 64-bit random words of the stream named by ``key``."""
    state = np.zeros(1, np.uint64)
    for part in key:
        state = _mix(state + np.uint64((part + 1) * _GOLDEN_GAMMA % 2**64))
    return _mix(state + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN_GAMMA))


def uniform(count: int, *key: int) -> NDArray[np.float64]:
    """``count`` numbers in [-1, 1), multiples of 2**-52."""
    return (words(count, *key) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def permutation(count: int, *key: int) -> NDArray[np.int64]:
    """The numbers 0 to ``count - 1`` in random order."""
    return np.argsort(words(count, *key), kind="stable").astype(np.int64)
