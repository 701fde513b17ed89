"""What the first rows of a CSV file say: its separator, its header, and which column is what."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zerotrain.config.config import nearest
from zerotrain.config.data import Column, DataOptions
from zerotrain.data.cells import MISSING, is_number, plain, shown

__all__ = ["Columns", "separator"]

#: In this order, for a semicolon separates where commas are decimal ones.
_SEPARATORS = ("\t", ";", ",")


def separator(lines: Sequence[str]) -> str:
    """What separates the cells of a file that begins with these lines.

    Raises
    ------
    ValueError
        If nothing does.
    """
    lines = [line for line in lines if line.strip()]
    found = {mark: list(_widths(lines, mark)) for mark in _SEPARATORS}
    for mark, counts in found.items():
        if counts and min(counts) == max(counts) > 1:
            return mark
    for mark, counts in found.items():
        if counts and counts[0] > 1:
            return mark
    raise ValueError(
        f"expected columns with a comma, a semicolon or a tab between them, got "
        f"{plain(lines[0].strip()) if lines else 'an empty file'}"
    )


def _widths(lines: Sequence[str], mark: str) -> Iterator[int]:
    """Cells of every row, up to one that is damaged."""
    try:
        yield from (len(row) for row in csv.reader(lines, delimiter=mark) if row)
    except csv.Error:
        return


@dataclass(frozen=True)
class Columns:
    """Which columns there are, and what they are for.

    Attributes
    ----------
    names : tuple of str
        As a message calls them: the header's name, or the position from 1.
    header : bool
        Whether the first row has names.
    inputs, targets : tuple of int
        Positions from 0.
    """

    names: tuple[str, ...]
    header: bool
    inputs: tuple[int, ...]
    targets: tuple[int, ...]

    @classmethod
    def of(cls, first: Sequence[str], second: Sequence[str], options: DataOptions) -> "Columns":
        """Columns of a file whose first two rows these are.

        Raises
        ------
        ValueError
            If the options name columns that are not there; without the file's name.
        """
        header = options.header
        if header is None:
            header = _has_header(first, second)
        titles = [cell.strip() for cell in first] if header else []
        targets = [_place(column, titles, len(first)) for column in options.target_columns]
        ignored = [_place(column, titles, len(first)) for column in options.ignored_columns]
        names = tuple((shown(titles[k]) if header else "") or str(k + 1) for k in range(len(first)))
        chosen = targets + list(dict.fromkeys(ignored))
        twice = [k for k in chosen if chosen.count(k) > 1]
        if twice:
            raise ValueError(
                f"column {names[twice[0]]} is named twice in targets and ignore: expected once"
            )
        inputs = tuple(k for k in range(len(first)) if k not in set(chosen))
        if not inputs:
            raise ValueError(
                f"all {len(first)} columns are targets or ignored: expected at least one input"
            )
        return cls(names, header, inputs, tuple(targets))

    def key(self, k: int) -> str:
        """A column as TOML's lists have it."""
        name = self.names[k]
        known = self.header and self.names.count(name) == 1 and not name.isdecimal()
        return f'"{name}"' if known else str(k + 1)


def _has_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first of two rows has names: texts above numbers."""
    pairs = list(zip(first, second, strict=False))
    above = any(
        is_number(below) and not is_number(cell) and cell.strip().lower() not in MISSING
        for cell, below in pairs
    )
    counts = len(first) > 2 and [cell.strip() for cell in first] == [
        str(k) for k in range(len(first))
    ]
    if counts or (above and any(is_number(cell) for cell in first)):
        raise ValueError(
            "the first row may have names or values: say which, with header = true or "
            "header = false in [training.data]"
        )
    return above


def _place(column: Column, titles: list[str], width: int) -> int:
    """The position of a column, from 0."""
    if isinstance(column, int):
        if not 1 <= abs(column) <= width:
            raise ValueError(
                f"there are {width} columns, 1 to {width} or from the end -1 to -{width}: got "
                f"{column}"
            )
        return column - 1 if column > 0 else width + column
    if not titles:
        raise ValueError(
            f"there is no header, columns have positions 1 to {width} or from the end -1 to "
            f"-{width}: got {column!r}"
        )
    if titles.count(column) > 1:
        raise ValueError(f"{titles.count(column)} columns are named {column!r}: give a position")
    if column not in titles:
        raise ValueError(f"there is no column {column!r}: {nearest(column, titles)}")
    return titles.index(column)
