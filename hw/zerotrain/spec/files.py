"""Files that are written whole or not at all, and where files for later runs are kept."""

import os
import tempfile
from pathlib import Path

__all__ = ["cache_folder", "user_cache", "write_atomic"]


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
    """Replace a file's content; after a crash it holds either the old or the new one."""
    data = content.encode() if isinstance(content, str) else content
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
