"""Sections 2 and 3: a layer's parameters, merged TT-cores, and its forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

from . import fixed as rounding
from .fixed import LOGIT, MERGE, PREACT, SCRATCH, Arithmetic, Axes, Tensor, contract


class Layer:
    """One layer and its parameters; ``theta`` yields them in the order of storage.

    ``below`` is the activation of the layer below, if there is one.
    """

    def __init__(
        self, shape: Mapping[str, Any], groups: Sequence[int], theta: Iterator[int],
        fixed: Arithmetic, *, below: str | None, last: bool,
    ) -> None:  # fmt: skip
        self.n, self.m = shape["in_modes"], shape["out_modes"]
        self.d, self.h = len(self.n), len(self.n) // 2
        self.groups, self.last = groups, last
        self.columns, self.outputs = (list(product(*map(range, x))) for x in (self.n, self.m))
        self.activation, self.fixed = shape["activation"], fixed
        self.source = "input" if below is None else {"sine": "sine"}.get(below, "preact")
        target = "angle" if self.activation == "sine" else "preact"
        self.target, self.flag = ("logit", LOGIT) if last else (target, PREACT)
        r = [1, *shape["ranks"], 1]
        self.cores = []
        for k in range(self.d):
            size = {"a": r[k], "i": self.m[k], "j": self.n[k], "b": r[k + 1]}
            name = {"a": f"r{k}", "i": f"i{k}", "j": f"j{k}", "b": f"r{k + 1}"}
            stored = "jbai" if k < self.h else "jabi"
            values = {i: next(theta) for i in product(*(range(size[x]) for x in stored))}
            self.cores.append(Tensor(tuple(name[x] for x in stored), values))
        self.bias = [next(theta) for _ in self.outputs] if shape["bias"] else []

    def names(self, letter: str) -> Axes:
        """Names of the layer's axes: ``i`` outputs, ``j`` inputs."""
        return tuple(f"{letter}{k}" for k in range(self.d))

    def merged_sums(self, lo: int, hi: int) -> Tensor:
        mid = (lo + hi) // 2
        return contract(self.merge(lo, mid), self.merge(mid, hi))

    def merge(self, lo: int, hi: int) -> Tensor:
        if hi - lo == 1:
            return self.cores[lo]
        return self.fixed.rescaled(self.merged_sums(lo, hi), "weight", "weight", MERGE)

    def inputs(self, x: Sequence[int]) -> Tensor:
        return Tensor(self.names("j"), dict(zip(self.columns, x, strict=True)))

    def forward(self, x: Sequence[int]) -> list[int]:
        """Pre-activations, or the logits."""
        v, source, hi = self.inputs(x), self.source, self.d
        for size in reversed(self.groups):
            sums = contract(self.merge(hi - size, hi), v)
            hi -= size
            if hi > 0:
                v, source = self.fixed.rescaled(sums, source, "tt", SCRATCH), "tt"
        totals = sums.listed(self.names("i"))
        for i, bias in enumerate(self.bias):
            totals[i] += bias << self.fixed.frac[source]
        return [self.fixed.rescale(acc, source, self.target, self.flag) for acc in totals]

    def activate(self, y: int) -> int:
        if self.activation == "sine":
            return sine(y, self.fixed)
        return max(y, 0) if self.activation == "relu" else y


def sine(y: int, fixed: Arithmetic) -> int:
    s, fine = fixed.frac["sine"], fixed.frac["angle"] - 7
    a = min(abs(y), (1 << (fixed.width["angle"] - 1)) - 1)
    i, r = a >> fine, a & ((1 << fine) - 1)
    first, next_ = sine_entry(i, s), sine_entry(i + 1, s)
    m = first + rounding.round_half_up((next_ - first) * r, fine)
    return -m if y < 0 else m


@cache
def sine_entry(i: int, s: int) -> int:
    """T[i]."""
    x = t = total = i << 57
    for k in range(1, 16):
        t = (t * x >> 64) * x // (2 * k * (2 * k + 1)) >> 64
        total += -t if k % 2 else t
    return (total + (1 << (63 - s))) >> (64 - s)
