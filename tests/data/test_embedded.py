"""The data sets inside scikit-learn's wheel, read without it."""

import gzip
import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from zerotrain.data import embedded
from zerotrain.data.embedded import FILES, fetched_folder, read_table


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without scikit-learn, and its cache folder."""
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))
    return tmp_path


def test_shapes() -> None:
    assert [read_table(name).shape for name in FILES] == [(1797, 65), (442, 10), (442,)]


def test_fetched_files_are_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"1.5,2\n3,4\n"
    monkeypatch.setitem(embedded.FILES, "digits.csv.gz", hashlib.sha256(text).hexdigest())
    fetched_folder().mkdir()
    (fetched_folder() / "digits.csv.gz").write_bytes(gzip.compress(text))
    assert read_table("digits.csv.gz").tolist() == [[1.5, 2.0], [3.0, 4.0]]


def test_an_installed_package_is_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "sklearn"
    folder = tmp_path / embedded.INSIDE
    folder.mkdir(parents=True)
    (folder / "digits.csv.gz").write_bytes(gzip.compress(b"1,2\n"))
    found = SimpleNamespace(submodule_search_locations=[str(place)])
    monkeypatch.setattr(embedded, "find_spec", lambda name: found)
    with pytest.raises(ValueError) as caught:
        read_table("digits.csv.gz")
    assert str(caught.value) == (
        f"{folder / 'digits.csv.gz'} is not the file that results were made with: expected SHA-256 "
        f"{FILES['digits.csv.gz'][:16]}..., got 52186c933993da40...; install another version of "
        "scikit-learn"
    )


def test_a_damaged_file(cache: Path) -> None:
    fetched_folder().mkdir()
    path = fetched_folder() / "digits.csv.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError) as caught:
        read_table("digits.csv.gz")
    assert str(caught.value) == f"{path} is damaged: Not a gzipped file (b'no')"


def test_no_file_at_all(cache: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_table("digits.csv.gz")
    assert str(caught.value) == (
        f"digits.csv.gz is neither in an installed scikit-learn nor in {cache / 'data'}: fetch it "
        "with python -m zerotrain.data.fetch, or pip install 'scikit-learn<2,>=1.5'"
    )
