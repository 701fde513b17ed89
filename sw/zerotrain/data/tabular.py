"""Tables of numbers as data sets: split, then scaled by their training part."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerotrain.config.data import DataOptions, Scaling
from zerotrain.data.dataset import Dataset, Split, TargetScale
from zerotrain.data.labels import Labels, merge
from zerotrain.data.mixing import permutation
from zerotrain.data.scaling import check_magnitudes, measure_inputs, moments

__all__ = ["MOST_VALUES", "from_arrays"]

#: A part of the data: a share of the samples, their number, or inputs and targets of its own.
Part = float | int | tuple[Any, Any]

#: Numbers of a data set, inputs and target values together.
MOST_VALUES = 25_000_000


def from_arrays(
    name: str,
    x: ArrayLike,
    y: ArrayLike | Labels,
    *,
    labels: bool | None = None,
    test: Part = 0.2,
    validation: Part = 0.1,
    seed: int = 1,
    scaling: Scaling = Scaling.STANDARD,
    unit: str = "",
    columns: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Dataset:
    """A data set from arrays: every table, whatever file it is from, comes in here.

    Inputs are scaled, target values standardised, by the training part alone: with one deviation
    for all outputs, that of the output that deviates most. Figures are given in the values' own
    unit. Labels become the numbers of classes in sorted order.

    Parameters
    ----------
    name : str
        Of the data set.
    x : array [n, n_inputs] or [n, height, width]
        Numbers. They are copied.
    y : array [n] or [n, n_outputs], or Labels
        Labels, or values.
    labels : bool or None
        Whether ``y`` are labels; by default whole numbers, truth values and texts are.
    test, validation : float, int or (x, y)
        A share of the samples ``x``, a number of them, or a part of its own.
    seed : int
        Of the split.
    scaling : Scaling
        Of the inputs.
    unit : str
        Of the values.
    columns, targets : sequence of str
        Names of inputs and target values in messages.

    Raises
    ------
    ValueError
        With one sentence: what was expected, what came, what to do.
    """
    drawn: dict[str, Any] = {
        k: v for k, v in (("test", test), ("validation", validation)) if type(v) is not tuple
    }
    if any(isinstance(part, str) for part in drawn.values()):
        raise ValueError(f"{name}: parts of arrays are shares, numbers of samples, or pairs (x, y)")
    options = DataOptions(seed=seed, scaling=scaling, unit=unit, **drawn)
    given = {"training": (x, y)}
    given |= {k: v for k, v in (("test", test), ("validation", validation)) if isinstance(v, tuple)}
    inputs, image_shape = _inputs(name, {k: pair[0] for k, pair in given.items()})
    if labels is None:
        labels = isinstance(y, Labels) or np.asarray(y).dtype.kind in "biuUOS"
    answers, classes = _targets(name, {k: pair[1] for k, pair in given.items()}, labels)
    for part in given:
        if len(inputs[part]) != len(answers[part]):
            raise ValueError(
                f"{name}: the {part} part has {len(inputs[part])} rows of inputs and "
                f"{len(answers[part])} targets: expected as many"
            )
    whole = {part: Split(inputs[part], answers[part]) for part in given}
    parts = _split(name, whole, test, validation, seed)
    training = parts["training"]
    columns = columns or [f"input {k + 1}" for k in range(training.x.shape[1])]
    for split in parts.values():
        check_magnitudes(split.x, [f"{name}: {column}" for column in columns])
    remarks = tuple(_remarks(name, training, columns))

    scale = TargetScale()
    if labels:
        _check_classes(name, parts, classes)
        n_outputs = len(classes)
    else:
        n_outputs = training.targets.shape[1]
        targets = targets or [f"target {k + 1}" for k in range(n_outputs)]
        for split in parts.values():
            check_magnitudes(split.targets, [f"{name}: {target}" for target in targets])
        if not np.ptp(training.targets, axis=0).any():
            raise ValueError(
                f"{name}: all targets of the training part are {training.targets[0].tolist()}: "
                "expected values that differ"
            )
        offsets, deviations = zip(*(moments(c) for c in training.targets.T), strict=True)
        scale = TargetScale(max(deviations), offsets, unit)
        for split in parts.values():
            split.targets[:] -= np.array(scale.offset)
            split.targets[:] /= scale.factor

    input_scale = measure_inputs(training.x, options.scaling)
    for split in parts.values():
        input_scale.apply(split.x)
    return Dataset(
        name, training, parts["validation"], parts["test"], n_outputs, image_shape, scale,
        input_scale, classes, remarks,
    )  # fmt: skip


def _inputs(
    name: str, given: dict[str, Any]
) -> tuple[dict[str, NDArray[np.float64]], tuple[int, int] | None]:
    """The inputs of every part as float64[n, n_inputs], and the shape of images."""
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
        found[part] = array.astype(np.float64, copy=False).reshape(len(array), -1)
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


def _check_finite(name: str, what: str, values: NDArray[np.float64]) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise ValueError(
            f"{name}: {what}, sample {row + 1}, number {column + 1}, is {values[row, column]}: "
            "expected finite numbers; fill missing values in, or drop the sample"
        )


def _targets(
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
        found[part] = array.astype(np.float64, copy=False).reshape(len(array), -1)
        _check_finite(name, f"targets of the {part} part", found[part])
    if len({array.shape[1] for array in found.values()}) > 1:
        raise ValueError(f"{name}: all parts have as many target values: expected the same number")
    return found, ()


def _split(
    name: str, whole: dict[str, Split], test: Part, validation: Part, seed: int
) -> dict[str, Split]:
    """Copies of the samples of the three parts; those that are not given are drawn."""
    n = len(whole["training"])
    counts = [0 if isinstance(part, tuple) else _count(part, n) for part in (test, validation)]
    if sum(counts) >= n:
        raise ValueError(
            f"{name} has {n} samples, of which {counts[0]} are for the test and {counts[1]} for "
            "validation: expected some for training; give more samples, or smaller parts"
        )
    drawn = np.split(permutation(n, seed), np.cumsum(counts))
    parts = {}
    for part, index in zip(("test", "validation", "training"), drawn, strict=True):
        given = whole[part] if part in whole and part != "training" else None
        parts[part] = given.copy() if given else whole["training"].take(np.sort(index))
    return parts


def _count(part: Part, n: int) -> int:
    """Samples of a part that is drawn: at least one."""
    assert not isinstance(part, tuple)
    return part if isinstance(part, int) else max(1, round(part * n))


def _check_classes(name: str, parts: dict[str, Split], classes: tuple[str | int, ...]) -> None:
    """Raise ``ValueError`` if there is one class only, or one that training does not see."""
    if len(classes) < 2:
        raise ValueError(f"{name}: all labels are {classes[0]!r}: expected at least two classes")
    counts = np.bincount(parts["training"].targets, minlength=len(classes))
    unseen = np.flatnonzero(counts == 0)
    if len(unseen):
        where = [
            part for part in ("validation", "test") if (parts[part].targets == unseen[0]).any()
        ]
        raise ValueError(
            f"{name}: label {classes[unseen[0]]!r} is in the {' and '.join(where)} part and not in "
            f"the training part ({len(parts['training'])} samples): give more samples of it, "
            "another seed of the split, or smaller parts"
        )


def _remarks(name: str, training: Split, columns: Sequence[str]) -> Iterator[str]:
    """What is odd, but can be trained."""
    constant = np.flatnonzero(np.ptp(training.x, axis=0) == 0).tolist()
    if constant:
        some = ", ".join(columns[k] for k in constant[:5]) + (", ..." if len(constant) > 5 else "")
        verb, says = ("is", "says") if len(constant) == 1 else ("are", "say")
        yield f"{some} of {name} {verb} constant in the training part and {says} nothing."
