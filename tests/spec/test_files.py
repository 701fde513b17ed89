"""Atomic files and locks."""

from pathlib import Path
from typing import Any

import pytest

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
