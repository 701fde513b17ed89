"""Arrays in memory as a data set."""

from typing import Any

from numpy.typing import ArrayLike

from zerotrain.data.dataset import Dataset
from zerotrain.data.tabular import from_arrays

__all__ = ["arrays"]


def arrays(
    x: ArrayLike,
    targets: ArrayLike,
    *,
    test: float | int | tuple[Any, Any] = 0.2,
    validation: float | int | tuple[Any, Any] = 0.1,
    seed: int = 1,
    scaling: str = "standard",
    name: str = "arrays",
    unit: str = "",
) -> Dataset:
    """A data set of arrays, split by a seed and scaled by its training part.

    Parameters
    ----------
    x : array [n, n_inputs] or [n, height, width]
        Numbers.
    targets : array [n], or [n, n_outputs]
        Integers and texts are labels of classes; floating-point numbers are values.
    test, validation : float, int or (x, targets)
        Shares or numbers of samples of these parts, or parts of their own.
    scaling : str
        Of the inputs, a :class:`~zerotrain.config.data.Scaling`.
    name : str
        What messages and files call the data.
    unit : str
        Of the values.

    Raises
    ------
    ValueError
        If the arrays do not fit one another, or hold what are no finite numbers.
    """
    return from_arrays(
        name, x, targets, test=test, validation=validation, seed=seed,
        scaling=scaling, unit=unit,
    )  # fmt: skip
