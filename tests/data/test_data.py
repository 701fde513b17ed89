"""Data sets: fixed splits, files that are damaged or missing."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from zerotrain.data import load, mnist
from zerotrain.data.dataset import Dataset, Split, quantize
from zerotrain.data.mixing import permutation, uniform, words
from zerotrain.data.mnist import load_mnist, read_idx
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Loss, Network, dense


def test_digits_split() -> None:
    digits = load("digits")
    sizes = [len(part) for part in (digits.training, digits.validation, digits.test)]
    assert sizes == [1150, 287, 360]
    assert (digits.n_inputs, digits.n_outputs) == (64, 10)
    parts = [digits.training, digits.validation, digits.test]
    rows = [row.tobytes() for part in parts for row in part.x]
    assert len(set(rows)) == 1797  # all images differ, so none is in two parts
    assert min(part.x.min() for part in parts) == 0.0
    assert set(digits.test.targets.tolist()) == set(range(10))
    # The split never changes: results stay comparable.
    assert hashlib.sha256(digits.test.targets.tobytes()).hexdigest()[:16] == "4886a8ccf6f181e7"


def test_every_digits_pixel_is_exact_in_the_input_format() -> None:
    digits = load("digits")
    fmt = QFormat(16, 11)
    raw = quantize(digits.training.x, fmt)
    assert (raw * fmt.resolution == digits.training.x).all()


def test_unknown_data_set() -> None:
    with pytest.raises(
        ValueError, match=r"^There is no data set 'digit': did you mean 'digits'\?$"
    ):
        load("digit")


def test_quantize() -> None:
    fmt = QFormat(8, 4)
    values = np.array([0.0, 1.0, -8.0, 7.9375, 0.03, -0.04])
    assert quantize(values, fmt).tolist() == [0, 16, -128, 127, 0, -1]
    with pytest.raises(ValueError, match=r"^Format Q3\.4 holds -8 to 7\.9375, the data reach from "
                       r"0 to 8: give the format more integer bits$"):  # fmt: skip
        quantize(np.array([0.0, 8.0]), fmt)


def test_random_numbers_never_change() -> None:
    assert words(2, 1, 2).tolist() == [5803727657181717140, 2726225660025633217]
    assert permutation(8, 3).tolist() == [4, 0, 2, 1, 6, 3, 7, 5]
    assert uniform(1, 7).tolist() == [0.8307961925714586]


def test_random_streams() -> None:
    assert words(5, 1).tolist() != words(5, 2).tolist() != words(5, 1, 0).tolist()
    values = uniform(40000, 3)
    assert values.min() >= -1 and values.max() < 1
    assert abs(values.mean()) < 0.015
    assert values.var() == pytest.approx(1 / 3, rel=0.02)
    assert sorted(permutation(1000, 4).tolist()) == list(range(1000))
    neighbours = np.array([words(1, seed)[0] >> np.uint64(63) for seed in range(4000)])
    assert abs(neighbours.astype(float).mean() - 0.5) < 0.04


def test_check() -> None:
    split = Split(np.zeros((4, 3)), np.zeros(4, np.int64))
    data = Dataset("toy", split, split, split, 2, (1, 3))
    data.check(Network((dense(3, 2),)))
    with pytest.raises(ValueError, match=r"^Data set toy has 3 inputs and 2 classes, network "
                       r"network has 4 inputs and 2 outputs: "
                       r"let inputs of layer 1 be 3$"):  # fmt: skip
        data.check(Network((dense(4, 2),)))
    labels = (
        "Data set toy has labels, which need the loss softmax_cross_entropy, network network has "
        "mean_squared_error"
    )
    with pytest.raises(ValueError, match=f"^{labels}$"):
        data.check(Network((dense(3, 2),), Loss.MEAN_SQUARED_ERROR))


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST's four files with few and tiny images."""
    monkeypatch.delenv("ZEROTRAIN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "_VALIDATION", 3)
    (tmp_path / "mnist").mkdir()
    sums = {}
    for k, name in enumerate(mnist.FILES):
        count = 12 if "train" in name else 5
        shape = (count, 2, 2) if "images" in name else (count,)
        content = idx(words(int(np.prod(shape)), k).reshape(shape) % np.uint64(10))
        sums[name] = hashlib.sha256(content).hexdigest()
        (tmp_path / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(mnist, "FILES", sums)
    return tmp_path


def test_mnist(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_mnist(small_mnist)
    assert [len(p) for p in (data.training, data.validation, data.test)] == [9, 3, 5]
    assert data.n_inputs == 4
    assert load_mnist(small_mnist / "mnist").test.targets.tolist() == data.test.targets.tolist()
    monkeypatch.setenv("ZEROTRAIN_DATA", str(small_mnist))
    assert load_mnist().test.x.tolist() == data.test.x.tolist()
    monkeypatch.delenv("ZEROTRAIN_DATA")
    (small_mnist / "cache" / "zerotrain").mkdir(parents=True)
    (small_mnist / "mnist").rename(small_mnist / "cache" / "zerotrain" / "mnist")
    assert load_mnist().test.x.tolist() == data.test.x.tolist()


def test_missing_mnist(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = small_mnist / "empty"
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(empty)
    assert str(caught.value) == (
        "The MNIST files are not there: expected train-images-idx3-ubyte.gz and its three "
        f"companions in {empty}/mnist or {empty}; put them there or name their directory with "
        "--data or ZEROTRAIN_DATA"
    )
    (small_mnist / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte.gz"):
        load_mnist(small_mnist)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("form", ["{}-idx{}-ubyte", "{}.idx{}-ubyte", "{}.idx{}"])
def test_names_of_other_collections(small_mnist: Path, form: str, ending: str) -> None:
    """Packed or not."""
    expected = load_mnist(small_mnist).test
    for path in list((small_mnist / "mnist").iterdir()):
        stem, _, kind = path.name.removesuffix("-ubyte.gz").partition("-idx")
        content = path.read_bytes()
        path.unlink()
        fresh = path.with_name(form.format(stem, kind) + ending)
        fresh.write_bytes(content if ending else gzip.decompress(content))
    found = load_mnist(small_mnist).test
    assert found.x.tolist() == expected.x.tolist()
    assert found.targets.tolist() == expected.targets.tolist()


def test_files_that_a_browser_unpacked(small_mnist: Path) -> None:
    """Their names still end in .gz."""
    expected = load_mnist(small_mnist).test
    for path in (small_mnist / "mnist").iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))
    assert load_mnist(small_mnist).test.x.tolist() == expected.x.tolist()


def test_a_tilde_that_no_shell_replaced(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(small_mnist))
    monkeypatch.setenv("ZEROTRAIN_DATA", "~/mnist")
    assert len(load_mnist().test) == 5
    monkeypatch.delenv("ZEROTRAIN_DATA")
    assert len(load_mnist(Path("~/mnist")).test) == 5


def test_exchanged_files_are_found(small_mnist: Path) -> None:
    folder = small_mnist / "mnist"
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(
        (folder / "train-labels-idx1-ubyte.gz").read_bytes()
    )
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz does not hold MNIST's data"):
        load_mnist(small_mnist)


GOOD = idx(np.arange(12).reshape(3, 2, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[:-1], "has 11 bytes of data, its header says 3 x 2 x 2 = 12; fetch it again"),
        (GOOD + b"x", "has 13 bytes of data, its header says 3 x 2 x 2 = 12; fetch it again"),
        (GOOD[:9], "is truncated: 9 bytes, its header has 16"),
        (b"", "is not an IDX file of bytes: it begins with nothing, expected 000008 and the "
         "number of dimensions"),
        (b"\x00\x00\x0d\x01" + bytes(8), "is not an IDX file of bytes: it begins with 00000d01, "
         "expected 000008 and the number of dimensions"),
        (b"<html>", "is not an IDX file of bytes: it begins with 3c68746d, expected 000008 and "
         "the number of dimensions"),
    ],
)  # fmt: skip
def test_damaged_idx(tmp_path: Path, content: bytes, message: str) -> None:
    for path, data in (
        (tmp_path / "plain", content),
        (tmp_path / "packed.gz", gzip.compress(content)),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError) as caught:
            read_idx(path)
        assert str(caught.value) == f"{path} {message}"


def test_damaged_gzip(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD)
    path = tmp_path / "f.gz"
    path.write_bytes(packed)
    assert read_idx(path).tolist() == np.arange(12).reshape(3, 2, 2).tolist()
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    for content in (packed[:-4], packed[: len(packed) // 2], bytes(flipped), b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"f\.gz is damaged or truncated \(.*\); fetch it"):
            read_idx(path)
