"""Times of a chip in cycles, for gateware that keeps to them and a planner that counts on them."""

from dataclasses import dataclass
from typing import Literal, Protocol

from zerotrain.spec.choices import Core

__all__ = [
    "CGE_PERIOD", "RGE_PERIOD", "SERIAL_UPDATE_CYCLES", "SINE_LANES", "LossTiming",
    "SerialLossTiming", "StepKind", "SweptLossTiming", "Timing",
]  # fmt: skip

#: Steps, as the commands of the chip.
StepKind = Literal["evaluate", "rge", "cge", "losses", "update"]
#: Least cycles between the gradients of two parameters, in a CGE step and in an RGE step.
CGE_PERIOD, RGE_PERIOD = 7, 10
#: Cycles of updating one parameter bit by bit, besides those of the shifts.
SERIAL_UPDATE_CYCLES = 27
#: Lanes of a sine unit on a pipelined chip, at most: in a layer of rank 4 with a bias, the results
#: of a lane come every 5 cycles.
SINE_LANES = 5
#: Both shifts of an update together, as estimates take them.
_TYPICAL_SHIFTS = 16


@dataclass(frozen=True, slots=True)
class _CoreTiming:
    """What of a chip's timing its core decides.

    Attributes
    ----------
    lane_latency : int
    settle, settle_weights, settle_lane : int
        Cycles from a result to the first product that can read it: of lane 0 where that is no
        weight, more where it may be one, and more for each lane.
    crossing : int
    update_cycles : int
        Least cycles of updating one parameter.
    sine_latency : int
        From a result at a sine unit to its sine.
    apart : bool
    """

    lane_latency: int
    settle: int
    settle_weights: int
    settle_lane: int
    crossing: int
    update_cycles: int
    sine_latency: int
    apart: bool


_CORES = {
    Core.PIPELINED: _CoreTiming(
        lane_latency=9,
        settle=3,
        settle_weights=2,
        settle_lane=0,
        crossing=1,
        update_cycles=0,
        sine_latency=5,
        apart=False,
    ),
    Core.COMPACT: _CoreTiming(
        lane_latency=5,
        settle=1,
        settle_weights=0,
        settle_lane=1,
        crossing=0,
        update_cycles=SERIAL_UPDATE_CYCLES + _TYPICAL_SHIFTS,
        sine_latency=2,
        apart=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one chip.

    Attributes
    ----------
    lane_latency : int
        From the memory words of a lane's last product to its result; on a compact chip, to that of
        lane 0.
    gap_cycles : int
        Cycles without a product between two contractions, until the second can read what the first
        wrote (``gateware/engine``): more where that may be weights, and on a compact chip until
        the result of the last lane. Fetching goes on meanwhile; this hides the steps of a loop, and
        its start but for two cycles.
    weight_lead : int
        Cycles by which the address of a weight goes ahead of its product's other addresses: two
        banks of weights lie all over a large part.
    crossing : int
        Registers on the way from a unit to a memory that units share, or back: one, on a compact
        chip none.
    results_apart : bool
        Results leave the lanes one after the other, and sums wait for those before.
    sine_latency : int
        From a result at a sine unit to its sine.
    sine_cycles : int
        Cycles by which sines are written later than other results, part of ``gap_cycles``; 0
        without a unit.
    sine_apart : int
        Least cycles from the last product of a sum to that of the next where sines of them are
        wanted: lanes that share a unit take turns. Where all results leave one after the other,
        they take theirs as they come: 0.
    least_update_cycles : int
        Estimated cycles of updating a parameter, if its gradient does not take longer.
    """

    lane_latency: int
    gap_cycles: int
    weight_lead: int
    crossing: int
    results_apart: bool
    sine_latency: int
    sine_cycles: int
    sine_apart: int
    least_update_cycles: int

    @classmethod
    def of(cls, core: Core, *, lanes: int, merge_unit: bool, sine: bool = False) -> "Timing":
        """Times of a chip with such a core; where it has no merge unit, its lanes write weights."""
        own = _CORES[core]
        turns = min(lanes, SINE_LANES) if sine and not own.apart else 0
        sine_cycles = turns + own.sine_latency if sine else 0
        settle = own.settle + own.settle_weights * (not merge_unit) + own.settle_lane * lanes
        return cls(
            lane_latency=own.lane_latency,
            gap_cycles=own.lane_latency + settle + sine_cycles,
            weight_lead=3 * merge_unit,
            crossing=own.crossing,
            results_apart=own.apart,
            sine_latency=own.sine_latency,
            sine_cycles=sine_cycles,
            sine_apart=turns,
            least_update_cycles=own.update_cycles,
        )

    @property
    def read_latency(self) -> int:
        """From an address to its word, in memories that units share: the address is registered
        behind the choice among the units, the word inside the block RAM."""
        return 2 * self.crossing + 1

    @property
    def end_cycles(self) -> int:
        """Cycles without a product at the end of a section, until its last result is written."""
        return self.gap_cycles + 3 + self.weight_lead

    def update_cycles(self, kind: StepKind, queries: int) -> int:
        """Estimated cycles of updating one parameter in such a step."""
        if kind in ("evaluate", "losses"):
            return 0
        gradient = CGE_PERIOD if kind == "cge" else max(queries, RGE_PERIOD)
        return max(gradient, self.least_update_cycles)


class LossTiming(Protocol):
    """How long a loss unit takes, and how long others wait for it."""

    def cycles(self, n_outputs: int) -> int:
        """Of one evaluation of all lanes."""
        ...

    def wait(self, n_outputs: int, *, evaluations: int, beats: int) -> int:
        """In which the engine waits, of evaluations of CGE that take it so many beats in all."""
        ...

    def between_passes(self, n_outputs: int, *, work: int) -> int:
        """In which the next pass waits for its loss, if there is so much work before it ends."""
        ...


@dataclass(frozen=True, slots=True)
class SweptLossTiming:
    """A unit that takes an output of one lane of each way per cycle, beside the engine's next
    products.

    For softmax the logarithms of all ways follow one another, one per cycle: a single way leaves a
    cycle between lanes for it, several take at least as many cycles as there are ways. At most two
    evaluations are under way, so that very short ones also wait for their losses.
    """

    lanes_per_way: int
    ways: int
    exponentials: bool

    def cycles(self, n_outputs: int) -> int:
        if not self.exponentials:
            return self.lanes_per_way * n_outputs
        single = self.ways == 1
        turns = self.lanes_per_way * (n_outputs + 1 if single else max(n_outputs, self.ways))
        latency = 36 + (n_outputs if single else 0)
        return max(turns, (turns + latency) // 2)

    def wait(self, n_outputs: int, *, evaluations: int, beats: int) -> int:
        return max(0, evaluations * self.cycles(n_outputs) - beats)

    def between_passes(self, n_outputs: int, *, work: int) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class SerialLossTiming:
    """A unit that takes one output of one lane after the other, one evaluation at a time.

    Of an output, at most 2 cycles for the maximum and 17 for its exponential, or 23 where that is
    shifted far; the logarithm takes 62. With environments, exponentials are shifted further, and
    the logarithm begins further up.
    """

    lanes: int
    output_cycles: int
    logarithm_cycles: int

    @classmethod
    def of(cls, *, lanes: int, environments: bool) -> "SerialLossTiming":
        return cls(lanes, *{False: (25, 62), True: (36, 100)}[environments])

    def cycles(self, n_outputs: int) -> int:
        return self.lanes * (self.output_cycles * n_outputs + self.logarithm_cycles) + 4

    def wait(self, n_outputs: int, *, evaluations: int, beats: int) -> int:
        return evaluations * self.cycles(n_outputs)

    def between_passes(self, n_outputs: int, *, work: int) -> int:
        return max(0, self.cycles(n_outputs) - work)
