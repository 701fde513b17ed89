"""The plain model is independent: it imports nothing of Zerotrain, and no NumPy."""

import ast
import sys
from pathlib import Path

import pytest

from zerotrain.spec.lfsr import TAPS, mix_seed
from zerotrain.spec.tables import EXP2, LN2, LOG2, LOG2E

from .plain import loss
from .plain.steps import first_state, next_bit

FOLDER = Path(__file__).parent / "plain"


def foreign(source: str) -> list[str]:
    """What a file of the model's folder imports besides the standard library and the folder."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")] if node.level != 1 else []
        else:
            continue
        found += [n for n in names if n.partition(".")[0] not in sys.stdlib_module_names]
    return found


def test_imports_nothing_of_zerotrain() -> None:
    paths = sorted(FOLDER.glob("*.py"))
    assert len(paths) > 3
    assert {path.name: bad for path in paths if (bad := foreign(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from zerotrain.spec.tables import EXP2",
        "def f():\n    import numpy as np",
        "from ..draw import words",
        "from .. import draw",
        "import importlib, zerotrain",
    ],
)
def test_the_rule_catches(source: str) -> None:
    assert foreign(source)


def test_tables() -> None:
    """Rules in exact integers give what the chip has, whatever ``log2`` a machine has."""
    assert (tuple(loss.EXP2), tuple(loss.LOG2)) == (EXP2, LOG2)
    assert (loss.LOG2E, loss.LN2) == (LOG2E, LN2)


@pytest.mark.parametrize("degree", sorted(TAPS))
def test_seeds(degree: int) -> None:
    for seed in (0, 1, 7, 2**64 - 1, 0x61C8864680B583EB):
        assert first_state(seed, degree) == mix_seed(seed, degree)
    # A seed whose state would be zero.
    assert first_state(0x61C8864680B583EB, degree) == 1
    assert next_bit(0, degree) == next_bit(1, degree)
