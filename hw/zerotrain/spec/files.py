"""Files that are written whole or not at all, locks, and where files for later runs are kept."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "locked", "user_cache", "write_atomic"]


def cache_folder() -> Path:
    """What later runs can reuse: ``$ZEROTRAIN_CACHE``, or ``zerotrain`` in the user's cache."""
    named = os.environ.get("ZEROTRAIN_CACHE")
    if not named:
        return user_cache().resolve() / "zerotrain"
    try:
        return Path(named).expanduser().resolve()
    except RuntimeError:
        raise ValueError(f"ZEROTRAIN_CACHE names the home of no known user: {named!r}") from None


def user_cache() -> Path:
    """Where the user's programs keep what can be made again.

    Raises
    ------
    ValueError
        If the user has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base) if base else Path.home() / ".cache"
    except RuntimeError:
        raise ValueError(
            "This user has no home folder: set HOME, or XDG_CACHE_HOME to a folder for caches"
        ) from None


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace a file's content; after a crash it holds either the old or the new one.

    Raises
    ------
    OSError
        If it cannot be written, in a sentence with the file's name.
    """
    try:
        _write_atomic(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise type(error)(f"Cannot write {path}: {error.strerror or error}") from error


def _write_atomic(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; give this one the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    # The rename itself must survive a power cut, too.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def locked(path: Path, *, busy: str, advice: str, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file, which stays. The system releases it if the process dies.

    Parameters
    ----------
    busy : str
        What to tell the user if another process holds it; ``{}`` stands for its number.
    advice : str
        What to do where the file system has no locks.
    seconds : float
        Longest wait for another process.

    Raises
    ------
    OSError
        With ``busy`` (TimeoutError), or if the file cannot be made or locked.
    """
    deadline = time.monotonic() + seconds
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise type(error)(f"Cannot write {path}: {error.strerror}") from error
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise TimeoutError(busy.format(file.read(20).strip() or "?")) from None
                time.sleep(0.05)
            except OSError as error:
                raise OSError(
                    f"The file system of {path.parent} has no locks ({error.strerror}): {advice}"
                ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
