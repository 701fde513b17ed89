"""Tables of numbers as data sets: split, then scaled by their training part."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerotrain.config.data import DataOptions, Scaling
from zerotrain.data.arrays import read_inputs, read_targets
from zerotrain.data.dataset import Dataset, Split, TargetScale
from zerotrain.data.labels import Labels
from zerotrain.data.mixing import permutation
from zerotrain.data.scaling import check_magnitudes, measure_inputs, moments

__all__ = ["from_arrays"]

#: Parts that are drawn unless they are given.
_DRAWN = ("test", "validation")
#: A part of the data: a share of the samples, their number, or inputs and targets of its own.
Part = float | int | tuple[Any, Any]


def from_arrays(
    name: str,
    x: ArrayLike,
    y: ArrayLike | Labels,
    *,
    labels: bool | None = None,
    test: Part = 0.2,
    validation: Part = 0.1,
    seed: int = 1,
    scaling: Scaling | str = Scaling.STANDARD,
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
    given: dict[str, Any] = {"test": test, "validation": validation}
    drawn = {part: value for part, value in given.items() if not isinstance(value, tuple)}
    if any(isinstance(value, str) for value in drawn.values()):
        raise ValueError(f"{name}: parts of arrays are shares, numbers of samples, or pairs (x, y)")
    checked: dict[str, Any] = {"seed": seed, "scaling": scaling, "unit": unit, **drawn}
    options = DataOptions(**checked)
    pairs = {"training": (x, y)} | {k: v for k, v in given.items() if k not in drawn}
    if labels is None:
        labels = isinstance(y, Labels) or np.asarray(y).dtype.kind in "biuUSO"
    inputs, image_shape = read_inputs(name, {part: pair[0] for part, pair in pairs.items()})
    answers, classes = read_targets(name, {part: pair[1] for part, pair in pairs.items()}, labels)
    for part in pairs:
        if len(inputs[part]) != len(answers[part]):
            raise ValueError(
                f"{name}: the {part} part has {len(inputs[part])} rows of inputs and "
                f"{len(answers[part])} targets: expected as many"
            )
    names = [*columns] or [f"input {k + 1}" for k in range(inputs["training"].shape[1])]
    counting = _counting(name, inputs["training"], names)
    parts = _split(name, {part: (inputs[part], answers[part]) for part in pairs}, options)
    training = parts["training"]
    remarks = (*counting, *_constant(name, training, names))
    for split in parts.values():
        check_magnitudes(split.x, [f"{name}: {column}" for column in names])
    if labels:
        _check_classes(name, parts, classes)
        scale, n_outputs = TargetScale(), len(classes)
    else:
        n_outputs = training.targets.shape[1]
        answered = [*targets] or [f"target {k + 1}" for k in range(n_outputs)]
        scale = _standardise(name, parts, answered, unit)
    input_scale = measure_inputs(training.x, options.scaling)
    for split in parts.values():
        input_scale.scale(split.x)
    return Dataset(
        name, training, parts["validation"], parts["test"], n_outputs, image_shape, scale,
        input_scale, classes, remarks,
    )  # fmt: skip


def _split(
    name: str, whole: dict[str, tuple[NDArray[Any], NDArray[Any]]], options: DataOptions
) -> dict[str, Split]:
    """Copies of the samples of the three parts; those that are not given are drawn."""
    x, y = whole["training"]
    counts = [0 if k in whole else _count(getattr(options, k), len(x)) for k in _DRAWN]
    if sum(counts) >= len(x):
        raise ValueError(
            f"{name} has {len(x):,} samples, of which {counts[0]:,} are for the test and "
            f"{counts[1]:,} for validation: expected some for training; give more samples, or "
            "smaller parts"
        )
    drawn = np.split(permutation(len(x), options.seed), np.cumsum(counts))
    parts = {}
    for part, index in zip((*_DRAWN, "training"), drawn, strict=True):
        given = part in whole and part in _DRAWN
        rows, answers = whole[part] if given else (x[order := np.sort(index)], y[order])
        # What was taken is new already; what was given stays as it is.
        kind = np.int64 if answers.ndim == 1 else np.float64
        split = rows.astype(np.float64, copy=given), answers.astype(kind, copy=given)
        parts[part] = Split(*split)
    return parts


def _count(part: float | int | str, n: int) -> int:
    """Samples of a part that is drawn: at least one."""
    assert not isinstance(part, str)
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


def _standardise(
    name: str, parts: dict[str, Split], targets: Sequence[str], unit: str
) -> TargetScale:
    """Scale target values in their place, by the training part."""
    training = parts["training"]
    for split in parts.values():
        check_magnitudes(split.targets, [f"{name}: {target}" for target in targets])
    if not np.ptp(training.targets, axis=0).any():
        raise ValueError(
            f"{name}: all samples of the training part have the same target values: expected some "
            "that differ"
        )
    offsets, deviations = zip(*(moments(column) for column in training.targets.T), strict=True)
    scale = TargetScale(max(deviations), offsets, unit)
    for split in parts.values():
        values = split.targets
        values -= np.array(scale.offset)
        values /= scale.factor
    return scale


def _listed(names: Sequence[str], places: Sequence[int]) -> str:
    some = ", ".join(names[k] for k in places[:5])
    return f"{some}, ..." if len(places) > 5 else some


def _constant(name: str, training: Split, names: Sequence[str]) -> Iterator[str]:
    """A remark on inputs that never change."""
    found = np.flatnonzero(np.ptp(training.x, axis=0) == 0).tolist()
    if found:
        verb, says = ("is", "says") if len(found) == 1 else ("are", "say")
        yield (
            f"{name}: {_listed(names, found)} {verb} constant in the training part and {says} "
            "nothing."
        )


def _counting(name: str, x: NDArray[Any], names: Sequence[str]) -> list[str]:
    """A remark on inputs that number the samples."""
    rows = np.arange(len(x))
    found = [k for k in range(x.shape[1]) if x[0, k] in (0, 1) and x[-1, k] == x[0, k] + rows[-1]]
    found = [k for k in found if np.array_equal(x[:, k] - x[0, k], rows)] if len(x) > 9 else []
    if not found:
        return []
    verb, way = ("numbers", "it") if len(found) == 1 else ("number", "them")
    return [
        f"{name}: {_listed(names, found)} {verb} the samples, as an index does: leave {way} out "
        "with ignore, unless the order is to be learnt."
    ]
