"""The repository's shape: namespace packages, and imports that point one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("hw", "sw", "sim", "boards")

#: What each package may import from `zerotrain`, besides itself. Golden model, gateware, compiler
#: share the contract and nothing else: each is a check of the others.
MAY_IMPORT = {
    "spec": set(),
    "compiler": {"spec"},
    "config": {"spec", "compiler"},
    "gateware": {"spec"},
    "golden": {"spec"},
    "cosim": {"spec", "gateware", "golden"},
    "data": {"spec", "config"},
    "exchange": {"spec"},
    "host": {"spec", "compiler", "config", "gateware", "golden", "cosim", "data", "exchange"},
    "boards": {"spec", "compiler", "config", "gateware", "cosim"},
    "bench": {"spec", "compiler", "config", "golden", "cosim", "host", "data", "boards"},
    "api": {"spec", "compiler", "config", "golden", "cosim", "data", "exchange", "host"},
    "cli": {
        "spec",
        "compiler",
        "config",
        "gateware",
        "golden",
        "cosim",
        "host",
        "data",
        "boards",
        "exchange",
    },
}
#: What the folders of the gateware, blocks of its diagram, may import from one another.
GATEWARE_MAY_IMPORT = {
    "storage": {"arithmetic"},
    "loss": {"arithmetic", "storage"},
    "update": {"arithmetic", "storage"},
    "engine": {"arithmetic", "storage", "loss"},
}
#: Packages of others that a package must do without.
MAY_NOT_IMPORT = {
    "spec": {"amaranth", "cocotb"},
    "compiler": {"amaranth", "cocotb"},
    "config": {"amaranth", "cocotb"},
    "golden": {"amaranth", "cocotb"},
    "gateware": {"cocotb", "numpy"},
    "host": {"amaranth", "cocotb"},
    "bench": {"amaranth", "cocotb"},
}


def sources() -> Iterator[tuple[str, Path]]:
    """Every source file below a `zerotrain` folder, with the name of its package."""
    for part in PARTS:
        base = ROOT / part / "zerotrain"
        for path in sorted(base.rglob("*.py")):
            yield path.relative_to(base).parts[0], path


def imported(source: str) -> Iterator[tuple[str, ...]]:
    """Dotted names that a module imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: write imports in full, not relative")
            for alias in node.names:
                yield (*str(node.module).split("."), alias.name)


def complaints(package: str, source: str) -> list[str]:
    """Imports that the rules forbid in a module of that package."""
    found = []
    for name in imported(source):
        dotted = ".".join(name)
        if name[0] == "zerotrain":
            if len(name) > 1 and name[1] not in MAY_IMPORT[package] | {package}:
                found.append(dotted)
        elif name[0] in MAY_NOT_IMPORT.get(package, set()):
            found.append(dotted)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_no_init_beside_the_packages(part: str) -> None:
    """An `__init__.py` there would hide the three sibling folders of the namespace package."""
    folder = ROOT / part / "zerotrain"
    assert folder.is_dir()
    assert not (folder / "__init__.py").exists()


def test_every_package_has_a_rule() -> None:
    packages = {package for package, _ in sources()}
    assert {"spec", "gateware", "golden", "cosim", "host", "boards"} <= packages
    assert packages <= set(MAY_IMPORT)


def test_imports_point_one_way() -> None:
    found = {
        str(path.relative_to(ROOT)): bad
        for package, path in sources()
        if (bad := complaints(package, path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_blocks_of_the_gateware_point_one_way() -> None:
    found = []
    base = ROOT / "hw" / "zerotrain" / "gateware"
    folders = {path.name for path in base.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(GATEWARE_MAY_IMPORT)
    for folder, allowed in GATEWARE_MAY_IMPORT.items():
        for path in sorted((base / folder).rglob("*.py")):
            for name in imported(path.read_text(encoding="utf-8")):
                if name[:2] == ("zerotrain", "gateware") and name[2] not in allowed | {folder}:
                    found.append((path.name, ".".join(name)))
    assert found == []


def test_no_import_circles() -> None:
    """No module imports itself, by whatever way round."""
    needs: dict[str, set[str]] = {}
    paths = {
        ".".join(("zerotrain", *path.relative_to(base).with_suffix("").parts)): path
        for base in (ROOT / part / "zerotrain" for part in PARTS)
        for path in base.rglob("*.py")
    }
    for module, path in paths.items():
        names = imported(path.read_text(encoding="utf-8"))
        prefixes = {".".join(name[:k]) for name in names for k in range(2, len(name) + 1)}
        needs[module] = prefixes & set(paths)
    finished = set[str]()
    while ready := {m for m in set(needs) - finished if needs[m] <= finished}:
        finished |= ready
    assert set(needs) - finished == set()


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("golden", "from zerotrain.compiler.planner import plan"),
        ("gateware", "import zerotrain.compiler.contraction"),
        ("compiler", "from zerotrain.config.config import Config"),
        ("golden", "from zerotrain.gateware.update.lfsr import Lfsr"),
        ("gateware", "def f():\n    from zerotrain import golden"),
        ("spec", "import amaranth.hdl as hdl"),
        ("cosim", "import zerotrain.host.driver"),
    ],
)
def test_the_rules_catch(package: str, source: str) -> None:
    assert complaints(package, source)


#: What asks for a variant of a chip, as an attribute of anything.
VARIANTS = {
    "has_environments", "compact", "common", "merge_depth", "has_merge_unit", "raises",
    "serial_loss", "sample_banks", "subtracts", "lane_subtracts",
}  # fmt: skip
CHOICES = {"Cge", "Core", "Store"}


def branches(tree: ast.AST) -> int:
    """Conditions of Python code that ask for a variant."""

    def asks(condition: ast.AST) -> bool:
        return any(
            isinstance(node, ast.Attribute)
            and (
                node.attr in VARIANTS
                or (isinstance(node.value, ast.Name) and node.value.id in CHOICES)
            )
            for node in ast.walk(condition)
        )

    conditions: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            conditions.append(node.test)
        elif isinstance(node, ast.comprehension):
            conditions += node.ifs
    return sum(map(asks, conditions))


def test_variants_are_asked_for_in_few_places() -> None:
    """``gateware/variants.py`` maps choices to classes; records hold what else follows."""
    assert branches(ast.parse("if chip.core == Core.COMPACT or chip.compact:\n    pass")) == 1
    counts = {
        str(path.relative_to(ROOT)): branches(ast.parse(path.read_text(encoding="utf-8")))
        for _, path in sources()
        if path.name != "variants.py"
    }
    assert sum(counts.values()) <= 40, counts


def test_no_elaborate_is_longer_than_a_page_or_two() -> None:
    longest = max(
        (node.end_lineno or 0) - node.lineno + 1
        for _, path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "elaborate"
    )
    assert longest <= 120


def test_no_absolute_paths() -> None:
    """Sources name no folder of the machine they were written on."""
    homes = tuple(f"/{name}/" for name in ("home", "work", "root", "Users"))
    for _, path in sources():
        text = path.read_text(encoding="utf-8")
        assert not any(home in text for home in homes), path
