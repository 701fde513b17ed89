"""``zerotrain doctor``: is everything here that Zerotrain needs?"""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from zerotrain.cosim.tools import missing_tools
from zerotrain.data.mnist import find_directory
from zerotrain.spec.files import cache_folder

__all__ = ["Finding", "examine", "show"]

_PYTHON = (3, 11)
_TOOLS = ("g++", "make", "perl")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    ``advice`` says what to do if it is not in order; ``needed`` is False for what only some uses
    need.
    """

    what: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True


def _packages() -> Iterator[Finding]:
    """Every package that Zerotrain depends on, extras left out."""
    for line in importlib.metadata.requires("zerotrain") or []:
        if "extra ==" in line:
            continue
        match = re.match(r"[A-Za-z0-9._-]+", line)
        assert match is not None
        name = match.group()
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(f"package {name}", False, "missing", f"pip install '{line}'")
        else:
            yield Finding(f"package {name}", True, version)


def examine() -> Iterator[Finding]:
    """Look at Python, programs, packages, the build cache and data."""
    python = sys.version_info >= _PYTHON
    yield Finding(
        "Python", python, platform.python_version(), f"install Python {_PYTHON[0]}.{_PYTHON[1]}"
    )
    missing = missing_tools()
    for tool in _TOOLS:
        yield Finding(
            f"program {tool}", tool not in missing,
            f"missing: {missing[tool]}" if tool in missing else "found",
            f"install it, on Debian and Ubuntu with: apt-get install {tool}",
        )  # fmt: skip
    yield from _packages()
    folder = cache_folder()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    yield Finding(
        "build cache", os.access(existing, os.W_OK), str(folder),
        "make it writable or set ZEROTRAIN_CACHE to another folder",
    )  # fmt: skip
    try:
        place: Path | None = find_directory(None)
    except FileNotFoundError:
        place = None
    yield Finding(
        "data set mnist", place is not None, str(place or "not found"),
        "only for the mnist presets: name the folder of its files with ZEROTRAIN_DATA", False,
    )  # fmt: skip


def show(console: Console) -> bool:
    """Print the findings; returns whether all that is needed is in order."""
    healthy = True
    for finding in examine():
        mark = "ok     " if finding.ok else "MISSING" if finding.needed else "absent "
        console.print(f"{mark}  {finding.what}: {finding.found}", soft_wrap=True)
        if not finding.ok:
            console.print(f"         -> {finding.advice}", soft_wrap=True)
            healthy = healthy and not finding.needed
    console.print(
        "Everything that Zerotrain needs is here." if healthy else "Something is missing."
    )
    return healthy
