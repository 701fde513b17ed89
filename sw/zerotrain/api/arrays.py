"""Arrays in memory as a data set."""

from typing import Any

import numpy as np

from zerotrain.data.dataset import Dataset
from zerotrain.data.tabular import tabular

__all__ = ["arrays"]


def _count(name: str, part: float | int, total: int) -> int:
    count = round(part * total) if isinstance(part, float) else part
    if not 1 <= count < total:
        raise ValueError(
            f"{name} is a number of samples, or a share as a decimal fraction, of {total} samples: "
            f"expected at least one and not all, got {part!r}"
        )
    return count


def arrays(
    x: Any,
    targets: Any,
    *,
    test: float | int = 0.2,
    validation: float | int = 0.1,
    seed: int = 1,
    name: str = "arrays",
    unit: str = "",
) -> Dataset:
    """A data set of arrays, split by a seed and standardised by its training part.

    Parameters
    ----------
    x : array [n, n_inputs]
        Numbers.
    targets : array [n], [n, 1] or [n, n_outputs]
        Integers 0, 1, ... are labels of classes; floating-point numbers are values.
    test, validation : float or int
        Shares or numbers of samples of these parts.
    name : str
        What messages and files call the data.
    unit : str
        Of the values.

    Raises
    ------
    ValueError
        If the arrays do not fit one another, or hold what are no finite numbers.
    """
    inputs, wanted = np.asarray(x), np.asarray(targets)
    for what, values in (("x", inputs), ("targets", wanted)):
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{what} is an array of numbers, not of {values.dtype}")
        if not np.isfinite(values).all():
            raise ValueError(f"{what} has values that are not finite")
    if inputs.ndim != 2 or wanted.ndim not in (1, 2) or len(inputs) != len(wanted):
        raise ValueError(
            "Data are x [samples, inputs] and targets [samples] or [samples, outputs], got shapes "
            f"{inputs.shape} and {wanted.shape}"
        )
    if wanted.dtype.kind == "f":
        wanted = wanted.reshape(len(wanted), -1).astype(np.float64)
    else:
        wanted = wanted.astype(np.int64)
        if wanted.ndim == 2 or wanted.min() < 0:
            raise ValueError(
                "Integers as targets are labels 0, 1, ... in an array [samples], got shape "
                f"{wanted.shape} and least value {wanted.min()}: values are floating-point numbers"
            )
    total = len(inputs)
    tests = _count("test", test, total)
    validations = _count("validation", validation, total - tests)
    reals = inputs.astype(np.float64)
    return tabular(name, reals, wanted, test=tests, validation=validations, seed=seed, unit=unit)
