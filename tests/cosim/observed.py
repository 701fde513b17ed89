"""What the golden model's values were when it computed a case: how near the limits, how rounded."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags, Raw
from zerotrain.spec.registers import Saturation

__all__ = ["Event", "Observed", "event"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Event:
    """A value of some kind at some place.

    Attributes
    ----------
    kind : str
        Name of its saturation flag, with the shift of a requantisation; or what else was looked at.
    place : str
        A result before clamping, ``high``, ``low`` or zero being 0 and so many more or less; how it
        was rounded, if from a sum: a ``tie``, or ``below`` one by the least.
    """

    kind: str
    place: str


def _rounding(total: int, shift: int) -> str:
    rest, half = total & ((1 << shift) - 1), 1 << shift >> 1
    return {half: " tie", half - 1: " below"}.get(rest, "") if shift else ""


def event(kind: Saturation, total: int, shift: int, width: int) -> Event:
    """What a sum near a limit is when it is requantised."""
    result, high = (total + (1 << shift >> 1)) >> shift, (1 << (width - 1)) - 1
    for name, limit in (("high", high), ("low", -high - 1), ("zero", 0)):
        if abs(result - limit) <= 1:
            place = f"{name}{result - limit:+d}{_rounding(total, shift)}"
            return Event(f"{kind.name} >> {shift}", place)
    raise ValueError(f"The sum {total} is {result} after shifting by {shift}: near no limit")


class Observed(Flags):
    """Flags that count what happened.

    Attributes
    ----------
    events : Counter of Event
    largest_sum : int
        Of the lanes' accumulators, or the merge unit's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: Counter[Event] = Counter()
        self.largest_sum = 0

    def saturate(self, values: Raw, width: int, kind: Saturation) -> Raw:
        self._note(kind.name or "", np.asarray(values, np.int64), width)
        return super().saturate(values, width, kind)

    def requantize(self, acc: Raw, shift: int, width: int, kind: Saturation) -> Raw:
        if acc.size:
            sums, half = np.asarray(acc, np.int64), 1 << shift >> 1
            if kind != Saturation.GRADIENT:
                self.largest_sum = max(self.largest_sum, int(np.abs(sums).max()))
            rounded, rest = (sums + half) >> shift, sums & ((1 << shift) - 1)
            name = f"{kind.name} >> {shift}"
            self._note(name, rounded, width)
            if shift:
                self._note(name, rounded[rest == half], width, " tie")
                self._note(name, rounded[rest == half - 1], width, " below")
        return super().requantize(acc, shift, width, kind)

    def _note(self, kind: str, values: Ints, width: int, rounding: str = "") -> None:
        high = (1 << (width - 1)) - 1
        for name, limit in (("high", high), ("low", -high - 1), ("zero", 0)):
            for off in (-1, 0, 1):
                found = int((values == limit + off).sum())
                if found:
                    self.events[Event(kind, f"{name}{off:+d}{rounding}")] += found
