"""The choices that a chip is made of, and what follows from each.

What a choice means for limits and places is in its record here; what it means for time is in
:mod:`zerotrain.spec.timing`, and which memories there are in :mod:`zerotrain.spec.memories`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["Cge", "CgeKind", "Core", "CoreKind", "Place", "Store", "StoreKind"]


class Place(StrEnum):
    """Which memory pre-activations are in."""

    OWN = "own"
    SCRATCH = "scratch"  # behind the intermediates
    COMMON = "common"  # behind the samples


@dataclass(frozen=True, slots=True)
class CgeKind:
    """What follows from how a chip does CGE steps.

    Attributes
    ----------
    steps : bool
        The chip does CGE steps at all.
    environments : bool
        It does them by environments.
    forwards : int
        Forward passes of a step for every parameter: 1 at raised parameters, otherwise none.
    loop_counters : int
        Counters of a loop. Forward passes tile one index; environments need all that a loop can
        have.
    least_loss_ways, lanes_per_loss_way : int
        Ways of the loss unit that a chip has at least, if it has as many lanes, and how many lanes
        come to one, unless it is told otherwise. Without environments, losses are few.
    """

    steps: bool
    environments: bool
    forwards: int
    loop_counters: int
    least_loss_ways: int
    lanes_per_loss_way: int

    def losses(self, n_parameters: int) -> int:
        """Losses that a step holds at once; one where only RGE counts."""
        return 1 + self.steps * n_parameters

    def copies(self, n_parameters: int) -> int:
        """Copies of the parameters that a step evaluates by a forward pass each."""
        return 1 + self.forwards * n_parameters


class Cge(StrEnum):
    """How a chip does CGE steps."""

    NONE = "none"
    FORWARD = "forward"
    ENVIRONMENTS = "environments"

    @property
    def kind(self) -> CgeKind:
        return _CGE[self]


_FORWARD = CgeKind(
    steps=True,
    environments=False,
    forwards=1,
    loop_counters=1,
    least_loss_ways=1,
    lanes_per_loss_way=32,
)
_CGE = {
    Cge.NONE: replace(_FORWARD, steps=False, forwards=0),
    Cge.FORWARD: _FORWARD,
    Cge.ENVIRONMENTS: CgeKind(
        steps=True,
        environments=True,
        forwards=0,
        loop_counters=4,
        least_loss_ways=2,
        lanes_per_loss_way=8,
    ),
}


@dataclass(frozen=True, slots=True)
class CoreKind:
    """What follows from what the lanes are made for.

    Attributes
    ----------
    most_lanes : int
    most_factors : int
        Words of a merge unit's copy of the weights, at most; 0 where the lanes merge.
    least_acc_width : int
        Accumulator bits that a chip has at least, unless it is told otherwise.
    keeps_differences : bool
        The update keeps differences of losses in the memory of the losses, not in one of its own;
        other cores do so where steps are split.
    counter_width : int
        Bits of the counters of cycles and beats. 32 hold some minutes of the clock of a small part:
        longer than its longest step.
    serial : bool
        A softmax loss of one way takes one output after the other; and one way is enough.
    """

    most_lanes: int
    most_factors: int
    least_acc_width: int
    keeps_differences: bool
    counter_width: int
    serial: bool


class Core(StrEnum):
    """What the lanes and what stands around them are made for."""

    PIPELINED = "pipelined"
    COMPACT = "compact"

    @property
    def kind(self) -> CoreKind:
        return _CORES[self]


_CORES = {
    # Half of the largest weight memory.
    Core.PIPELINED: CoreKind(
        most_lanes=64,
        most_factors=1 << 15,
        least_acc_width=40,
        keeps_differences=False,
        counter_width=48,
        serial=False,
    ),
    Core.COMPACT: CoreKind(
        most_lanes=8,
        most_factors=0,
        least_acc_width=32,
        keeps_differences=True,
        counter_width=32,
        serial=True,
    ),
}


@dataclass(frozen=True, slots=True)
class StoreKind:
    """What follows from where a chip keeps samples and the state of the training.

    Attributes
    ----------
    single_port : frozenset of str
        Memories that, where they are large, read or write in a cycle: SPRAM of the iCE40UP5K.
    common : bool
        One such memory holds samples, pre-activations, parameters and momentum, another the
        weights. No contraction then reads samples and writes pre-activations.
    preact : Place
        Which memory pre-activations are in, without environments.
    """

    single_port: frozenset[str]
    common: bool
    preact: Place

    def spram_columns(self, name: str, depth: int, width: int) -> int:
        """Columns of a memory that are in SPRAM.

        A block RAM has 256 rows: what fits there saves nothing. There are few SPRAMs, 16 columns
        each, so that at most 8 columns that are left over are in block RAM.
        """
        if name not in self.single_port or depth <= 256:
            return 0
        rest = width % 16
        return width - rest if rest <= 8 else width


class Store(StrEnum):
    """Where samples, pre-activations and the state of the training are.

    ``blocks``: every memory is block RAM of its own. ``spram``: parameters, momentum and, on a
    compact chip, many losses are in single-port RAM instead, SPRAM of the iCE40UP5K; they are
    undefined until they are written. ``common``: samples, pre-activations, parameters and momentum
    are in one single-port memory, of which a row holds a sample word of every lane, and the weights
    are in another. For compact chips without environments; pre-activations are as wide as samples.
    """

    BLOCKS = "blocks"
    SPRAM = "spram"
    COMMON = "common"

    @property
    def kind(self) -> StoreKind:
        return _STORES[self]


_STORES = {
    Store.BLOCKS: StoreKind(single_port=frozenset(), common=False, preact=Place.SCRATCH),
    Store.SPRAM: StoreKind(
        single_port=frozenset({"parameter", "momentum", "loss"}),
        common=False,
        preact=Place.SCRATCH,
    ),
    Store.COMMON: StoreKind(
        single_port=frozenset({"weights", "loss"}),
        common=True,
        preact=Place.COMMON,
    ),
}
