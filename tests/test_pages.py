"""Python that the documents show runs as it stands, block after block."""

import re
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/api.md", "docs/exchange.md")


def blocks(page: str) -> list[tuple[int, str]]:
    """Every block with the number of its first line; those of other packages say ``notest``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stochastic Optimizer")
        for before, block in blocks(page):
            exec(compile("\n" * before + block, page, "exec"), module.__dict__)


def test_pages_have_blocks() -> None:
    assert len(blocks("docs/api.md")) >= 8
    assert len(blocks("docs/exchange.md")) >= 4
