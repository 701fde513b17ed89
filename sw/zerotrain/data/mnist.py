"""MNIST from its four IDX files (LeCun, Cortes, Burges), gzipped or not, whatever the collection
that they come from calls them.

The files are looked for in the directory given by the user, in ``$ZEROTRAIN_DATA``, and in the
user's cache. They are never downloaded.
"""

import gzip
import hashlib
import os
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.dataset import Dataset, Split
from zerotrain.data.mixing import permutation
from zerotrain.spec.files import user_cache

__all__ = ["FILES", "find_directory", "find_file", "load_mnist", "read_idx"]

#: SHA-256 of every file's uncompressed content.
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
#: What IDX files of bytes begin with; the number of dimensions follows.
_BYTES = b"\x00\x00\x08"
_SEED = 2308
_VALIDATION = 5000
_MAX_BYTES = 1 << 28


def find_directory(given: Path | None) -> Path:
    """The first directory that holds the training images.

    Raises
    ------
    FileNotFoundError
        Naming every directory that was looked into.
    """
    named = given or os.environ.get("ZEROTRAIN_DATA")
    # Not every shell replaces the ~ of a variable.
    roots = [Path(os.path.expanduser(named))] if named else []
    if not given:
        roots.append(user_cache() / "zerotrain")
    first = next(iter(FILES))
    places = [place for root in roots for place in (root / "mnist", root)]
    for place in places:
        if find_file(place, first):
            return place
    raise FileNotFoundError(
        f"The MNIST files are not there: expected {first}.gz and its three companions in "
        f"{' or '.join(map(str, places))}; put them there or name their directory with --data or "
        "ZEROTRAIN_DATA"
    )


def find_file(directory: Path, name: str) -> Path | None:
    """The file of that name, with or without ``.gz``, or as other collections call it."""
    stem, _, kind = name.partition("-idx")
    names = (name, f"{stem}.idx{kind}", f"{stem}.idx{kind.partition('-')[0]}")
    paths = (directory / f"{each}{end}" for each in names for end in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def read_idx(path: Path, sha256: str | None = None) -> NDArray[np.uint8]:
    """Read one IDX file of bytes.

    Parameters
    ----------
    path : Path
        The file; gzipped if its name ends in ``.gz``, unless a browser has unpacked it.
    sha256 : str, optional
        What the uncompressed content must hash to.

    Raises
    ------
    ValueError
        If the file is truncated, damaged or something else.
    """
    try:
        with path.open("rb") as file:
            packed = path.suffix == ".gz" and file.read(len(_BYTES)) != _BYTES
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged or truncated ({error}); fetch it again") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path} is larger than the {_MAX_BYTES} bytes expected at most")
    if len(content) < 4 or content[:3] != _BYTES or not 1 <= content[3] <= 4:
        raise ValueError(
            f"{path} is not an IDX file of bytes: it begins with {content[:4].hex() or 'nothing'}, "
            "expected 000008 and the number of dimensions"
        )
    head = 4 + 4 * content[3]
    if len(content) < head:
        raise ValueError(f"{path} is truncated: {len(content)} bytes, its header has {head}")
    shape = struct.unpack(f">{content[3]}I", content[4:head])
    if len(content) != head + prod(shape):
        raise ValueError(
            f"{path} has {len(content) - head} bytes of data, its header says "
            f"{' x '.join(map(str, shape))} = {prod(shape)}; fetch it again"
        )
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} does not hold MNIST's data (its SHA-256 differs); fetch it again")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _read_split(directory: Path, prefix: str) -> Split:
    arrays = []
    for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"):
        path = find_file(directory, name)
        if path is None:
            raise FileNotFoundError(
                f"{directory} holds only a part of MNIST: expected {name}.gz beside the others"
            )
        arrays.append(read_idx(path, FILES[name]))
    images, labels = arrays
    x = images.reshape(len(images), -1).astype(np.float64) / 256.0
    return Split(x, labels.astype(np.int64))


def load_mnist(directory: Path | None = None) -> Dataset:
    """55000 training, 5000 validation and 10000 test samples.

    Pixels 0..255 are divided by 256: exact in the 9-bit format Q0.8.
    """
    place = find_directory(directory)
    rest, test = _read_split(place, "train"), _read_split(place, "t10k")
    validation, training = np.split(permutation(len(rest), _SEED), [_VALIDATION])
    parts = rest.take(np.sort(training)), rest.take(np.sort(validation)), test
    return Dataset("mnist", *parts, 10, (28, 28))
