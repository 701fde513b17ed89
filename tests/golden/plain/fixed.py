"""Section 1: rounding, saturation, flags; and tensors of integers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

Axes = tuple[str, ...]
Index = tuple[int, ...]

PERTURB, MERGE, SCRATCH, PREACT, LOGIT, LOSS, GRADIENT, PARAMETER = (1 << bit for bit in range(8))


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


class Arithmetic:
    """Formats by role, ``(width, fraction bits)``, and the flags of all that was clamped."""

    def __init__(self, formats: Mapping[str, tuple[int, int]]) -> None:
        self.width = {role: width for role, (width, _) in formats.items()}
        self.frac = {role: frac for role, (_, frac) in formats.items()}
        width, frac = formats["preact"]
        self.width |= {"angle": min(width, frac + 3), "sine": width}
        self.frac |= {"angle": frac, "sine": width - 2}
        self.flags = 0

    def saturate(self, x: int, role: str, flag: int) -> int:
        top = 1 << (self.width[role] - 1)
        clamped = min(max(x, -top), top - 1)
        self.flags |= flag if clamped != x else 0
        return clamped

    def requantize(self, acc: int, shift: int, role: str, flag: int) -> int:
        return self.saturate(round_half_up(acc, shift), role, flag)

    def rescale(self, acc: int, source: str, role: str, flag: int, more: int = 0) -> int:
        """A sum of weights times words of format ``source``, shifted by ``more`` besides."""
        shift = self.frac["weight"] + self.frac[source] - self.frac[role] + more
        return self.requantize(acc, shift, role, flag)

    def rescaled(self, sums: Tensor, source: str, role: str, flag: int, more: int = 0) -> Tensor:
        found = {i: self.rescale(x, source, role, flag, more) for i, x in sums.values.items()}
        return Tensor(sums.axes, found)
