"""What a data set is, and how its values become the chip's raw integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.mixing import permutation
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Loss, Network

__all__ = ["Dataset", "Split", "quantize"]


def quantize(values: NDArray[np.float64], fmt: QFormat) -> NDArray[np.int64]:
    """Nearest raw integers of real values (ties to even).

    Raises
    ------
    ValueError
        If a value does not fit the format.
    """
    raw = np.rint(np.ldexp(values, fmt.frac_bits)).astype(np.int64)
    if raw.size and (raw.min() < fmt.raw_min or raw.max() > fmt.raw_max):
        raise ValueError(
            f"Format {fmt} holds {fmt.raw_min * fmt.resolution:g} to "
            f"{fmt.raw_max * fmt.resolution:g}, the data reach from {values.min():g} to "
            f"{values.max():g}: give the format more integer bits"
        )
    return raw


@dataclass(frozen=True)
class Split:
    """Samples ``x`` float64[n, n_inputs] and labels int64[n]."""

    x: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> "Split":
        """The samples of these indices, in this order."""
        return Split(self.x[index], self.labels[index])

    def join(self, other: "Split") -> "Split":
        """These samples, then the other ones."""
        return Split(np.concatenate([self.x, other.x]), np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True)
class Dataset:
    """A data set of labelled samples.

    ``validation`` is for choosing hyper-parameters. A final run trains on ``training`` and
    ``validation`` together; ``test`` is for its result only. Samples are images of
    ``image_shape`` (height, width), row by row.
    """

    name: str
    training: Split
    validation: Split
    test: Split
    n_classes: int
    image_shape: tuple[int, int]

    @classmethod
    def split(
        cls,
        name: str,
        samples: Split,
        n_classes: int,
        image_shape: tuple[int, int],
        *,
        test: int,
        validation: int,
        seed: int,
    ) -> "Dataset":
        """Draw the test and validation parts at random: the same ones for the same seed."""
        order = permutation(len(samples), seed)
        parts = np.split(order, [test, test + validation])
        tests, validations, trainings = (samples.take(np.sort(part)) for part in parts)
        return cls(name, trainings, validations, tests, n_classes, image_shape)

    @property
    def n_inputs(self) -> int:
        return int(self.training.x.shape[1])

    def check(self, network: Network) -> None:
        """Raise ``ValueError`` if a network cannot be trained on this data set."""
        expected = (self.n_inputs, self.n_classes)
        if (network.n_inputs, network.n_outputs) != expected:
            raise ValueError(
                f"Data set {self.name} has {expected[0]} inputs and {expected[1]} classes, "
                f"network {network.name} has {network.n_inputs} inputs and {network.n_outputs} "
                "outputs"
            )
        if network.loss != Loss.SOFTMAX_CROSS_ENTROPY:
            raise ValueError(
                f"Data set {self.name} has labels, which need the loss "
                f"{Loss.SOFTMAX_CROSS_ENTROPY}, network {network.name} has {network.loss}"
            )
