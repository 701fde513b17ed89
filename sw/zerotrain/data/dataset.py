"""What a data set is, and how its values become the chip's raw integers."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.mixing import permutation
from zerotrain.data.scaling import InputScale
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Network

__all__ = ["Dataset", "Samples", "Split", "TargetScale", "quantize"]

#: Outliers are clipped; where more than this share of the values is, the format is the wrong one.
_MOST_CLIPPED = 0.05
#: Rows that are quantised at a time.
_ROWS = 1 << 14


def _clipped(values: NDArray[np.float64], fmt: QFormat) -> int:
    """How many values a format does not hold, even rounded."""
    low, high = fmt.raw_min, fmt.raw_max

    def outside(real: Any) -> Any:
        raw = np.rint(np.ldexp(real, fmt.frac_bits))
        return (raw < low) | (raw > high)

    # Data sets are large, and nearly all of them fit.
    if not values.size or not (outside(values.min()) or outside(values.max())):
        return 0
    return int(outside(values).sum())


def quantize(values: NDArray[np.float64], fmt: QFormat) -> NDArray[np.int64]:
    """Nearest raw integers of real values (ties to even), clipped to the format.

    Raises
    ------
    ValueError
        If more than one in twenty values does not fit the format.
    """
    if _clipped(values, fmt) > _MOST_CLIPPED * values.size:
        raise ValueError(
            f"Format {fmt} holds {fmt.raw_min * fmt.resolution:g} to "
            f"{fmt.raw_max * fmt.resolution:g}, the data reach from {values.min():g} to "
            f"{values.max():g}: give the format more integer bits"
        )
    raw = np.empty(values.shape, np.int64)
    for start in range(0, len(values), _ROWS):  # no copies of large data in float64
        rows = np.rint(np.ldexp(values[start : start + _ROWS], fmt.frac_bits))
        raw[start : start + _ROWS] = np.clip(rows, fmt.raw_min, fmt.raw_max)
    return raw


def _modes(side: str, layer: int, count: int, size: int) -> str:
    """How to let a layer have so many inputs or outputs."""
    if count == 1:
        return f"let {side}puts of layer {layer} be {size}"
    modes, rest = [1] * count, size
    for prime in range(2, size + 1):  # large primes last, each to the smallest mode
        while rest % prime == 0:
            modes[modes.index(min(modes))] *= prime
            rest //= prime
    return f"let {side}_modes of layer {layer} multiply to {size}, as {modes} do"


@dataclass(frozen=True)
class Samples:
    """Samples as a chip takes them.

    Attributes
    ----------
    x : int64[n, n_inputs]
        Raw in format ``input``.
    targets : int64[n] or int64[n, n_outputs]
        Labels, or values raw in format ``logit``.
    formats : Formats
        Of the chip.
    """

    x: NDArray[np.int64]
    targets: NDArray[np.int64] = field(repr=False)
    formats: Formats = field(repr=False)

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Split:
    """Samples ``x`` float64[n, n_inputs], and targets: labels int64[n] or values
    float64[n, n_outputs]."""

    x: NDArray[np.float64]
    targets: NDArray[Any]
    target_format: QFormat | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def labelled(self) -> bool:
        """Whether the targets are labels."""
        return self.targets.dtype.kind == "i"

    @cached_property
    def digest(self) -> str:
        """A hash of all values, hexadecimal; computed once, as a large data set takes a second."""
        digest = hashlib.blake2b(digest_size=8)
        for values in (self.x, self.targets):
            digest.update(f"{values.dtype} {values.shape} ".encode())
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    def take(self, index: NDArray[np.int64]) -> "Split":
        """The samples of these indices, in this order."""
        return Split(self.x[index], self.targets[index], self.target_format)

    def copy(self) -> "Split":
        """The same samples in arrays of their own."""
        return Split(self.x.copy(), self.targets.copy())

    def join(self, other: "Split") -> "Split":
        """These samples, then the other ones."""
        targets = np.concatenate([self.targets, other.targets])
        return Split(np.concatenate([self.x, other.x]), targets, self.target_format)

    def quantize(self, formats: Formats) -> Samples:
        """The samples in a chip's formats. Labels are integers already."""
        x = quantize(self.x, formats.input)
        fmt = self.target_format or formats.logit
        targets = self.targets if self.labelled else quantize(self.targets, fmt)
        return Samples(x, targets, formats)


@dataclass(frozen=True)
class TargetScale:
    """What target values mean: ``value * factor + offset[output]``, in ``unit``.

    There is one factor for all outputs, because the chip sums their losses.
    """

    factor: float = 1.0
    offset: tuple[float, ...] = ()
    unit: str = ""


class Points(Protocol):
    """Draws the batches of a differential equation."""

    def batch(self, *key: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Raw points and data words of a step, for the key of a random stream."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Samples and targets in three parts.

    ``validation`` is for choosing hyper-parameters. A final run trains on ``training`` and
    ``validation`` together; ``test`` is for its result only.

    Attributes
    ----------
    n_outputs : int
        Classes, or target values of a sample.
    image_shape : (int, int) or None
        Height and width where samples are images, row by row.
    scale : TargetScale
        Of target values; labels have none.
    inputs : InputScale
        What was done to the inputs of a table.
    classes : tuple of str or int
        The labels of a table by the number of their class; empty where they are these numbers.
    remarks : tuple of str
        Sentences on what is odd about the data.
    points : Points or None
        Of a differential equation: where the batches of its steps come from. Its parts are fixed
        points, with the exact solution, to measure with.
    """

    name: str
    training: Split
    validation: Split
    test: Split
    n_outputs: int
    image_shape: tuple[int, int] | None = None
    scale: TargetScale = TargetScale()
    inputs: InputScale = field(default_factory=InputScale)
    classes: tuple[str | int, ...] = ()
    remarks: tuple[str, ...] = ()
    points: Points | None = None

    @classmethod
    def split(
        cls,
        name: str,
        samples: Split,
        n_outputs: int,
        image_shape: tuple[int, int] | None = None,
        *,
        test: int,
        validation: int,
        seed: int,
    ) -> "Dataset":
        """Draw the test and validation parts at random: the same ones for the same seed."""
        order = permutation(len(samples), seed)
        parts = np.split(order, [test, test + validation])
        tests, validations, trainings = (samples.take(np.sort(part)) for part in parts)
        return cls(name, trainings, validations, tests, n_outputs, image_shape)

    @property
    def n_inputs(self) -> int:
        return int(self.training.x.shape[1])

    @property
    def labelled(self) -> bool:
        """Whether the targets are labels."""
        return self.training.labelled

    @property
    def legend(self) -> str:
        """Which output stands for which label, where that is not its own number."""
        if self.classes == tuple(range(len(self.classes))):
            return ""
        return ", ".join(f"{k} {name}" for k, name in enumerate(self.classes))

    def check(self, network: Network) -> None:
        """Raise ``ValueError`` if a network cannot be trained on this data set."""
        outputs = "classes" if self.labelled else "target values"
        if (network.n_inputs, network.n_outputs) != (self.n_inputs, self.n_outputs):
            ways = []
            if network.n_inputs != self.n_inputs:
                ways.append(_modes("in", 1, network.layers[0].n_tt_cores, self.n_inputs))
            if network.n_outputs != self.n_outputs:
                last = len(network.layers)
                ways.append(_modes("out", last, network.layers[-1].n_tt_cores, self.n_outputs))
            raise ValueError(
                f"Data set {self.name} has {self.n_inputs} inputs and {self.n_outputs} {outputs}, "
                f"network {network.name} has {network.n_inputs} inputs and {network.n_outputs} "
                f"outputs: {' and '.join(ways)}"
            )
        if network.loss.record.labels != self.labelled:
            records = {k: k.record for k in type(network.loss)}
            suitable = [
                k
                for k, record in records.items()
                if record.labels == self.labelled and not record.residuals
            ]
            raise ValueError(
                f"Data set {self.name} has {'labels' if self.labelled else 'target values'}, which "
                f"need the loss {' or '.join(suitable)}, network {network.name} has {network.loss}"
            )

    def exact_input(self) -> QFormat | None:
        """The narrowest format that holds every input without rounding; None if it would have more
        than 16 bits."""
        parts = [part.x for part in (self.training, self.validation, self.test)]
        for frac_bits in range(16):
            raw = [np.ldexp(x, frac_bits) for x in parts]
            if all(bool((x == np.rint(x)).all()) for x in raw):
                low, high = min(x.min() for x in raw), max(x.max() for x in raw)
                most = int(max(high, -low - 1, 1))
                width = max(most.bit_length(), frac_bits) + 1
                return QFormat(width, frac_bits) if width <= 16 else None
        return None

    def clipping(self, formats: Formats) -> Iterator[str]:
        """A sentence for each kind of values that a chip's formats do not hold all of."""
        parts = (self.training, self.validation, self.test)
        kinds = [("inputs", formats.input, [part.x for part in parts])]
        if not self.labelled:
            kinds.append(("target values", formats.logit, [part.targets for part in parts]))
        for name, fmt, values in kinds:
            count = sum(_clipped(part, fmt) for part in values)
            if count:
                yield (
                    f"{count:,} of {sum(part.size for part in values):,} {name} of {self.name} are "
                    f"clipped to format {fmt}, which holds {fmt.raw_min * fmt.resolution:g} to "
                    f"{fmt.raw_max * fmt.resolution:g}."
                )
