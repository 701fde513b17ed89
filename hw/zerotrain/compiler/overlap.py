"""When a merge unit hides the preparation of copies behind their evaluation, and when it does not.

A model of the two threads of ``gateware/controller.py``, cycle by cycle as far as announcements go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from zerotrain.compiler.contraction import Contract, Loop

__all__ = ["MERGE_GAP", "Overlap"]

Section: TypeAlias = Sequence[Contract | Loop]

#: Cycles from the last product of one contraction of the merge unit to the first of the next.
MERGE_GAP = 12
#: Cycles from a product of the merge unit to the controller's announcement of it.
_ANNOUNCE = 12


@dataclass(frozen=True, slots=True)
class Overlap:
    """The threads of one step.

    Parameters
    ----------
    merge : Section
        What the merge unit executes for every copy.
    forward : Section
        What the engine executes for every pass.
    n_parameters : int
        Cycles of a perturbation.
    passes : int
        Passes of one evaluation.
    gap : int
        Cycles between two contractions of the engine.
    factors : int
        Words of the merge unit's copy of the weights: a result among them takes a cycle more.
    """

    merge: Section
    forward: Section
    n_parameters: int
    passes: int
    gap: int
    factors: int = 0

    def evaluated(self, copies: int) -> int:
        """Cycles from the start of a step until all copies are evaluated by forward passes."""
        prepared, ends = 0, [0, 0]
        for _ in range(copies):
            # A bank is free when the evaluation before the last has ended.
            announced, prepared = self._prepare(max(prepared, ends[-2]))
            ends.append(self._evaluate(ends[-1], announced, prepared))
        return ends[-1]

    def _prepare(self, begin: int) -> tuple[list[int], int]:
        """When the announcements come, and when the copy is complete."""
        time = begin + self.n_parameters
        announced = []
        for contract in _contracts(self.merge):
            time += MERGE_GAP
            cycles = contract.beats
            if contract.start[3] < self.factors:
                cycles += contract.packets
            if contract.sync:
                each = cycles // contract.evaluations
                announced += [
                    time + each * (k + 1) + _ANNOUNCE for k in range(contract.evaluations)
                ]
            time += cycles
        return announced, time + _ANNOUNCE

    def _evaluate(self, free: int, announced: list[int], prepared: int) -> int:
        """When the evaluation ends that may begin at ``free``."""
        waiting = iter(announced)
        time = max(free, announced[0] if announced else prepared)
        for contract in _contracts(self.forward):
            time += self.gap
            if contract.sync:
                time = max(time, next(waiting))
            time += contract.beats
        return time + (self.passes - 1) * self.forward_cycles

    @property
    def forward_cycles(self) -> int:
        """Cycles of one pass that waits for nothing."""
        return sum(self.gap + contract.beats for contract in _contracts(self.forward))

    @property
    def preparing_cycles(self) -> int:
        """Cycles that one copy takes to prepare."""
        return self._prepare(0)[1]


def _contracts(section: Section) -> Iterator[Contract]:
    """Contractions in the order of execution. Loops of these sections pass over none."""
    for item in section:
        if isinstance(item, Loop):
            for _ in range(item.trips):
                yield from item.body
        else:
            yield item
