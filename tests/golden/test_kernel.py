"""Compiled functions: what keeps their code costs time at worst."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zerotrain.golden.fast import kernel as module
from zerotrain.golden.fast.kernel import kernel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder."""
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / "a b"))
    module._folder.cache_clear()
    yield tmp_path / "a b"
    module._folder.cache_clear()


def compiled() -> Any:
    """The same function each time, as in another process."""

    def double(x: int) -> int:
        return 2 * x

    return kernel(double)


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def hits(function: Any) -> int:
    return sum(function.stats.cache_hits.values())


def test_code_is_kept(cache: Path) -> None:
    assert compiled()(21) == 42
    again = compiled()
    assert again(21) == 42 and hits(again) == 1
    assert list(cache.glob("kernels-*/*/*.nbc"))


def test_a_full_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_data", full)
    assert compiled()(21) == 42
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert compiled()(21) == 42
    assert not list(Path(module.__file__).parent.glob("__pycache__/*.nb?")), "nowhere else"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_cache_that_is_a_file(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / name))
    assert compiled()(21) == 42


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x05."])
def test_damaged_code_is_made_again(cache: Path, content: bytes) -> None:
    assert compiled()(21) == 42
    for path in cache.glob("kernels-*/*/*"):
        path.write_bytes(content)
    assert compiled()(21) == 42
    again = compiled()
    assert again(21) == 42 and hits(again) == 1
