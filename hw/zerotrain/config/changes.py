"""Changes of single entries of a configuration, by their dotted names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zerotrain.config.config import AUTO, Config
from zerotrain.config.table import nearest, show

__all__ = ["assign", "changed"]

#: Tables that a configuration may lack, and a change may add.
_OPTIONAL = (
    "chip", "chip.formats", "equation", "equation.data", "equation.domain", "equation.nodes",
    "training", "training.data", "training.rge", "training.subspace", "training.cge",
)  # fmt: skip


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with other values of some entries; data files are in the current folder.

    Parameters
    ----------
    values : dict
        By names as in ``training.cge.steps`` or ``layers.1.ranks``; layers count from 1.
        ``chip = "auto"`` keeps the formats.

    Raises
    ------
    ValueError
        If there is no table for an entry, or what results is no configuration.
    """
    tree = config.to_dict()
    assign(tree, values)
    return Config.from_dict(tree).anchored(Path())


def assign(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Change entries of plain values, as TOML has them, that need not be a configuration yet.

    Raises
    ------
    ValueError
        If there is no table for an entry.
    """
    for key, value in values.items():
        *parents, name = key.strip().split(".")
        table: Any = tree
        for level, parent in enumerate(parents, 1):
            if isinstance(table, dict) and ".".join(parents[:level]) in _OPTIONAL:
                table.setdefault(parent, {})
            if (
                isinstance(table, list)
                and parent.isdecimal()
                and len(parent) < 9
                and 1 <= int(parent) <= len(table)
            ):
                table = table[int(parent) - 1]
            elif isinstance(table, dict) and isinstance(table.get(parent), dict | list):
                table = table[parent]
            else:
                names = (
                    sorted(k for k, v in table.items() if isinstance(v, dict | list))
                    if (isinstance(table, dict))
                    else [str(k + 1) for k in range(len(table))]
                )
                raise ValueError(
                    f"There is no table {show(parent)} for {show(key)}: {nearest(parent, names)}"
                )
        if not isinstance(table, dict):
            raise ValueError(f"{show(key)} does not name an entry of a table")
        if key.strip() == "chip" and value == AUTO:
            # Formats decide what is computed; the rest of the table, how fast.
            before = tree.get("chip", {})
            kept = {"formats": before["formats"]} if "formats" in before else {}
            tree["chip"] = {AUTO: True} | kept
        else:
            table[name] = value
