"""Compiled functions: Numba, with the machine code kept on disk.

Numba's own cache notices a change of the file that defines a function, not of what it calls. The
compiled code is therefore kept in a folder named by the content of all files of this package.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numba

from zerotrain.spec.files import cache_folder

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])


@lru_cache(maxsize=1)
def _folder() -> Path | None:
    """Where compiled code is kept, or None if nothing can be written there."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    folder = cache_folder() / f"kernels-{digest.hexdigest()[:24]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Numba chooses a function's cache folder when it is decorated, from a global setting."""
    settings: Any = numba.config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def kernel(function: F) -> F:
    """Compile ``function`` on its first call, for the types of that call.

    Compiled functions release the interpreter lock. Their float64 arithmetic may be fused: with
    integers of at most 53 bits that changes nothing.

    Raises
    ------
    ValueError
        If Numba was told not to compile.
    """
    settings: Any = numba.config
    if settings.DISABLE_JIT:
        raise ValueError(
            "The golden model's steps are compiled by Numba, and NUMBA_DISABLE_JIT forbids that: "
            "unset it"
        )
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    folder = _folder()
    if folder is None:
        return numba.njit(**options)(function)
    with _cache_in(folder):
        return numba.njit(cache=True, **options)(function)
