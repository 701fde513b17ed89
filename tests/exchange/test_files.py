"""Files of arrays."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerotrain.exchange.files import SUFFIXES, pack, unpack

ARRAYS: dict[str, Any] = {
    "0.weight": np.arange(6.0, dtype=np.float32).reshape(2, 3),
    "theta": np.arange(4),
}
BROKEN = "is not an NPZ file of numbers, or damaged: numpy.savez writes one"


def suffix_or_skip(suffix: str) -> str:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    return suffix


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_come_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix_or_skip(suffix)}"
    path.write_bytes(pack(suffix, ARRAYS, "text"))
    found = unpack(path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and (found[name] == array).all()
    assert pack(suffix, ARRAYS, "text") == path.read_bytes()


def test_an_npz_does_not_tell_the_time() -> None:
    """1980 is in the archive's entries, whatever the clock says."""
    content = pack(".npz", ARRAYS, "text")
    assert content[10:14] == b"\x00\x00\x21\x00"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whatever_bytes_a_file_has(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix_or_skip(suffix)}"
    whole, rng = pack(suffix, ARRAYS, "text"), np.random.default_rng(1)
    refused = 0
    for turn in range(300):
        content = bytearray(whole[: int(rng.integers(0, len(whole)))] if turn % 3 == 0 else whole)
        for _ in range(int(rng.integers(1, 4))):
            if content:
                content[int(rng.integers(0, len(content)))] = int(rng.integers(0, 256))
        path.write_bytes(content)
        try:
            unpack(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path} ") and "\n" not in str(error)
    assert refused > 100


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}], object))
    for content in (b"", b"text", buffer.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            unpack(path)
        assert str(caught.value) == f"{path} {BROKEN}"
    with pytest.raises(ValueError) as caught:
        unpack(tmp_path / "w.pt")
    assert str(caught.value) == (
        "Weights are files named *.npz or *.safetensors, not 'w.pt': in PyTorch, "
        "numpy.savez(name, **{k: v.numpy() for k, v in state.items()}) makes one of a state dict"
    )
