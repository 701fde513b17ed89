"""Data sets that are files inside the package scikit-learn, read without it.

The files are 66 kB, the package with all that it needs takes 150 MB. So they are read where it is
installed, without importing it, or where :mod:`zerotrain.data.fetch` keeps them.
"""

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.extras import advice
from zerotrain.spec.files import cache_folder

__all__ = ["FILES", "INSIDE", "checked", "fetched_folder", "read_table"]

#: Where the files are in the package.
INSIDE = PurePosixPath("sklearn", "datasets", "data")
#: Hashes of the files' contents, so that the data are the same whatever version they come from.
FILES = {
    "digits.csv.gz": "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
    "diabetes_data_raw.csv.gz": "86badf50b4f9436ddd1e497dc0ae1b93166f8120221ee7dca4634fe849f3be7c",
    "diabetes_target.csv.gz": "244713a551f62a291a354212d8a048adec6cb1244b2bc44e66a0698f5006d26d",
}


def fetched_folder() -> Path:
    """Where fetched files are kept."""
    return cache_folder() / "data"


def checked(name: str, content: bytes, origin: object) -> str:
    """Text of a compressed file, which must be the one that is known.

    Raises
    ------
    ValueError
        If it is not.
    """
    try:
        text = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise ValueError(f"{origin} is damaged: {error}") from error
    found = hashlib.sha256(text).hexdigest()
    if found != FILES[name]:
        raise ValueError(
            f"{origin} is not the file that results were made with: expected SHA-256 "
            f"{FILES[name][:16]}..., got {found[:16]}...; install another version of scikit-learn"
        )
    return text.decode("ascii")


def read_table(name: str) -> NDArray[np.float64]:
    """One of ``FILES`` as numbers.

    Raises
    ------
    FileNotFoundError
        If it is nowhere.
    ValueError
        If it is another file.
    """
    path = _find(name)
    text = checked(name, path.read_bytes(), path)
    delimiter = "," if "," in text else None
    return np.loadtxt(text.splitlines(), delimiter=delimiter)


def _find(name: str) -> Path:
    package = find_spec(INSIDE.parts[0])
    places = [Path(folder) for folder in (package and package.submodule_search_locations) or ()]
    for folder in (*(place.parent / INSIDE for place in places), fetched_folder()):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{name} is neither in an installed scikit-learn nor in {fetched_folder()}: fetch it with "
        f"python -m zerotrain.data.fetch, or {advice('data')}"
    )
