"""``docs/keys.md``: made of the code, complete, and its limits are those that are checked."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from zerotrain.cli.keys import Key, main, page, tables
from zerotrain.config.config import Config
from zerotrain.spec.chip import Chip

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keys.md"
#: Nothing is close to it, so that a refusal lists what is known.
ODD = "xyzzyq"


def minimal(path: str = "") -> dict[str, Any]:
    """The least of a configuration that may have the table of that path."""
    if path.startswith("equation") or path == "training.subspace":
        condition = {"residual": "u", "at": ["x[0] = 0"], "points": 1}
        equation = {
            "coordinates": ["x[4]"], "ansatz": "f", "residual": "d(u, x[0])", "exact": "0",
            "conditions": [condition], "nodes": {"method": "stroud"},
        }  # fmt: skip
        layer = {"type": "dense", "inputs": 4, "outputs": 1}
        training = {"batch": 1 << 16, "subspace": {"steps": 5}}
        return {"layers": [layer], "equation": equation, "training": training}
    stage = {"steps": 5, "step_size": 0.1, "final_step_size": 0.1}
    layer = {"type": "dense", "inputs": 4, "outputs": 3}
    training = {"dataset": "digits", "rge": dict(stage), "cge": dict(stage)}
    return {"layers": [layer], "chip": {"formats": {}}, "training": training}


def table(values: dict[str, Any], path: str) -> dict[str, Any]:
    """The table of a path, made where it is not there."""
    inner: Any = values
    for name in path.split(".") if path else ():
        inner = inner.setdefault(name, {})
        inner = inner[0] if isinstance(inner, list) else inner
    assert isinstance(inner, dict)
    return inner


def test_the_page_is_that_of_the_code(tmp_path: Path) -> None:
    main([str(tmp_path / "keys.md")])
    assert (tmp_path / "keys.md").read_text(encoding="utf-8") == page()
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "write it again: python -m zerotrain.cli.keys docs/keys.md"
    )


@pytest.mark.parametrize("path", tables())
def test_every_key_is_there_and_no_other(path: str) -> None:
    kinds = ("dense", "tt") if path == "layers" else ("",)
    known = set[str]()
    for kind in kinds:
        values = minimal(path)
        inner = table(values, path)
        if kind:
            inner.clear()
            inner["type"] = kind
        inner[ODD] = 1
        with pytest.raises(ValueError, match=f"^Unknown key '{ODD}'.*: known are ") as caught:
            Config.from_dict(values)
        known |= set(str(caught.value).partition("known are ")[2].split(", "))
    nested = {name.rpartition(".")[2] for name in tables() if name.rpartition(".")[0] == path}
    assert {row.name for row in tables()[path]} == known - nested


@pytest.mark.parametrize("path", tables())
def test_every_row_says_what_it_takes_and_means(path: str) -> None:
    for row in tables()[path]:
        assert row.values and row.default and row.meaning.endswith((".", "`")), row


def test_planned_keys() -> None:
    """The others have the default of the class, whatever the network."""
    planned = {row.name for row in tables()["chip"] if row.default == "planned"}
    chip, defaults = Config.preset("diabetes").build_chip(), Chip(8)
    other = {f.name for f in fields(Chip)} - planned - {"loss", "formats"}
    assert all(getattr(chip, name) == getattr(defaults, name) for name in other)
    assert len(planned) == 15


def limits(row: Key) -> list[tuple[Any, bool]]:
    """Values at the limits that a row states, and beyond: whether each is allowed."""
    number = r"(-?[\d.]+)"
    if between := re.search(rf"{number} to (below )?{number}", row.values):
        low, below, high = between[1], between[2], between[3]
        if below:
            return [(0.0, True), (-0.01, False), (float(high), False), (float(high) - 0.01, True)]
        return [(int(low), True), (int(low) - 1, False), (int(high), True), (int(high) + 1, False)]
    if least := re.search(r"integer, at least (\d+)", row.values):
        return [(int(least[1]), True), (int(least[1]) - 1, False)]
    if "above 0" in row.values:
        return [(0.1, True), (0.0, False), (-1.0, False)]
    return []


STATED = [
    (path, row.name, value, allowed)
    for path, rows in tables().items()
    if path not in ("layers", "chip", "chip.formats")
    for row in rows
    for value, allowed in limits(row)
]


@pytest.mark.parametrize(("path", "name", "value", "allowed"), STATED)
def test_limits_of_a_training(path: str, name: str, value: Any, allowed: bool) -> None:
    values = minimal(path)
    if path == "training.data":
        values["training"]["dataset"] = "my.csv"
    table(values, path)[name] = value
    if name == "queries" and path == "training.rge":  # a mean needs two
        table(values, path)["baseline"] = "base"
    if allowed:
        Config.from_dict(values)
    else:
        with pytest.raises(ValueError, match=name):
            Config.from_dict(values)


#: What a refusal calls a key.
_WORD = {"sample_banks": "banks", "acc_width": "accumulators", "count_width": "counters"}


def test_limits_of_a_chip() -> None:
    chip, checked = Chip(2, weight_depth=4096, loss_ways=1), 0
    for row in tables()["chip"]:
        for value, allowed in limits(row):
            checked += 1
            if allowed:
                replace(chip, **{row.name: value})
            else:
                with pytest.raises(ValueError, match=f"(?i){_WORD.get(row.name, row.name)}"):
                    replace(chip, **{row.name: value})
    assert checked == 4 * 14


def test_limits_are_found() -> None:
    assert len(STATED) > 50
