"""Which version this is."""

import re
import subprocess
from pathlib import Path

import pytest

from zerotrain.host import version as module
from zerotrain.host.version import versions


def test_versions() -> None:
    found = versions()
    assert list(found)[0] == "zerotrain"
    assert re.fullmatch(r"\d+\.\d+\.\d+( \(commit [0-9a-f]{7,}(-dirty)?\))?", found["zerotrain"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["numpy"])
    assert module._package("no-such-package") == "not installed"


def test_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a checkout of this project alone, and only where git tells it."""
    assert module._commit(tmp_path) == ""
    (tmp_path / ".git").mkdir()
    assert module._commit(tmp_path) == ""
    (tmp_path / "pyproject.toml").touch()
    assert module._commit(tmp_path) == ""

    def stuck(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(subprocess, "run", stuck)
    assert module._commit(Path(__file__).parents[2]) == ""
