"""The build cache: keys, parallel and interrupted builds."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zerotrain.cosim.cache import cached, content_key, sources_key


def test_parallel_builds_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))
    built, folders = [], []
    both = threading.Barrier(4, timeout=30)

    def make(folder: Path) -> None:
        built.append(folder)
        (folder / "result").write_text("done")

    def worker() -> None:
        both.wait()
        folders.append(cached("thing", content_key("a", "b"), make))

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(built) == 1
    assert len(folders) == 4
    assert {(folder / "result").read_text() for folder in folders} == {"done"}


def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))
    script = (
        "import os; from zerotrain.cosim.cache import cached\n"
        "def make(folder):\n"
        "    (folder / 'half').write_text('x')\n"
        "    os._exit(9)\n"  # as if it had been killed
        "cached('thing', 'k', make)\n"
    )
    environment = os.environ | {"ZEROTRAIN_CACHE": str(tmp_path)}
    died = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert died.returncode == 9
    result = cached("thing", "k", lambda folder: (folder / "whole").touch())
    assert [path.name for path in result.iterdir()] == ["whole"]


def test_keys_tell_parts_apart() -> None:
    assert content_key("ab", "c") != content_key("a", "bc") != content_key("abc")


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError) as caught:
        cached("thing", "k", lambda folder: None)
    assert str(caught.value) == (
        f"Cannot make the cache folder {tmp_path}/file/cache: {tmp_path}/file is no folder; name "
        "another one in the environment variable ZEROTRAIN_CACHE"
    )


def test_a_full_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is named, and nothing half built remains."""
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))

    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError) as caught:
        cached("thing", "k", build)
    assert str(caught.value) == (
        f"Cannot write in the cache folder {tmp_path}: the file system of {tmp_path} is full, or "
        "your share of it; name another one in the environment variable ZEROTRAIN_CACHE"
    )
    assert [path.name for path in tmp_path.iterdir()] == [".lock-k"]


def test_a_cache_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits; who comes second takes the first one's result."""
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))

    def without(file: object, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", without)

    def second(folder: Path) -> None:
        (folder / "second").touch()

    def first(folder: Path) -> None:
        (folder / "first").touch()
        cached("thing", "k", second)

    found = cached("thing", "k", first)
    assert [path.name for path in found.iterdir()] == ["second"]
    assert cached("thing", "k", lambda folder: pytest.fail("built again")) == found


def test_sources_are_told_apart_by_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed, added or renamed file changes the key; compiled ones do not."""
    monkeypatch.syspath_prepend(str(tmp_path))
    inner = tmp_path / "described" / "inner"
    inner.mkdir(parents=True)
    (inner / "one.py").write_text("x = 1\n")
    (inner / "harness.cpp").write_text("int x;\n")
    keys = [sources_key("described")]
    assert sources_key("described") == keys[0]

    (inner / "__pycache__").mkdir()
    (inner / "__pycache__" / "one.pyc").write_bytes(b"x")
    assert sources_key("described") == keys[0]

    (inner / "one.py").write_text("x = 2\n")
    keys.append(sources_key("described"))
    (inner / "harness.cpp").write_text("int y;\n")
    keys.append(sources_key("described"))
    (inner / "two.py").write_text("")
    keys.append(sources_key("described"))
    (inner / "two.py").rename(inner / "three.py")
    keys.append(sources_key("described"))
    assert len(set(keys)) == len(keys)

    keys = [sources_key("described.inner.one")]
    (inner / "three.py").write_text("x = 3\n")
    assert sources_key("described.inner.one") == keys[0]
    (inner / "one.py").write_text("x = 3\n")
    assert sources_key("described.inner.one") != keys[0]

    with pytest.raises(ModuleNotFoundError, match="^No module or package nowhere$"):
        sources_key("nowhere")
