"""Tables in CSV files: inputs, and labels or values.

The separator is a comma, a semicolon or a tab; cells may be quoted. Numbers have a decimal point.
"""

import csv
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
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
#: Rows whose numbers are checked together.
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
        self._labels, self._odd = labels, False
        lines = _lines(file)
        first = list(islice(lines, _FIRST_LINES))
        self._mark = separator(first)
        self._reader = csv.reader(
            self._watched(chain(first, lines)),
            delimiter=self._mark,
            skipinitialspace=True,
            strict=True,
        )
        rows = self._rows()
        head = list(islice(rows, 2))
        if len(head) < 2:
            raise ValueError(f"there {_are(len(head), 'row')}: expected many")
        self._columns = Columns.of(head[0][1], head[1][1], options)
        if labels and len(self._columns.targets) > 1:
            raise ValueError(
                f"labels are in one column, got {len(self._columns.targets)} targets; for values "
                'take loss = "mean_squared_error"'
            )
        self._width, self._first_line = len(head[0][1]), head[0][0]
        self._content = chain(head[1:] if self._columns.header else head, rows)

    def _watched(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines; notes those with what :class:`float` takes although no number has it."""
        for line in lines:
            if "_" in line or not line.isascii():
                self._odd = True
            yield line

    def _rows(self) -> Iterator[tuple[int, list[str], bool]]:
        """Rows that are not empty, with their line and whether that was noted."""
        try:
            for row in self._reader:
                if row and (len(row) > 1 or row[0].strip()):
                    yield self._reader.line_num, row, self._odd
                self._odd = False
        except csv.Error as error:
            raise ValueError(
                f"line {self._reader.line_num} has quotes where none belong, or too long a cell "
                f"({error}): quote whole cells, and double a quote inside"
            ) from None

    def table(self) -> Table:
        """Read everything."""
        columns = self._columns
        # With labels their column is read as text, everything else as numbers.
        places = columns.inputs if self._labels else (*columns.inputs, *columns.targets)
        pick, answer = _picker(places), columns.targets[0]
        numbers, codes, lines = array("d"), array("q"), array("q")
        known = dict[str, int]()
        for line, row, odd in self._content:
            if len(row) != self._width:
                raise ValueError(
                    f"line {line} has {len(row)} cells, line {self._first_line} has {self._width}: "
                    f"expected as many in every line; quote cells that hold a {self._mark!r}"
                )
            try:
                numbers.extend(map(float, pick(row)))
            except ValueError:
                raise ValueError(self._complaint(line, row, places)) from None
            if odd and not all(is_number(row[k]) or _is_missing(row[k]) for k in places):
                raise ValueError(self._complaint(line, row, places))
            if self._labels:
                name = row[answer].strip()
                if name not in known:
                    self._check_label(line, name, len(known) + 1)
                    known[name] = len(known)
                codes.append(known[name])
            lines.append(line)
            if len(lines) % _BLOCK == 0:
                self._check_finite(numbers, lines[-_BLOCK:], places)
        self._check_finite(numbers, lines[len(lines) // _BLOCK * _BLOCK :], places)
        found = np.frombuffer(numbers).reshape(-1, len(places))
        n_inputs = len(columns.inputs)
        y = (
            Labels(tuple(known), np.frombuffer(codes, np.int64))
            if self._labels
            else found[:, n_inputs:]
        )
        names = [f"column {name}" for name in columns.names]
        inputs, targets = columns.inputs, columns.targets
        return Table(
            found[:, :n_inputs], y, tuple(names[k] for k in inputs),
            tuple(names[k] for k in targets),
        )  # fmt: skip

    def _check_finite(
        self, numbers: "array[float]", lines: "array[int]", places: Sequence[int]
    ) -> None:
        """Refuse NaN and infinity in the rows last read, on these lines, and too many of them."""
        if len(numbers) > MOST_VALUES:
            raise ValueError(
                f"there are more than {MOST_VALUES:,} numbers: take fewer rows or columns"
            )
        recent = np.array(numbers[len(numbers) - len(lines) * len(places) :])
        wrong = np.flatnonzero(~np.isfinite(recent))
        if len(wrong):
            row, k = divmod(int(wrong[0]), len(places))
            raise ValueError(self._wrong(lines[row], places[k], str(recent[wrong[0]])))

    def _check_label(self, line: int, name: str, count: int) -> None:
        """Refuse a label that is none, or one too many."""
        what = f"column {self._columns.names[self._columns.targets[0]]}"
        check_count(count, what)
        if complaint := label_complaint(name):
            raise ValueError(f"line {line}, {what}, {complaint}")

    def _complaint(self, line: int, row: list[str], places: Sequence[int]) -> str:
        """What is wrong with a row that has something else than a finite number in a place."""

        def wrong(cell: str) -> bool:
            return not is_number(cell) or not np.isfinite(float(cell))

        k = next(k for k in places if wrong(row[k]))
        return self._wrong(line, k, row[k].strip())

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


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _picker(places: Sequence[int]) -> Callable[[list[str]], Any]:
    """What takes these cells of a row."""
    return itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], places[0] + 1))


def _are(count: int, noun: str) -> str:
    return f"is {count} {noun}" if count == 1 else f"are {count or 'no'} {noun}s"
