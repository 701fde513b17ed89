"""Files that are written whole or not at all, locks, folders, and why one of them failed."""

import errno
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "cache_folder", "file_name", "locked", "make_folder", "reason", "user_cache", "write_atomic",
]  # fmt: skip

#: What file systems say of an operation that they do not have, or have only for some users.
_NOT_HERE = (
    errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES,
    errno.EBADF, errno.EISDIR,
)  # fmt: skip


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


def file_name(name: str) -> str:
    """What of a network's name suits the name of a file: at most 100 letters, digits, ``_.+-``."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-.")[:100] or "network"


def reason(error: OSError, path: Path) -> str:
    """What is wrong with a file or folder, or with the folder it is in, in a few words."""
    folder = path.parent
    there = next((p for p in (folder, *folder.parents) if os.path.exists(p)), folder)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the file system of {folder} is full, or your share of it"
        case errno.EROFS:
            return f"the file system of {folder} is read-only"
        case errno.EACCES | errno.EPERM if os.path.exists(path) and not os.access(path, os.R_OK):
            return "you may not read it"
        case errno.EACCES | errno.EPERM:
            return f"you may not write in {there}"
        case errno.ENOENT if folder != there:
            return f"there is no folder {folder}"
        case errno.ENOENT:
            return "there is no such file or folder"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{path if os.path.isdir(there) else there} is no folder"
        case errno.EISDIR:
            return "it is a folder"
    return error.strerror or str(error)


def make_folder(path: Path, what: str, advice: str = "name another one") -> None:
    """Make a folder and those above it, if they are not there.

    Raises
    ------
    OSError
        If that fails, in a sentence: "Cannot make {what} {path}: (the reason); {advice}".
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"Cannot make {what} {path}: {reason(error, path)}; {advice}") from error


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
        raise type(error)(f"Cannot write {path}: {reason(error, path)}") from error


@contextmanager
def _if_possible() -> Iterator[None]:
    """Do without what the file system does not have."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise


def _write_atomic(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            with _if_possible():
                os.fsync(file.fileno())
        # mkstemp makes private files; give this one the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        with _if_possible():
            os.chmod(name, 0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    # The rename itself must survive a power cut, too.
    with _if_possible():
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def locked(path: Path, *, busy: str, advice: str | None, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file, which stays. The system releases it if the process dies.

    Parameters
    ----------
    busy : str
        What to tell the user if another process holds it; ``{}`` stands for its number.
    advice : str or None
        What to do where the file system has no locks; None goes on without.
    seconds : float
        Longest wait for another process.

    Raises
    ------
    OSError
        With ``busy`` (TimeoutError), or if the file cannot be made or locked.
    """
    deadline = time.monotonic() + seconds
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise type(error)(f"Cannot write {path}: {reason(error, path)}") from error
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(file, 20, 0).decode(errors="replace").strip()
                    raise TimeoutError(busy.format(holder or "?")) from None
                time.sleep(0.05)
            except OSError as error:
                if advice is None:
                    break
                raise OSError(
                    f"The file system of {path.parent} has no locks ({error.strerror}): {advice}"
                ) from None
        # Whose lock it is helps others, and is no reason to stop where the disk is full.
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass
        yield
    finally:
        os.close(file)
