"""Changes of single entries of a configuration, by their dotted names."""

from collections.abc import Mapping
from typing import Any

from zerotrain.config.config import AUTO, Config, nearest

__all__ = ["changed"]


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with other values of some entries.

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
    tree: Any = config.to_dict()
    for key, value in values.items():
        *parents, name = key.strip().split(".")
        table = tree
        for parent in parents:
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
                    f"There is no table {parent!r} for {key!r}: {nearest(parent, names)}"
                )
        if not isinstance(table, dict):
            raise ValueError(f"{key} does not name an entry of a table")
        table[name] = value
        if key.strip() == "chip" and value == AUTO:
            # Formats decide what is computed; the rest of the table, how fast.
            table[name] = {AUTO: True, "formats": config.chip.formats.to_dict()}
    return Config.from_dict(tree)
