"""NPZ files: parts by the arrays' names, and headers that are believed only where they are true."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zerotrain.data import npz_file
from zerotrain.data.npz_file import read_npz

X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])


def member(array: np.ndarray, *, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=pickled)
    return file.getvalue()


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_parts(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=X, y=Y, other=np.zeros(3))
    found = read_npz(path)
    assert list(found) == ["training"] and found["training"].x.tolist() == X.tolist()
    np.savez_compressed(path, X_train=X, y_train=Y, X_test=X[:2], y_test=Y[:2], x_val=X, y_val=Y)
    found = read_npz(path)
    assert sorted(found) == ["test", "training", "validation"]
    assert found["test"].y.tolist() == [0, 1]  # type: ignore[union-attr]
    np.savez(path, x=np.asfortranarray(X.astype(">f4")), y=np.array([b"\xc3\xa4", b"b"] * 3))
    found = read_npz(path)
    assert found["training"].x.tolist() == X.tolist()
    assert found["training"].y.tolist() == ["ä", "b"] * 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "{}: expected arrays x and y, or x_train, y_train, x_test and y_test, got none of "
         "them"),
        ({"x": member(X)}, "{}: there is an array 'x' without its companion"),
        ({"x": member(X), "y": member(Y), "x_train": member(X), "y_train": member(Y)},
         "{}: there are two training parts: expected one"),
        ({"x": member(X), "X": member(X), "y": member(Y)}, "{}: two arrays are named 'x': expected "
         "one"),
        ({"x": member(X.astype(complex)), "y": member(Y)}, "{}: array 'x' has elements of type "
         "complex128: expected numbers or texts"),
        ({"x": member(X), "y": member(Y.astype(object), pickled=True)}, "{}: array 'y' has "
         "elements of type object: expected numbers or texts"),
        ({"x": member(X)[:-8], "y": member(Y)}, "{}: array 'x' is damaged: 216 bytes, its header "
         "says 224"),
        ({"x": member(X).replace(b"(6, 2), }", b"(6, 2, } "), "y": member(Y)}, None),
        ({"x": member(X).replace(b"(6, 2), }    ", b"(9999999, 9)}"), "y": member(Y)},
         "{} holds more than 67,108,864 numbers: take fewer samples"),
        ({"x": member(X).replace(b"NUMPY\x01", b"NUMPY\x07"), "y": member(Y)}, "{}: array 'x' is "
         "of a version of NumPy's format that is unknown"),
        ({"x": b"no array", "y": member(Y)}, None),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, members: dict[str, bytes], message: str | None) -> None:
    path = pack(tmp_path / "t.npz", members)
    with pytest.raises(ValueError) as caught:
        read_npz(path)
    if message is not None:
        assert str(caught.value) == message.format(path)
    assert str(caught.value).startswith(str(path))


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.npz"
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"^.*t\.npz is damaged, or no NPZ file \(File is not a "
                       r"zip file\): write it again with numpy\.savez$"):  # fmt: skip
        read_npz(path)
    pack(path, {"x": member(X), "y": member(Y)}, zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match=r"t\.npz: array 'x' is packed in a way that NumPy does "
                       r"not write: expected numpy\.savez or numpy\.savez_comp"):  # fmt: skip
        read_npz(path)
    np.savez(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[content.index(member(X)[-16:])] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.npz is damaged, or no NPZ file \(Bad CRC-32 for file "
                       r"'x\.npy'\): write it again"):  # fmt: skip
        read_npz(path)
    np.savez(path, x=X, y=Y)
    monkeypatch.setattr(npz_file, "MOST_VALUES", 15)
    with pytest.raises(ValueError, match=r"t\.npz holds more than 15 numbers: take fewer samples$"):
        read_npz(path)
