"""Where the samples of a batch and their targets are: lane, pass, way and row."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchLayout", "address_bits"]

#: One sample, or an array of samples.
_N = TypeVar("_N", int, NDArray[np.int64])


def address_bits(words: int) -> int:
    """Address bits of a memory of so many words; at least one."""
    return max(1, (words - 1).bit_length())


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """Sample s of a batch is in lane ``s % lanes`` of pass ``s // lanes``.

    A lane's inputs follow one another in its sample memory, pass by pass. Lane l belongs to way
    ``l % ways`` of the loss unit, whose target memory holds, pass by pass, the targets of its
    lanes. Each lane, or way, takes a power of two of words per bank on the bus.

    Parameters
    ----------
    lanes, ways, banks : int
        Lanes, ways of the loss unit, banks of samples and targets.
    """

    lanes: int
    ways: int
    banks: int

    @property
    def lanes_per_way(self) -> int:
        """Lanes of the way that has most."""
        return -(-self.lanes // self.ways)

    def passes(self, batch: int) -> int:
        """Passes over the lanes that a batch takes."""
        return -(-batch // self.lanes)

    def last_lanes(self, batch: int) -> int:
        """Lanes in use in the last pass."""
        return batch - (self.passes(batch) - 1) * self.lanes

    def batch(self, passes: int, last_lanes: int) -> int:
        """The batch of these passes."""
        return (passes - 1) * self.lanes + last_lanes

    def lane(self, sample: _N) -> _N:
        return sample % self.lanes

    def turn(self, sample: _N) -> _N:
        """The pass of a sample."""
        return sample // self.lanes

    def way(self, sample: _N) -> _N:
        """The way of the loss unit that a sample's lane belongs to."""
        return self.lane(sample) % self.ways

    def sample_row(self, sample: _N, n_inputs: int) -> _N:
        """Row of a sample's first input, in the sample memory of its lane."""
        return self.turn(sample) * n_inputs

    def target_row(self, sample: _N, n_targets: int) -> _N:
        """Row of a sample's first target, in the target memory of its way."""
        return (self.turn(sample) * self.lanes_per_way + self.lane(sample) // self.ways) * n_targets

    def sample_words(self, batch: int, n_inputs: int) -> int:
        """Sample words per lane that a batch needs."""
        return self.passes(batch) * n_inputs

    def target_words(self, batch: int, n_targets: int) -> int:
        """Target words per way that a batch needs."""
        return self.passes(batch) * self.lanes_per_way * n_targets

    def max_batch(
        self, *, sample_depth: int, target_depth: int, n_inputs: int, n_targets: int
    ) -> int:
        """Samples of the largest batch that banks of these depths hold."""
        turns = min(sample_depth // n_inputs, target_depth // self.target_words(1, n_targets))
        return turns * self.lanes

    def bus_word(self, part: _N, bank: int, depth: int) -> _N:
        """Word in the bus window of row 0 of a lane's samples or of a way's targets, of which a
        bank holds ``depth`` rows."""
        return (self.banks * part + bank) << address_bits(depth)

    def bus_words(self, parts: int, depth: int) -> int:
        """Words of the window of so many lanes or ways."""
        return parts * self.banks << address_bits(depth)
