"""A folder of build results, named by what they were built from.

Safe under parallel runs: whoever comes first builds, the others wait and find the result. A result
appears under its name complete or not at all, so an interrupted build leaves nothing behind that a
later run could mistake for one.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from zerotrain.spec.files import cache_folder, locked, make_folder, reason

__all__ = ["LOCK_SECONDS", "cached", "content_key", "sources_key"]

#: Longest wait for another process that builds the same thing.
LOCK_SECONDS = 1800.0
_ADVICE = "name another one in the environment variable ZEROTRAIN_CACHE"


def content_key(*parts: str) -> str:
    """Name for what is built from these texts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


def sources_key(*names: str) -> str:
    """:func:`content_key` of some modules, and of every file, Python or not, of some packages.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module or package.
    """
    parts = []
    for name in names:
        spec = find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module or package {name}", name=name)
        roots = [Path(place) for place in spec.submodule_search_locations or ()]
        files = [(root, path) for root in roots for path in sorted(root.rglob("*"))]
        if not roots and spec.origin is not None:
            files = [(Path(spec.origin).parent, Path(spec.origin))]
        for root, path in files:
            # Bytecode is made from the sources.
            if path.is_file() and path.suffix != ".pyc":
                parts += [name, str(path.relative_to(root)), path.read_bytes().hex()]
    return content_key(*parts)


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``kind-key`` of the cache; ``build(folder)`` fills it if it is not there yet.

    Parameters
    ----------
    kind, key : str
        What was built, and :func:`content_key` of everything that it depends on.
    build : callable
        Fills the empty folder it is given, or raises.

    Raises
    ------
    OSError
        If the cache cannot be written.
    """
    root = cache_folder()
    result = root / f"{kind}-{key}"
    if result.is_dir():
        return result
    make_folder(root, "the cache folder", _ADVICE)
    lock = root / f".lock-{key}"
    busy = (
        f"Another process ({{}}) has been building the same for {LOCK_SECONDS / 60:.0f} minutes: "
        f"end it, or remove {lock}"
    )
    # Without locks, the same may be built twice at the same time.
    with locked(lock, busy=busy, advice=None, seconds=LOCK_SECONDS):
        if result.is_dir():
            return result
        try:
            _build(root, result, build)
        except OSError as error:
            if error.errno is None:  # a sentence already
                raise
            raise type(error)(
                f"Cannot write in the cache folder {root}: {reason(error, result)}; {_ADVICE}"
            ) from error
    return result


def _build(root: Path, result: Path, build: Callable[[Path], None]) -> None:
    work = Path(tempfile.mkdtemp(prefix=f".{result.name}-", dir=root))
    try:
        build(work)
        with suppress(OSError):  # not every file system has permissions
            work.chmod(0o755)
        try:
            work.rename(result)
        except OSError:
            if not result.is_dir():  # another process was faster, where there are no locks
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
