"""Sections 2 and 3: a layer's parameters, merged TT-cores, and its forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from .fixed import LOGIT, MERGE, PREACT, SCRATCH, Axes, Format, Rounding, Tensor, contract

Formats = Mapping[str, Format]


class Layer:
    """One layer and its parameters; ``theta`` yields them in the order of storage."""

    def __init__(
        self, shape: Mapping[str, Any], groups: Sequence[int], theta: Iterator[int],
        formats: Formats, rounding: Rounding, *, first: bool, last: bool,
    ) -> None:  # fmt: skip
        self.n, self.m = shape["in_modes"], shape["out_modes"]
        self.d, self.groups, self.last = len(self.n), groups, last
        self.h = self.d // 2
        self.columns, self.outputs = (list(product(*map(range, x))) for x in (self.n, self.m))
        self.relu = shape["activation"] == "relu"
        self.f, self.rounding = formats, rounding
        self.source = formats["input" if first else "preact"]
        self.target, self.flag = (formats["logit"], LOGIT) if last else (formats["preact"], PREACT)
        r = [1, *shape["ranks"], 1]
        self.cores = []
        for k in range(self.d):
            size = {"a": r[k], "i": self.m[k], "j": self.n[k], "b": r[k + 1]}
            name = {"a": f"r{k}", "i": f"i{k}", "j": f"j{k}", "b": f"r{k + 1}"}
            stored = "jbai" if k < self.h else "jabi"
            indices = product(*(range(size[x]) for x in stored))
            axes = tuple(name[x] for x in stored)
            self.cores.append(Tensor(axes, {index: next(theta) for index in indices}))
        self.bias = [next(theta) for _ in self.outputs] if shape["bias"] else None

    def names(self, letter: str) -> Axes:
        """Names of the layer's axes: ``i`` outputs, ``j`` inputs."""
        return tuple(f"{letter}{k}" for k in range(self.d))

    def merged_sums(self, lo: int, hi: int) -> Tensor:
        mid = (lo + hi) // 2
        return contract(self.merge(lo, mid), self.merge(mid, hi))

    def merge(self, lo: int, hi: int) -> Tensor:
        if hi - lo == 1:
            return self.cores[lo]
        weight = self.f["weight"]
        return self.rounding.requantized(self.merged_sums(lo, hi), weight.frac, weight.width, MERGE)

    def shift(self, source: Format, target: Format) -> int:
        return self.f["weight"].frac + source.frac - target.frac

    def to_tt(self, sums: Tensor, source: Format) -> Tensor:
        tt = self.f["tt"]
        return self.rounding.requantized(sums, self.shift(source, tt), tt.width, SCRATCH)

    def inputs(self, x: Sequence[int]) -> Tensor:
        return Tensor(self.names("j"), dict(zip(self.columns, x, strict=True)))

    def forward(self, x: Sequence[int]) -> list[int]:
        """Pre-activations, or the logits."""
        v, source, hi = self.inputs(x), self.source, self.d
        for size in reversed(self.groups):
            sums = contract(self.merge(hi - size, hi), v)
            hi -= size
            if hi > 0:
                v, source = self.to_tt(sums, source), self.f["tt"]
        out, shift = [], self.shift(source, self.target)
        for i, acc in enumerate(sums.listed(self.names("i"))):
            total = acc + (self.bias[i] << source.frac if self.bias else 0)
            out.append(self.rounding.requantize(total, shift, self.target.width, self.flag))
        return out

    def activate(self, y: int) -> int:
        return max(y, 0) if self.relu else y
