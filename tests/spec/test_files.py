"""Folders for later runs, whoever runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from zerotrain.spec import files


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
