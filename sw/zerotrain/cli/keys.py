"""The page of all keys of a configuration, made of the classes that they describe.

``python -m zerotrain.cli.keys docs/keys.md`` writes it. A key is a field of a dataclass. What it
takes and means is in the class's docstring (numpydoc): ``steps : int, 1 to 64``, and the lines
below. A field that is a dataclass itself is a table of its own. So a new key is on the page once
its class has it.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from zerotrain.config.config import AUTO, ChipOptions
from zerotrain.config.equation import EquationOptions
from zerotrain.config.toml import scalar
from zerotrain.config.training import Training
from zerotrain.spec.chip import Chip
from zerotrain.spec.files import write_atomic
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Layer, Network

__all__ = ["Key", "main", "page", "tables"]

_HEAD = """# Keys of a configuration

Every key of the TOML file that `--config` reads, and that `--set KEY=VALUE` changes, as in
`--set training.cge.steps=100`. Unknown keys are refused. This page is made of the code; do not edit
it: `python -m zerotrain.cli.keys docs/keys.md` writes it again.
"""
#: The longest first.
_WORDS = {"tuple of int": "list of integers", "bool or None": "true or false", "int": "integer",
          "float": "number", "str": "text", "bool": "true or false",
          "QFormat": 'format, as `"Q2.13"`'}  # fmt: skip
_INTRODUCTIONS = {
    "": "Above the first table of the file.",
    "layers": "One `[[layers]]` for every layer, from the inputs on. `out_modes` of a layer and "
    "`in_modes` of the next have the same product; the last layer has no activation.",
    "chip": 'Whatever is left out is planned for the network and its batch. `chip = "auto"` looks '
    "for the best chip for a board, as `auto = true` in this table does "
    "([which chip fits](guide/which-chip.md)).",
    "chip.formats": "`Qm.f` is a sign, m integer bits and f fraction bits: it holds -2**m to 2**m "
    "in steps of 2**-f. What a format cannot hold is clamped, and `train` says so.",
    "equation": "A differential equation that the network solves, in place of a data set "
    "([physics.md](physics.md)).",
    "equation.nodes": "Where the network is evaluated to find derivatives.",
    "equation.conditions": "One `[[equation.conditions]]` for every residual that is to vanish at "
    "faces of the domain.",
    "training": "What `train` does; `plan` and `generate` do without. It has a stage "
    "`[training.rge]`, `[training.cge]`, or both: first the coarse one, then the fine one. An "
    "equation may have `[training.subspace]` as its fine one.",
    "training.data": "How the file that `dataset` names becomes a data set ([data.md](data.md)).",
}
#: Sized for the network unless they are given.
_PLANNED = re.compile(r"\w+_depth|loss_ways|acc_width|sine")


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the page: values, default and meaning in words."""

    name: str
    values: str
    default: str
    meaning: str


def _parameters(cls: type) -> dict[str, tuple[str, str]]:
    """Type and meaning of every parameter, of the docstrings of a class and its bases."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(cls.__mro__):
        _, _, section = (vars(base).get("__doc__") or "").partition("Parameters\n    ----------\n")
        for entry in re.split(r"\n(?=    \S)", section.split("\n\n    Attributes\n")[0]):
            head, _, body = entry.partition("\n")
            names, colon, kind = head.strip().partition(" : ")
            if colon:
                meaning = _markdown(" ".join(body.split()))
                found |= {name.strip(): (kind, meaning) for name in names.split(",")}
    return found


def _markdown(text: str) -> str:
    """A docstring's text on a page."""
    text = re.sub(r":\w+:`~?([\w.]+)`", lambda match: f"`{match[1].split('.')[-1]}`", text)
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")


def _classes(hint: Any) -> list[type]:
    return [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type)]


def _values(kind: str, hint: Any) -> str:
    """What a key takes, in words."""
    for enum in _classes(hint):
        if issubclass(enum, StrEnum):
            return " or ".join(f'`"{member}"`' for member in enum)
    for word, words in _WORDS.items():
        kind = re.sub(rf"\b{word}\b", words, kind)
    return kind


def _default(member: "Field[Any]") -> str:
    value: Any = member.default
    if value is MISSING and member.default_factory is MISSING:
        return "required"
    if value is None or value == () or value == "" or value is MISSING:
        return "none"
    if isinstance(value, QFormat | StrEnum):
        value = str(value)
    return f"`{scalar(value)}`"


def _rows(cls: type, skip: Sequence[str] = ()) -> Iterator[Key]:
    """Rows of the fields of a dataclass that are no tables."""
    described, hints = _parameters(cls), get_type_hints(cls)
    for member in fields(cls):
        if member.name in skip or _table_of(hints[member.name]) is not None:
            continue
        kind, meaning = described.get(member.name, ("", ""))
        yield Key(member.name, _values(kind, hints[member.name]), _default(member), meaning)


def _table_of(hint: Any) -> type | None:
    """The dataclass that a field holds, if it is a table."""
    found = (kind for kind in _classes(hint) if is_dataclass(kind) and kind is not QFormat)
    return next(found, None)


def _nested(path: str, cls: type) -> Iterator[tuple[str, type]]:
    """Tables of a dataclass, and tables of those."""
    for member in fields(cls):
        inner = _table_of(get_type_hints(cls)[member.name])
        if inner is not None:
            yield f"{path}.{member.name}", inner
            yield from _nested(f"{path}.{member.name}", inner)


def _layer() -> Iterator[Key]:
    """A layer's keys; a dense one has sizes in place of modes."""
    kinds = '`"tt"` or `"plain_tt"` or `"dense"`'
    meaning = "Tensor-train; the same with a TT-core for every single index; or dense."
    yield Key("type", kinds, '`"tt"`', meaning)
    for name in ("inputs", "outputs"):
        yield Key(name, "integer, at least 1", "required", f"Dense layer: its {name}.")
    for row in _rows(Layer):
        if row.name == "ranks":
            values = f"integer, of every bond, or {row.values}"
            row = Key("ranks", values, "required with two or more modes", row.meaning)
        elif row.name.endswith("_modes"):
            row = Key(row.name, row.values, row.default, "TT layer: " + _lower(row.meaning))
        yield row


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _chip() -> Iterator[Key]:
    yield from (row for row in _rows(ChipOptions, ["fixed", "lanes"]) if row.name == AUTO)
    for row in _rows(Chip, ["loss"]):
        if row.name == "lanes":
            row = Key(row.name, row.values, f"`{ChipOptions().lanes}`", row.meaning)
        elif _PLANNED.fullmatch(row.name):
            row = Key(row.name, row.values, "planned", row.meaning)
        yield row


def tables() -> dict[str, list[Key]]:
    """Rows of every table, by its path; "" for what stands above all tables."""
    found = {"": list(_rows(Network, ["layers"])), "layers": list(_layer()), "chip": list(_chip())}
    found |= {path: list(_rows(cls)) for path, cls in _nested("chip", Chip)}
    for path, top in (("equation", EquationOptions), ("training", Training)):
        found |= {path: list(_rows(cls)) for path, cls in ((path, top), *_nested(path, top))}
    return found


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for path, rows in tables().items():
        title = {"": "The network", "layers": "`[[layers]]`"}.get(path, f"`[{path}]`")
        parts.append(f"\n## {title}\n\n")
        if path in _INTRODUCTIONS:
            parts.append(f"{_INTRODUCTIONS[path]}\n\n")
        parts.append("| key | values | default | meaning |\n|---|---|---|---|\n")
        parts += (f"| `{r.name}` | {r.values} | {r.default} | {r.meaning} |\n" for r in rows)
    return "".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page to the file named, or print it."""
    words = sys.argv[1:] if arguments is None else arguments
    if words:
        write_atomic(Path(words[0]), page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
