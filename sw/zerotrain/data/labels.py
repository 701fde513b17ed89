"""Labels of any kind as the numbers of classes, in sorted order."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.cells import MISSING, is_number, plain

__all__ = ["Labels", "check_count", "label_complaint", "merge"]

#: Classes of a data set: far more than a network has outputs.
_MOST_CLASSES = 1000
#: Characters of a label.
_LONGEST = 100
_INTEGER = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)
_VALUES = 'for values to be predicted take loss = "mean_squared_error", as new --regression does'


@dataclass(frozen=True)
class Labels:
    """The label of every sample: ``names[code]``.

    Attributes
    ----------
    names : tuple of str or int
        The labels that occur, each once.
    codes : int64[n]
        Positions in ``names``.
    """

    names: tuple[str | int, ...]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, values: NDArray[Any], what: str) -> Self:
        """Labels of an array of integers, truth values, texts, or numbers without a fraction.

        Raises
        ------
        ValueError
            If it holds anything else, or too many; ``what`` begins the sentence.
        """
        if values.ndim != 1:
            raise ValueError(
                f"{what} has the shape {values.shape}: expected one label for every sample; of "
                "one-hot rows take argmax(axis=1)"
            )
        if values.dtype.kind == "O":
            values = _plain(values)
        if values.dtype.kind == "f":
            wrong = np.flatnonzero(~np.isfinite(values) | (values != np.rint(values)))
            if len(wrong):
                raise ValueError(
                    f"{what}, sample {wrong[0] + 1}, is {values[wrong[0]]}: expected a label, a "
                    f"text or a whole number; {_VALUES}"
                )
        elif values.dtype.kind not in "biuU":
            raise ValueError(
                f"{what} has elements of type {values.dtype}: expected labels, texts or whole "
                "numbers"
            )
        names, codes = np.unique(values, return_inverse=True)
        check_count(len(names), what)
        text = values.dtype.kind == "U"
        known = tuple(str(v) if text else int(v) for v in names)
        return cls(known, codes.reshape(-1).astype(np.int64))


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """An array of objects, as pandas has them, as one of texts where all are texts."""
    if all(isinstance(v, str) and len(v) <= _LONGEST for v in values):
        return values.astype(str)
    return values


def check_count(count: int, what: str) -> None:
    """Raise ``ValueError`` for so many different labels."""
    if count > _MOST_CLASSES:
        raise ValueError(
            f"{what} has more than {_MOST_CLASSES} different labels: expected a few classes; "
            f"{_VALUES}"
        )


def label_complaint(name: str) -> str:
    """What is wrong with a label that a file has; nothing of most."""
    if name.lower() in MISSING:
        return f"has no label{f' but {plain(name)}' if name else ''}: fill it in, or drop the row"
    if len(name) > _LONGEST:
        return f"is a text of {len(name)} characters: expected a label, up to {_LONGEST}"
    if is_number(name) and _whole(name) is None:
        return f"is {plain(name)}: expected a label, a text or a whole number; {_VALUES}"
    return ""


def _whole(name: str | int) -> int | None:
    """The number that a label is; None for other texts."""
    if isinstance(name, int):
        return name
    return int(name.partition(".")[0]) if _INTEGER.fullmatch(name) else None


def merge(parts: Sequence[Labels]) -> tuple[tuple[str | int, ...], list[NDArray[np.int64]]]:
    """The classes of several sets in sorted order, and every set's labels as numbers of classes.

    Where all labels are whole numbers, also as texts, they are sorted as numbers: 10 comes after 9,
    and 1.0 is 1.
    """
    names = {name for part in parts for name in part.names}
    kind: Callable[[str | int], Any] = str if any(_whole(n) is None for n in names) else _whole
    classes = tuple(sorted({kind(name) for name in names}))
    place = {name: k for k, name in enumerate(classes)}
    tables = [np.array([place[kind(n)] for n in part.names], np.int64) for part in parts]
    return classes, [table[part.codes] for table, part in zip(tables, parts, strict=True)]
