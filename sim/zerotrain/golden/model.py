"""What a step is given: the model that defines its numbers, and the state that it changes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.tt import Groups, check_groups
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats
from zerotrain.spec.lfsr import TAPS
from zerotrain.spec.network import Network

__all__ = ["Model", "State"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Model:
    """All that defines the numbers of a step besides its settings.

    Parameters
    ----------
    network : Network
        The network.
    formats : Formats
        Number formats of the chip.
    groups : tuple of tuple of int
        TT-cores that the forward pass merges, chosen by the planner.
    lanes : int
        Samples per pass: after each, losses saturate.
    lfsr_degree : int
        Degree of the perturbation generator.
    environments : bool
        Whether CGE finds its losses from environments, else by forward passes.
    """

    network: Network
    formats: Formats
    groups: Groups
    lanes: int
    lfsr_degree: int = 48
    environments: bool = True

    def __post_init__(self) -> None:
        check_groups(self.network, self.groups)
        if self.lanes < 1:
            raise ValueError(f"A chip has 1 lane or more, not {self.lanes!r}")
        if self.lfsr_degree not in TAPS:
            raise ValueError(f"LFSR degree must be one of {sorted(TAPS)}, not {self.lfsr_degree!r}")

    @classmethod
    def of(cls, chip: Chip, network: Network, groups: Groups) -> "Model":
        """The model of a network on a chip."""
        if chip.loss != network.loss:
            raise ValueError(
                f"The chip computes the loss {chip.loss}, but network {network.name!r} needs "
                f"{network.loss}"
            )
        problem, formats = network.problem, chip.formats
        if problem is not None and (problem.input, problem.output) != (
            formats.input, formats.logit
        ):  # fmt: skip
            raise ValueError(
                f"The equation of network {network.name!r} was made for inputs {problem.input} and "
                f"outputs {problem.output}, the chip has {formats.input} and {formats.logit}"
            )
        environments = chip.cge != Cge.FORWARD
        return cls(network, chip.formats, groups, chip.lanes, chip.lfsr_degree, environments)


@dataclass(frozen=True, slots=True)
class State:
    """What a step changes.

    Attributes
    ----------
    theta : int64[d]
        Parameters, raw in ``weight``.
    momentum : int64[d]
        Momentum words, raw in ``momentum``.
    lfsr_state : int
        Perturbation generator, where the next RGE step begins.
    """

    theta: Ints
    momentum: Ints
    lfsr_state: int
