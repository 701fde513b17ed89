"""Limits of what a damaged input may cost, and how many are tried."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS, _MEGABYTES = 10.0, 500


def tries(usual: int) -> int:
    """How many damaged inputs a test tries; ``ZEROTRAIN_FUZZ=5000`` asks for so many."""
    return int(os.environ.get("ZEROTRAIN_FUZZ", usual))


@contextmanager
def limited() -> Iterator[None]:
    """Fail if what is done inside takes long, or much memory."""
    before, started = _peak(), time.perf_counter()
    yield
    assert time.perf_counter() - started < _SECONDS
    assert _peak() - before < _MEGABYTES


def _peak() -> float:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
