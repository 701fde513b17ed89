"""Arrays in NPZ files: ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test`` and ``y_test``."""

import errno
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zerotrain.data.table import MOST_VALUES, Table, check_size

__all__ = ["read_npz"]

#: Endings of the arrays' names by the part that they belong to.
_ENDINGS = {
    "training": ("", "_train", "_training"),
    "test": ("_test",),
    "validation": ("_val", "_valid", "_validation"),
}
#: What NumPy's writers use; others may need more memory than their files say.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: What reading something else than an archive of arrays ends with.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, TypeError, SyntaxError,
    MemoryError, OverflowError, AttributeError, IndexError, KeyError, tokenize.TokenError,
)  # fmt: skip


class _TooLarge(Exception):
    """More numbers than a data set may have."""


def read_npz(path: Path) -> dict[str, Table]:
    """Read the arrays of a file by part; there is a training part.

    Raises
    ------
    ValueError
        In one sentence, if the file is damaged, too large or without the arrays.
    """
    check_size(path)
    try:
        # NumPy warns of headers that Python 2 wrote; they are read all the same.
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings(action="ignore"):
            return _tables(path, _arrays(archive))
    except _TooLarge:
        raise ValueError(
            f"{path} holds more than {MOST_VALUES:,} numbers: take fewer samples"
        ) from None
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except (*_DAMAGED, OSError) as error:
        # A damaged table of contents leads to places that no file has.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(
            f"{path} is damaged, or no NPZ file ({reason}): write it again with numpy.savez"
        ) from None


class _Refused(Exception):
    """A sentence without the file's name."""


def _arrays(archive: zipfile.ZipFile) -> dict[str, NDArray[Any]]:
    """The arrays with names that mean something, in small letters."""
    known = {start + end for start in "xy" for ends in _ENDINGS.values() for end in ends}
    found: dict[str, NDArray[Any]] = {}
    room = MOST_VALUES
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy").lower()
        if name not in known:
            continue
        if name in found:
            raise _Refused(f"two arrays are named {name!r}: expected one")
        found[name] = _array(archive, info, name, room)
        room -= found[name].size
    return found


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, room: int) -> NDArray[Any]:
    """One array, whose header is believed only where the file is as long as it says."""
    if info.compress_type not in _METHODS:
        raise _Refused(
            f"array {name!r} is packed in a way that NumPy does not write: expected numpy.savez or "
            "numpy.savez_compressed"
        )
    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise _Refused(f"array {name!r} is of a version of NumPy's format that is unknown")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "biufUS":
            raise _Refused(
                f"array {name!r} has elements of type {dtype}: expected numbers or texts"
            )
        if any(type(n) is not int or n < 0 for n in shape):
            raise _Refused(f"array {name!r} has the shape {shape}")
        if prod(shape) > room or prod(shape) * dtype.itemsize > 8 * MOST_VALUES:
            raise _TooLarge
        if file.tell() + prod(shape) * dtype.itemsize != info.file_size:
            raise _Refused(
                f"array {name!r} is damaged: {info.file_size} bytes, its header says "
                f"{file.tell() + prod(shape) * dtype.itemsize}"
            )
    with archive.open(info) as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    if dtype.kind == "S":
        return np.strings.decode(array, "utf-8")
    return array


def _tables(path: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for part, endings in _ENDINGS.items():
        for end in endings:
            here = [start + end for start in "xy" if start + end in arrays]
            if len(here) == 1:
                raise _Refused(f"there is an array {here[0]!r} without its companion")
            if here and part in found:
                raise _Refused(f"there are two {part} parts: expected one")
            if here:
                found[part] = Table(arrays[here[0]], arrays[here[1]])
    if "training" not in found:
        raise _Refused(
            "expected arrays x and y, or x_train, y_train, x_test and y_test, got none of them"
        )
    return found
