"""Compiled functions: Numba, with the machine code kept on disk.

Numba's own cache notices a change of the file that defines a function, not of what it calls. The
compiled code is therefore kept in a folder named by the content of all files of this package. Where
it cannot be kept, a function is compiled anew in every process.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator

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


class _Place(CompileResultCacheImpl):
    """Code is kept in the folder that is named, and nowhere else."""

    _locator_classes = [UserProvidedCacheLocator]


class _Cache(FunctionCache):
    """A full disk or a damaged file costs time, and no more."""

    _impl_class = _Place

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code, or None if there is none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever the damaged bytes made of it
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code, if that is possible."""
        with suppress(OSError):
            super().save_overload(sig, data)


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Numba chooses a function's cache folder when the cache is made, from global settings."""
    settings: Any = numba.config
    changes = {"CACHE_DIR": str(folder), "CACHE_LOCATOR_CLASSES": ""}
    before = {name: getattr(settings, name, "") for name in changes}
    try:
        for name, value in changes.items():
            setattr(settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


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
    compiled: Any = numba.njit(**options)(function)
    folder = _folder()
    # Numba raises RuntimeError for a folder where no file can be made.
    with suppress(RuntimeError):
        if folder is not None:
            with _cache_in(folder):
                compiled._cache = _Cache(function)
    return cast(F, compiled)
