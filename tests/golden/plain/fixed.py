"""Section 1: rounding, saturation, flags; and tensors of integers."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

Axes = tuple[str, ...]
Index = tuple[int, ...]

PERTURB, MERGE, SCRATCH, PREACT, LOGIT, LOSS, GRADIENT, PARAMETER = (1 << bit for bit in range(8))


class Format(NamedTuple):
    """Bits, sign included, and fraction bits."""

    width: int
    frac: int


def round_half_up(acc: int, shift: int) -> int:
    assert shift >= 0
    return (acc + (1 << shift >> 1)) >> shift


@dataclass
class Tensor:
    """Integers by index; every axis has a name, such as ``j2`` or ``r0``."""

    axes: Axes
    values: dict[Index, int]

    def split(self, axes: Iterable[str]) -> tuple[Axes, dict[Index, list[tuple[Index, int]]]]:
        """The other axes; by index along ``axes``, the values with their index along the others."""
        inside = [self.axes.index(axis) for axis in axes]
        others = [k for k in range(len(self.axes)) if k not in inside]
        out = defaultdict(list)
        for index, value in self.values.items():
            rest = tuple(index[k] for k in others)
            out[tuple(index[k] for k in inside)].append((rest, value))
        return tuple(self.axes[k] for k in others), out

    def listed(self, axes: Iterable[str]) -> list[int]:
        """Values in C order of ``axes``; the others have size 1."""
        return [found[0][1] for _, found in sorted(self.split(axes)[1].items())]


def contract(left: Tensor, right: Tensor) -> Tensor:
    """The exact sum of products over all axes that both have."""
    shared = [axis for axis in left.axes if axis in right.axes]
    (left_axes, rows), (right_axes, columns) = left.split(shared), right.split(shared)
    sums: dict[Index, int] = defaultdict(int)
    for key, row in rows.items():
        for (i, x), (j, y) in product(row, columns[key]):
            sums[i + j] += x * y
    return Tensor(left_axes + right_axes, dict(sums))


class Rounding:
    """Clamps and remembers what kind of value was clamped."""

    def __init__(self) -> None:
        self.flags = 0

    def saturate(self, x: int, width: int, flag: int) -> int:
        clamped = min(max(x, -(1 << (width - 1))), (1 << (width - 1)) - 1)
        if clamped != x:
            self.flags |= flag
        return clamped

    def requantize(self, acc: int, shift: int, width: int, flag: int) -> int:
        return self.saturate(round_half_up(acc, shift), width, flag)

    def requantized(self, sums: Tensor, shift: int, width: int, flag: int) -> Tensor:
        values = {i: self.requantize(acc, shift, width, flag) for i, acc in sums.values.items()}
        return Tensor(sums.axes, values)
