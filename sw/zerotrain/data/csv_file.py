"""Tables in CSV files: inputs, and labels or values.

The separator is a comma, a semicolon or a tab; cells may be quoted. Numbers have a decimal point.
"""

import csv
import re
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from zerotrain.config.data import DataOptions
from zerotrain.data.cells import MISSING, is_number, plain
from zerotrain.data.csv_columns import Columns, separator
from zerotrain.data.labels import Labels, check_count, label_complaint
from zerotrain.data.table import MOST_VALUES, Table, check_size

__all__ = ["read_csv"]

#: Lines from which the separator is found out.
_FIRST_LINES = 20
#: Lines that are parsed together.
_BLOCK = 1 << 14
_LONGEST_LINE = 1 << 20
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]*,\d+([eE][+-]?\d+)?", re.ASCII)


def _lines(file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"line {number} has more than {_LONGEST_LINE:,} characters")
        yield line


def read_csv(path: Path, options: DataOptions, *, labels: bool) -> Table:
    """Read a file whose targets are labels or values.

    Raises
    ------
    ValueError
        With file, line and column: what was expected, what came, what to do.
    """
    check_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _Reader(file, options, labels=labels).table()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a text file in UTF-8 (byte {error.object[error.start]:#04x}): export "
            "it as CSV in UTF-8"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _Reader:
    """A file on the way to a table; errors are without its name."""

    def __init__(self, file: TextIO, options: DataOptions, *, labels: bool) -> None:
        lines = _lines(file)
        first = list(islice(lines, _FIRST_LINES))
        self._mark, self._labels = separator(first), labels
        head = list(islice(self._rows(first, 0), 2))
        if len(head) < 2:
            raise ValueError(f"there {_are(len(head), 'row')}: expected many")
        self._columns = columns = Columns.of(head[0][1], head[1][1], options)
        if labels and len(columns.targets) > 1:
            raise ValueError(
                f"labels are in one column, got {len(columns.targets)} targets; for values take "
                'loss = "mean_squared_error"'
            )
        # With labels their column is read as text, everything else as numbers.
        self._places = columns.inputs if labels else (*columns.inputs, *columns.targets)
        self._width, self._first_line = len(head[0][1]), head[0][0]
        self._content = chain(first, lines)
        self._numbers, self._codes = array("d"), array("q")
        self._known = dict[str, int]()

    def table(self) -> Table:
        """Read everything."""
        columns, before = self._columns, 0
        if columns.header:
            before = len(list(islice(self._content, self._first_line)))
        while block := list(islice(self._content, _BLOCK)):
            if any('"' in line for line in block):
                # Quoted cells may reach over the end of the block.
                self._take(self._rows(chain(block, self._content), before))
            elif not self._take_plain(block):
                self._take(self._rows(block, before))
            before += len(block)
        found = np.frombuffer(self._numbers).reshape(-1, len(self._places))
        n_inputs = len(columns.inputs)
        y = (
            Labels(tuple(self._known), np.frombuffer(self._codes, np.int64))
            if self._labels
            else found[:, n_inputs:]
        )
        names = [f"column {name}" for name in columns.names]
        return Table(
            found[:, :n_inputs], y, tuple(names[k] for k in columns.inputs),
            tuple(names[k] for k in columns.targets),
        )  # fmt: skip

    def _take_plain(self, lines: Sequence[str]) -> bool:
        """Take lines without quotes with NumPy's parser, which is twice as fast; nothing of them,
        and False, where something is odd about one."""
        texts: list[str] = []

        def text(cell: str) -> float:
            texts.append(cell.strip())
            return 0.0

        others = set(range(self._width)) - set(self._places)
        converters: dict[int | str, Callable[[str], float]] = {k: lambda cell: 0.0 for k in others}
        if self._labels:
            converters[self._columns.targets[0]] = text
        try:
            with warnings.catch_warnings(action="ignore"):  # of lines that are all empty
                found = np.loadtxt(
                    lines, delimiter=self._mark, comments=None, converters=converters, ndmin=2
                )
        except ValueError:
            return False
        if found.shape[1] != self._width or not np.isfinite(found).all():
            return False
        if not self._known.keys() >= set(texts):
            return False
        self._numbers.frombytes(found[:, self._places].tobytes())
        self._codes.extend(self._known[name] for name in texts)
        self._check_count()
        return True

    def _take(self, rows: Iterable[tuple[int, list[str], bool]]) -> None:
        """Take rows cell by cell, and say what is wrong with one."""
        places, pick = self._places, _picker(self._places)
        for line, row, odd in rows:
            if len(row) != self._width:
                raise ValueError(
                    f"line {line} has {len(row)} cells, line {self._first_line} has {self._width}: "
                    f"expected as many in every line; quote cells that hold a {self._mark!r}"
                )
            try:
                values = list(map(float, pick(row)))
                odd = odd or not isfinite(sum(values))
            except ValueError:
                odd = True
            if odd and (wrong := [k for k in places if not _is_finite(row[k])]):
                raise ValueError(self._wrong(line, wrong[0], row[wrong[0]].strip()))
            self._numbers.extend(values)
            if self._labels:
                name = row[self._columns.targets[0]].strip()
                if name not in self._known:
                    self._check_label(line, name, len(self._known) + 1)
                    self._known[name] = len(self._known)
                self._codes.append(self._known[name])
            self._check_count()

    def _rows(self, lines: Iterable[str], before: int) -> Iterator[tuple[int, list[str], bool]]:
        """Rows that are not empty: their line, their cells, and whether there is something in them
        that :class:`float` takes although no number has it."""
        odd = False

        def watched() -> Iterator[str]:
            nonlocal odd
            for line in lines:
                odd = odd or "_" in line or not line.isascii()
                yield line

        reader = csv.reader(watched(), delimiter=self._mark, skipinitialspace=True, strict=True)
        try:
            for row in reader:
                if row and (len(row) > 1 or row[0].strip()):
                    yield before + reader.line_num, row, odd
                odd = False
        except csv.Error as error:
            raise ValueError(
                f"line {before + reader.line_num} has quotes where none belong, or too long a cell "
                f"({error}): quote whole cells, and double a quote inside"
            ) from None

    def _check_count(self) -> None:
        if len(self._numbers) > MOST_VALUES:
            raise ValueError(
                f"there are more than {MOST_VALUES:,} numbers: take fewer rows or columns"
            )

    def _check_label(self, line: int, name: str, count: int) -> None:
        """Refuse a label that is none, or one too many."""
        what = f"column {self._columns.names[self._columns.targets[0]]}"
        check_count(count, what)
        if complaint := label_complaint(name):
            raise ValueError(f"line {line}, {what}, {complaint}")

    def _wrong(self, line: int, k: int, cell: str) -> str:
        """What is wrong with a cell."""
        columns = self._columns
        where = f"line {line}, column {columns.names[k]}, "
        leave = f"leave the column out with ignore = [{columns.key(k)}]"
        if _is_missing(cell):
            way = "fill it in, or drop the row" + (f", or {leave}" if k in columns.inputs else "")
            return f"{where}has no value{f' but {plain(cell)}' if cell else ''}: {way}"
        if is_number(cell):
            return f"{where}is {plain(cell)}: expected a finite number"
        if _DECIMAL_COMMA.fullmatch(cell):
            return f"{where}is {plain(cell)}: write numbers with a decimal point, not a comma"
        if k in columns.targets:
            return (
                f"{where}is {plain(cell)}: expected a target value; for labels take "
                'loss = "softmax_cross_entropy", or name another column with targets'
            )
        return (
            f"{where}is {plain(cell)}: expected a number; write categories as columns of 0 and 1, "
            f"or {leave}"
        )


def _is_finite(cell: str) -> bool:
    return is_number(cell) and isfinite(float(cell))


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _picker(places: Sequence[int]) -> Callable[[list[str]], Any]:
    """What takes these cells of a row."""
    return itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], places[0] + 1))


def _are(count: int, noun: str) -> str:
    return f"is {count} {noun}" if count == 1 else f"are {count or 'no'} {noun}s"
