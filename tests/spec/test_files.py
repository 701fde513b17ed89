"""Atomic files, locks, and folders for later runs, whoever runs them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zerotrain.spec import files
from zerotrain.spec.files import locked, write_atomic


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("zerotrain.spec.files.os.fsync", full)
    with pytest.raises(OSError) as caught:
        write_atomic(path, "new")
    assert str(caught.value) == f"Cannot write {path}: No space left on device"
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_lock_is_held_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".lock"

    def lock() -> Any:
        return locked(path, busy="process {} has it", advice="use another disk")

    with lock(), pytest.raises(TimeoutError, match=r"^process \d+ has it$"), lock():
        pass
    with lock():
        pass

    def without(file: object, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("zerotrain.spec.files.fcntl.flock", without)
    with pytest.raises(OSError) as caught, lock():
        pass
    assert str(caught.value) == (
        f"The file system of {tmp_path} has no locks (Function not implemented): use another disk"
    )


def _no_home(cls: object) -> None:
    raise RuntimeError("Could not determine home directory.")


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZEROTRAIN_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", classmethod(_no_home))
    with pytest.raises(ValueError) as caught:
        files.cache_folder()
    assert str(caught.value) == (
        "This user has no home folder: set HOME, or XDG_CACHE_HOME to a folder for caches"
    )
    monkeypatch.setenv("ZEROTRAIN_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(ValueError) as caught:
        files.cache_folder()
    assert str(caught.value) == (
        "ZEROTRAIN_CACHE names the home of no known user: '~nobody-of-this-name/x'"
    )


def test_numba_must_compile() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import zerotrain.golden.fast.engine"],
        env={"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.stderr.splitlines()[-1] == (
        "ValueError: The golden model's steps are compiled by Numba, and NUMBA_DISABLE_JIT forbids "
        "that: unset it"
    )
