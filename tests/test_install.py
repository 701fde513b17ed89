"""docs/install.md counts what is installed; the Makefile says the sum before it begins."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
ROWS = {
    match[1]: (float(match[2]), float(match[3]))
    for match in re.finditer(r"^\| (.+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
}
#: Rows that are no installed packages of this project.
OTHERS = {"all", *(name for name in ROWS if re.match("pip,|scikit-learn:", name))}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(label: str) -> list[str]:
    """``a, with b, c`` as a, b and c."""
    return label.replace(", with ", ", ").split(", ")


def required() -> set[str]:
    """What `make demo` installs, by pyproject.toml and by what the packages themselves require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    target = re.search(
        r"--editable '\.\[([\w,]+)\]'", (ROOT / "Makefile").read_text(encoding="utf-8")
    )
    assert target is not None
    lines = list(project["dependencies"])
    for extra in target[1].split(","):
        lines += extras[extra]
    found: set[str] = set()
    while lines:
        match = re.match(r"[A-Za-z0-9._-]+", lines.pop())
        assert match is not None
        name = normal(match[0])
        if name not in found:
            found.add(name)
            own = importlib.metadata.requires(name) or []
            lines += [line for line in own if ";" not in line]
    return found


def test_every_package_is_counted() -> None:
    counted = {name for label in ROWS if label not in OTHERS for name in packages(label)}
    assert required() <= counted


@pytest.mark.parametrize("label", sorted(set(ROWS) - OTHERS))
def test_sizes_on_disk(label: str) -> None:
    """Within a quarter, bytecode aside: versions and machines differ a little."""
    size = 0
    for name in packages(label):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not needed on this machine")
        size += sum(file.size or 0 for file in files if file.suffix != ".pyc")
    assert size / 1e6 == pytest.approx(ROWS[label][1], rel=0.25, abs=0.5)


def test_the_last_row_is_the_sum_and_make_says_it() -> None:
    parts = [costs for label, costs in ROWS.items() if label != "all"]
    download, disk = ROWS["all"]
    assert sum(part[0] for part in parts) == pytest.approx(download, abs=1.5)
    assert sum(part[1] for part in parts) == pytest.approx(disk, abs=1.5)
    command = ["make", "--dry-run", "--always-make", "demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert f"downloads {download:.0f} MB, takes {disk:.0f} MB on disk" in done.stdout
