"""What readers of files give: inputs and targets of one set, and limits on its size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zerotrain.data.labels import Labels

__all__ = ["MOST_VALUES", "Table", "check_size"]

#: Numbers of a data set.
MOST_VALUES = 1 << 26
#: Bytes of a file.
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Table:
    """Samples as a file has them.

    Attributes
    ----------
    x : array [n, ...]
        Numbers.
    y : Labels or array [n, ...]
    columns, targets : tuple of str
        Names of inputs and target values in messages; empty where the file has none.
    """

    x: NDArray[Any]
    y: Labels | NDArray[Any]
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def check_size(path: Path) -> None:
    """Raise ``ValueError`` for a file that is too large to be read, before it is."""
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(
            f"{path} has {size:,} bytes: expected at most {_MOST_BYTES:,}; take fewer samples"
        )
    if not size:
        raise ValueError(f"{path} is empty")
