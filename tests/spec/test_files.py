"""Atomic files, locks, and folders for later runs, whoever runs them."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zerotrain.spec import files
from zerotrain.spec.files import file_name, locked, reason, write_atomic


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


def failing(code: int) -> Any:
    def call(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("call", ["os.fsync", "os.chmod"])
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENOTSUP])
def test_what_a_file_system_lacks_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    monkeypatch.setattr(call, failing(code))
    write_atomic(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "new"


def test_folders_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on every file system can a folder be opened to be synchronised."""
    honest = os.open

    def refuse(path: Any, flags: int, *mode: int, **options: Any) -> int:
        if Path(path) == tmp_path:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return honest(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    write_atomic(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "new"


@pytest.mark.parametrize(
    ("code", "path", "words"),
    [
        (errno.ENOSPC, "f", "the file system of {} is full, or your share of it"),
        (errno.EDQUOT, "f", "the file system of {} is full, or your share of it"),
        (errno.EROFS, "f", "the file system of {} is read-only"),
        (errno.EACCES, "f", "you may not write in {}"),
        (errno.EPERM, "a/f", "you may not write in {}"),
        (errno.ENOENT, "a/f", "there is no folder {}/a"),
        (errno.ENOENT, "f", "there is no such file or folder"),
        (errno.ENOTDIR, "file/f", "{}/file is no folder"),
        (errno.EEXIST, "file", "{}/file is no folder"),
        (errno.EISDIR, "", "it is a folder"),
        (errno.EIO, "f", "Input/output error"),
    ],
)
def test_reasons(tmp_path: Path, code: int, path: str, words: str) -> None:
    """In place of the system's words, what is wrong with which folder."""
    (tmp_path / "file").touch()
    error = OSError(code, os.strerror(code))
    assert reason(error, tmp_path / path) == words.format(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [("digits", "digits"), ("../../x", "x"), ("a b/c", "a-b-c"), ("\x00", "network"),
     ("", "network"), ("..", "network"), ("ü", "network"), ("x" * 300, "x" * 100),
     ("mnist-3962+", "mnist-3962+")],
)  # fmt: skip
def test_names_of_files(name: str, found: str) -> None:
    assert file_name(name) == found


def test_a_full_disk_does_not_keep_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.pwrite", failing(errno.ENOSPC))
    with locked(tmp_path / ".lock", busy="", advice=""):
        pass


def test_without_locks_and_without_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", failing(errno.ENOSYS))
    with locked(tmp_path / ".lock", busy="", advice=None, seconds=1800):
        pass


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
