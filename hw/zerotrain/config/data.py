"""How a file becomes a data set: the table ``[training.data]``."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any, Self

from zerotrain.config.table import show

__all__ = ["Column", "DataOptions", "Scaling", "anchored", "is_file"]

#: A column of a table: its name, or its position, from 1 or from the end with -1.
Column = str | int

_COLUMNS = "a column's name, its position from 1 (-1 is the last), or a list of these"
_PART = "a share of the samples between 0 and 1, a number of samples, or the name of a file"


class Scaling(StrEnum):
    """What is done to every input. What it takes is measured on the training part alone."""

    STANDARD = "standard"
    RANGE = "range"
    SYMMETRIC = "symmetric"
    NONE = "none"


def is_file(dataset: str) -> bool:
    """Whether a data set is a file, not one that has a name of its own."""
    return "/" in dataset or "\\" in dataset or bool(Path(dataset).suffix)


def anchored(name: str, folder: Path) -> str:
    """The absolute path of a file whose name may begin with ``~`` or in a folder.

    Raises
    ------
    ValueError
        If it is in the home of no known user.
    """
    try:
        return str((folder / Path(name).expanduser()).absolute())
    except RuntimeError:
        raise ValueError(f"{name!r} is in the home of no known user: name the whole path") from None


def _is_column(value: Any) -> bool:
    return (type(value) is int and value != 0) or (isinstance(value, str) and value != "")


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How a file becomes a data set.

    Parameters
    ----------
    targets : str, int or list of these
        CSV: the columns with labels or target values, by name or position (1 is the first, -1 the
        last); all others are inputs.
    ignore : str, int or list of these
        CSV: columns that are not read.
    header : bool or None
        CSV: whether the first row has the columns' names; found out where it is not given.
    test : float, int or str
        The test part: a share of the samples, their number, or a file of its own.
    validation : float, int or str
        The validation part, likewise. The final run trains on it, too.
    seed : int, 0 to 4294967295
        Seed of the split.
    scaling : Scaling
        Of the inputs: ``"standard"`` to mean 0 and standard deviation 1, ``"range"`` to 0..1,
        ``"symmetric"`` to -1..1, all by the training part; or ``"none"``.
    unit : str, up to 20 characters
        Unit of the target values, for people.
    """

    targets: Column | Sequence[Column] = -1
    ignore: Column | Sequence[Column] = ()
    header: bool | None = None
    test: float | int | str = 0.2
    validation: float | int | str = 0.1
    seed: int = 1
    scaling: Scaling = Scaling.STANDARD
    unit: str = ""

    def __post_init__(self) -> None:
        for name in ("targets", "ignore"):
            value = getattr(self, name)
            columns = value if isinstance(value, list | tuple) else [value]
            if not all(map(_is_column, columns)):
                raise ValueError(f"{name} is {_COLUMNS}, not {show(value)}")
            if isinstance(value, list):
                object.__setattr__(
                    self, name, tuple(value)
                )  # what was read equals what was written
        if not self.target_columns:
            raise ValueError(f"targets is {_COLUMNS}, got none")
        if type(self.header) not in (bool, NoneType):
            raise ValueError(f"header is true or false, not {show(self.header)}")
        for name in ("test", "validation"):
            value = getattr(self, name)
            share = type(value) is float and isfinite(value) and 0 < value < 1
            if not (share or (type(value) is int and value > 0) or (type(value) is str and value)):
                raise ValueError(f"{name} is {_PART}, not {show(value)}")
        if type(self.seed) is not int or not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed is 0 to 2**32 - 1, not {show(self.seed)}")
        if self.scaling not in list(Scaling):
            known = " or ".join(repr(str(kind)) for kind in Scaling)
            raise ValueError(f"scaling is {known}, not {show(self.scaling)}")
        object.__setattr__(self, "scaling", Scaling(self.scaling))
        if type(self.unit) is not str or len(self.unit) > 20 or not self.unit.isprintable():
            raise ValueError(f"unit is a text of up to 20 characters, not {show(self.unit)}")

    @property
    def target_columns(self) -> list[Column]:
        return _columns(self.targets)

    @property
    def ignored_columns(self) -> list[Column]:
        return _columns(self.ignore)

    def anchored(self, folder: Path) -> Self:
        """The same with absolute paths of files, relative ones being in a folder."""
        values = self.to_dict()
        for name in ("test", "validation"):
            if isinstance(values[name], str):
                values[name] = anchored(values[name], folder)
        return type(self)(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("targets", "ignore"):
            if isinstance(values[name], tuple):
                values[name] = list(values[name])
        values["scaling"] = str(self.scaling)
        return {k: v for k, v in values.items() if v is not None}


def _columns(value: Column | Sequence[Column]) -> list[Column]:
    return [value] if isinstance(value, str | int) else list(value)
