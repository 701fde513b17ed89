"""Data sets from files of one's own."""

from pathlib import Path
from typing import Any

from zerotrain.config.data import DataOptions
from zerotrain.data.cells import shown
from zerotrain.data.csv_file import read_csv
from zerotrain.data.dataset import Dataset
from zerotrain.data.npz_file import read_npz
from zerotrain.data.table import Table
from zerotrain.data.tabular import from_arrays

__all__ = ["load_file"]

_TEXTS = (".csv", ".tsv", ".txt")


def load_file(
    name: str, options: DataOptions, *, labels: bool, directory: Path | None = None
) -> Dataset:
    """The data set in a file, or in several.

    Parameters
    ----------
    name : str
        The file. Its ending says what it is: CSV (``.csv``, ``.tsv``, ``.txt``) or ``.npz``.
    labels : bool
        Whether its targets are labels, or values.
    directory : Path, optional
        Where files of these names are, instead of where their names say.

    Raises
    ------
    ValueError
        In one sentence, if a file holds something else than data of this kind.
    OSError
        If a file cannot be read, with its name.
    """
    path = _path(name, directory)
    found = _read(path, options, labels=labels)
    given: dict[str, Any] = {"test": options.test, "validation": options.validation}
    for part, value in given.items():
        if part in found:
            given[part] = found[part].x, found[part].y
        elif isinstance(value, str):
            other = _path(value, directory)
            table = _read(other, options, labels=labels)["training"]
            _check_columns(path, found["training"], other, table)
            given[part] = table.x, table.y
    table = found["training"]
    return from_arrays(
        path.name, table.x, table.y, labels=labels, test=given["test"],
        validation=given["validation"], seed=options.seed, scaling=options.scaling,
        unit=options.unit, columns=table.columns, targets=table.targets,
    )  # fmt: skip


def _path(name: str, directory: Path | None) -> Path:
    """A file that is there."""
    path = Path(name).expanduser() if directory is None else directory / Path(name).name
    kinds = ", ".join((*_TEXTS, ".npz"))
    if path.suffix.lower() not in (*_TEXTS, ".npz"):
        raise ValueError(
            f"{path} is no data set that can be read: expected a file ending in {kinds}; export it "
            "as CSV in UTF-8"
        )
    try:
        there = path.is_file()
    except OSError as error:  # no permission, or no name that a file can have
        raise type(error)(f"Cannot read {shown(str(path))}: {error.strerror}") from None
    if not there:
        raise FileNotFoundError(
            f"There is no file {path}: expected the data set there; correct the name in the "
            "configuration, or name the folder with --data"
        )
    return path


def _read(path: Path, options: DataOptions, *, labels: bool) -> dict[str, Table]:
    try:
        if path.suffix.lower() == ".npz":
            return read_npz(path)
        return {"training": read_csv(path, options, labels=labels)}
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {error.strerror or error}") from error


def _check_columns(path: Path, table: Table, other: Path, more: Table) -> None:
    """Raise ``ValueError`` if two files have other columns."""
    pairs = zip((*table.columns, *table.targets), (*more.columns, *more.targets), strict=False)
    differ = next(((a, b) for a, b in pairs if a != b), None)
    if differ or len(table.columns) != len(more.columns):
        what = f"{differ[1]} where {path} has {differ[0]}" if differ else (
            f"{len(more.columns)} inputs, {path} has {len(table.columns)}"
        )  # fmt: skip
        raise ValueError(f"{other} has {what}: expected the same columns in the same order")
