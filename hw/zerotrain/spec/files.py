"""Files that are written whole or not at all, and where files for later runs are kept."""

import os
import tempfile
from pathlib import Path

__all__ = ["cache_folder", "write_atomic"]


def cache_folder() -> Path:
    """What later runs can reuse: ``$ZEROTRAIN_CACHE``, or ``zerotrain`` in the user's cache."""
    named = os.environ.get("ZEROTRAIN_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").resolve() / "zerotrain"


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
