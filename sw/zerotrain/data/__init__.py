"""Data sets, split by a fixed seed into training, validation and test parts."""

from collections.abc import Callable
from pathlib import Path

from zerotrain.config.config import nearest
from zerotrain.data.dataset import Dataset, Split
from zerotrain.data.diabetes import load_diabetes
from zerotrain.data.digits import load_digits
from zerotrain.data.mnist import load_mnist

__all__ = ["DATASETS", "Dataset", "Split", "load"]

#: Loaders by name. They take the directory given by the user, or None.
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "diabetes": lambda directory: load_diabetes(),
    "digits": lambda directory: load_digits(),
    "mnist": load_mnist,
}


def load(name: str, directory: Path | None = None) -> Dataset:
    """The data set of that name.

    Raises
    ------
    ValueError
        If there is none of that name, or its files are damaged.
    FileNotFoundError
        If its files are nowhere to be found.
    """
    if name not in DATASETS:
        raise ValueError(f"There is no data set {name!r}: {nearest(name, sorted(DATASETS))}")
    return DATASETS[name](directory)
