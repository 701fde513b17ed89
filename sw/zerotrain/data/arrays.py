"""Arrays of a data set's parts: what they may be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.labels import Labels, merge
from zerotrain.data.table import MOST_VALUES

__all__ = ["read_inputs", "read_targets"]


def read_inputs(
    name: str, given: dict[str, Any]
) -> tuple[dict[str, NDArray[Any]], tuple[int, int] | None]:
    """The inputs of every part as array [n, n_inputs], and the shape of images."""
    found, shapes = {}, {}
    for part, values in given.items():
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(
                f"{name}: the inputs of the {part} part have elements of type {array.dtype}: "
                "expected numbers"
            )
        if array.ndim < 2 or 0 in array.shape:
            raise ValueError(
                f"{name}: the inputs of the {part} part have the shape {array.shape}: expected a "
                "row of at least one input for every sample"
            )
        found[part] = array.reshape(len(array), -1)
        shapes[part] = array.shape[1:]
        _check_finite(name, f"inputs of the {part} part", found[part])
    if len(set(shapes.values())) > 1:
        sizes = " and ".join(f"{shape} in the {part} part" for part, shape in shapes.items())
        raise ValueError(f"{name}: samples have the shape {sizes}: expected the same")
    total = sum(array.size for array in found.values())
    if total > MOST_VALUES:
        raise ValueError(
            f"{name} has {total:,} numbers: expected at most {MOST_VALUES:,}; take fewer samples"
        )
    shape = shapes["training"]
    return found, (int(shape[0]), int(shape[1])) if len(shape) == 2 else None


def _check_finite(name: str, what: str, values: NDArray[Any]) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise ValueError(
            f"{name}: {what}, sample {row + 1}, number {column + 1}, is {values[row, column]}: "
            "expected finite numbers; fill missing values in, or drop the sample"
        )


def read_targets(
    name: str, given: dict[str, Any], labels: bool
) -> tuple[dict[str, NDArray[Any]], tuple[str | int, ...]]:
    """The targets of every part, and the classes."""
    if labels:
        known = [
            values if isinstance(values, Labels)
            else Labels.of(np.asarray(values), f"{name}: y of the {part} part")
            for part, values in given.items()
        ]  # fmt: skip
        classes, codes = merge(known)
        return dict(zip(given, codes, strict=True)), classes
    found = {}
    for part, values in given.items():
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError(
                f"{name}: y of the {part} part has elements of type {array.dtype}: expected "
                'numbers; for labels take loss = "softmax_cross_entropy"'
            )
        if array.ndim not in (1, 2) or 0 in array.shape:
            raise ValueError(
                f"{name}: y of the {part} part has the shape {array.shape}: expected a value, or a "
                "row of values, for every sample"
            )
        found[part] = array.reshape(len(array), -1)
        _check_finite(name, f"targets of the {part} part", found[part])
    if len({array.shape[1] for array in found.values()}) > 1:
        sizes = " and ".join(f"{v.shape[1]} in the {part} part" for part, v in found.items())
        raise ValueError(f"{name}: the number of target values is {sizes}: expected the same")
    return found, ()
