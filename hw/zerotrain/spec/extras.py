"""Packages that only some uses need: the optional dependencies of ``pyproject.toml``."""

import importlib.metadata
import re
import shlex

__all__ = ["EXTRAS", "advice", "requirements"]

#: What each extra is needed for; those of developers are not among them.
EXTRAS = {
    "simulation": "the simulated chip",
    "curves": "pictures of curves",
    "tensorboard": "event files for TensorBoard",
    "data": "the data sets digits and diabetes, unless zerotrain.data.fetch has fetched them",
}


def requirements(extra: str) -> list[str]:
    """What an extra requires, as ``pip install`` takes it: ``name>=version``."""
    marked = re.compile(rf"""(.+?)\s*;\s*extra\s*==\s*['"]{extra}['"]""")
    lines = importlib.metadata.requires("zerotrain") or []
    return [found[1] for line in lines if (found := marked.fullmatch(line))]


def advice(extra: str) -> str:
    """Command that installs an extra."""
    return f"pip install {shlex.join(requirements(extra))}"
