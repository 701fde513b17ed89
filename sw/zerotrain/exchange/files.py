"""Arrays by name in a file: NPZ, or safetensors where that package is installed.

Both are read without running any code that a file might hold, which PyTorch's own ``.pt`` files do
not promise. Equal arrays give equal bytes.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SUFFIXES", "check_suffix", "pack", "unpack"]

#: Endings of names of files.
SUFFIXES = (".npz", ".safetensors")
#: Bytes of a file's arrays at most: a thousand times what any chip holds.
_MOST = 1 << 29

Arrays = dict[str, NDArray[Any]]


def check_suffix(path: Path) -> None:
    """Raise ``ValueError`` for names of other files."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"Weights are files named *{' or *'.join(SUFFIXES)}, not {path.name!r}"
            + (
                ": in PyTorch, numpy.savez(name, **{k: v.numpy() for k, v in state.items()}) "
                "makes one of a state dict"
                if path.suffix in (".pt", ".pth", ".bin", ".ckpt")
                else ""
            )
        )


def _safetensors() -> Any:
    try:
        from safetensors import numpy as module
    except ImportError:
        raise ValueError(
            "Files *.safetensors need the package safetensors: python -m pip install "
            "'zerotrain[exchange]'; or use *.npz"
        ) from None
    return module


def pack(suffix: str, arrays: Mapping[str, NDArray[Any]], description: str) -> bytes:
    """A file's content; ``description`` is an entry of an NPZ, metadata of safetensors."""
    if suffix == ".safetensors":
        content: bytes = _safetensors().save(dict(arrays), metadata={"description": description})
        return content
    buffer = io.BytesIO()
    values: dict[str, Any] = {"description": np.array(description), **arrays}
    np.savez(buffer, **values)
    return buffer.getvalue()


def unpack(path: Path) -> Arrays:
    """The arrays in a file, without the description.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it is damaged or too large.
    """
    check_suffix(path)
    if path.stat().st_size > _MOST:
        raise ValueError(f"{path} is too large: expected at most {_MOST >> 20} MiB")
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        load = _safetensors().load
        try:
            return dict(load(content))
        except Exception as error:  # of the extension's own class, or of what NumPy has no type for
            raise ValueError(
                f"{path} is not a safetensors file of arrays that NumPy has: "
                f"{' '.join(str(error).split())[:100]}"
            ) from None
    try:
        return _npz(content)
    except (
        ValueError, EOFError, KeyError, TypeError, OSError, RuntimeError, MemoryError,
        zipfile.BadZipFile, zlib.error, SyntaxError, OverflowError,
    ):  # fmt: skip
        raise ValueError(
            f"{path} is not an NPZ file of numbers, or damaged: numpy.savez writes one"
        ) from None


def _npz(content: bytes) -> Arrays:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MOST:
            raise ValueError
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "description"}
