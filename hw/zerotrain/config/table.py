"""TOML tables read key by key: what was expected, and what came, in one sentence."""

from collections.abc import Mapping
from dataclasses import MISSING
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar, cast

__all__ = ["INTEGERS", "Table", "check_integers", "describe", "nearest", "show"]

#: TOML's integers have 64 bits.
_INTEGER_BITS = 64
#: Characters of a value or a word in a message.
_SHOWN = 60

_T = TypeVar("_T")
_TYPE_NAMES = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
#: What modes are.
INTEGERS = "a list of integers"


def describe(kind: type) -> str:
    """What a value of a type is, for people."""
    return _TYPE_NAMES.get(kind, kind.__name__)


def nearest(word: str, known: list[str]) -> str:
    """``"; did you mean 'x'?"`` for a word that is none of ``known``, or the known words."""
    close = get_close_matches(word[:_SHOWN], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def show(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def check_integers(value: Any, path: str = "") -> None:
    """Refuse integers that TOML does not have, wherever they are."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_integers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            check_integers(item, f"{path}.{k + 1}")
    elif type(value) is int and value.bit_length() >= _INTEGER_BITS:
        raise ValueError(
            f"{path} is an integer of {_INTEGER_BITS} bits at most, not one of "
            f"{value.bit_length() + 1} bits"
        )


class Table:
    """A TOML table that knows its place in the file and which keys it may have."""

    def __init__(self, values: Any, path: str, known: list[str]) -> None:
        if not isinstance(values, Mapping):
            raise ValueError(f"{path} is a table, not {show(values)}")
        for key in values:
            if key not in known:
                where = f" in [{path}]" if path else ""
                raise ValueError(f"Unknown key {show(key)}{where}: {nearest(key, known)}")
        self.values, self.path = values, path

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str, kind: type[_T], default: Any = MISSING) -> _T:
        """The value of a key, checked to be of a type."""
        if key not in self.values:
            if default is MISSING:
                self.require({key: describe(kind)})
            return cast(_T, default)
        value: Any = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if issubclass(kind, StrEnum):
            choices = [str(member) for member in kind]
            if value not in choices:
                raise ValueError(
                    f"{self.name(key)} is {' or '.join(map(repr, choices))}, not {show(value)}"
                )
            return kind(value)
        if type(value) is not kind:
            raise ValueError(f"{self.name(key)} is {describe(kind)}, not {show(value)}")
        return value

    def require(self, kinds: Mapping[str, str]) -> None:
        """Refuse a table without these keys, whose values are described: all that are missing, in
        one sentence."""
        missing = {key: kind for key, kind in kinds.items() if key not in self.values}
        if len(missing) == 1:
            ((key, kind),) = missing.items()
            raise ValueError(f"{self.name(key)} is missing: expected {kind}")
        if missing:
            named = ", ".join(f"{key} ({kind})" for key, kind in missing.items())
            where = f"[{self.path}] " if self.path else ""
            raise ValueError(f"{where}{len(missing)} keys are missing: expected {named}")

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of integers."""
        value = self.values.get(key)
        if not isinstance(value, list) or any(type(v) is not int for v in value):
            raise ValueError(f"{self.name(key)} is {INTEGERS}, not {show(value)}")
        return tuple(value)
