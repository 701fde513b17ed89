"""Data sets, split by a fixed seed into training, validation and test parts."""

from collections.abc import Callable
from pathlib import Path

from zerotrain.config.config import Config, nearest
from zerotrain.data.collocation import load_equation
from zerotrain.data.dataset import Dataset, Split
from zerotrain.data.diabetes import load_diabetes
from zerotrain.data.digits import load_digits
from zerotrain.data.files import load_file
from zerotrain.data.mnist import load_mnist

__all__ = ["DATASETS", "Dataset", "Split", "load", "load_for"]

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


def load_for(config: Config, directory: Path | None = None) -> Dataset:
    """The data set that a configuration with a ``[training]`` section names.

    A file's targets are labels or values, as the network's loss needs them.

    Parameters
    ----------
    directory : Path, optional
        Where the data set's files are.

    Raises
    ------
    ValueError, OSError
        As :func:`load` and :func:`~zerotrain.data.files.load_file` do.
    """
    training = config.required_training
    if config.equation is not None:
        return load_equation(config)
    if training.data is None:
        return load(training.dataset, directory)
    labels = config.network.loss.record.labels
    return load_file(training.dataset, training.data, labels=labels, directory=directory)
