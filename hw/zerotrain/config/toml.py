"""Values as TOML text."""

from collections.abc import Mapping
from typing import Any

__all__ = ["scalar", "to_toml"]


def to_toml(values: Mapping[str, Any], path: str = "") -> str:
    """Write texts, numbers, lists of integers, tables, and lists of tables."""
    plain, nested = [], []
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            nested.append(f"\n[{name}]\n{to_toml(value, name)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            nested += [f"\n[[{name}]]\n{to_toml(row, name)}" for row in value]
        else:
            plain.append(f"{key} = {scalar(value)}\n")
    return "".join(plain + nested)


def scalar(value: Any) -> str:
    """A text, a number, true or false, or a list of such."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        # Control characters are not allowed raw in TOML.
        return (
            '"'
            + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped)
            + '"'
        )
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    return repr(value)
