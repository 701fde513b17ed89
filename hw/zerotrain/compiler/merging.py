"""Lowering of merging: arrays of several TT-cores (docs/numerics.md, section 2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import NamedTuple

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.contraction import Contract, Level
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network
from zerotrain.spec.program import MAX_LEVELS, Result, Source

__all__ = ["Factor", "Key", "Merging"]


class Key(NamedTuple):
    """TT-cores ``lo..hi-1`` of a layer, merged.

    ``relative``: instead of them, what the weights of every output but the first have more than
    those of the first (docs/numerics.md, section 4); of all TT-cores of a layer.
    """

    layer: int
    lo: int
    hi: int
    relative: bool = False

    @property
    def halves(self) -> tuple["Key", ...]:
        """What the array is made of."""
        mid = (self.lo + self.hi) // 2
        return (Key(self.layer, self.lo, mid), Key(self.layer, mid, self.hi))

    @property
    def first(self) -> int:
        """The first output that the array has."""
        return int(self.relative)


@dataclass(frozen=True, slots=True)
class Factor:
    """Where a TT-core or merged array lies, and the stride of each index."""

    address: int
    a: int
    i: int
    j: int
    b: int


class Merging:
    """Places the merged arrays of a program in the weight memory, and makes them.

    Parameters
    ----------
    network : Network
    formats : Formats
    scratch : Allocator
        Lane scratch memory.
    unit : bool
        A merge unit does it, which reads both factors. Otherwise the lanes do: their operand comes
        from scratch memory, where the smaller factor is copied first.

    Attributes
    ----------
    at : dict
        Factor of every array placed, TT-cores as they are stored, merged arrays in C order of
        ``[a, i, j, b]``.
    words, factor_words : int
        Words of the weight memory in use: in all, and those that a merge unit reads.
    """

    def __init__(
        self, network: Network, formats: Formats, scratch: Allocator, *, unit: bool
    ) -> None:
        self.network, self.formats, self.unit = network, formats, unit
        self._scratch = scratch
        self.at: dict[Key, Factor] = {
            Key(b.layer, b.tt_core, b.tt_core + 1): Factor(b.offset, *b.strides)
            for b in network.blocks()
            if b.tt_core is not None
        }
        self._made = set(self.at)
        self.words = self.factor_words = network.n_parameters

    def place_factors(self, keys: Iterable[Key]) -> None:
        """Place everything that the arrays are made of; once, before any other array."""
        for key in keys:
            if key.hi - key.lo > 1:
                for half in key.halves:
                    self.place_factors([half])
                    self._place(half)
        self.factor_words = self.words

    def place(self, keys: Iterable[Key]) -> None:
        """Place the arrays themselves."""
        for key in keys:
            self._place(key)

    def _place(self, key: Key) -> None:
        if key in self.at:
            return
        index, lo, hi, _ = key
        layer = self.network.layers[index]
        b = layer.all_ranks[hi]
        columns = prod(layer.in_modes[lo:hi]) * b
        i = prod(layer.out_modes[lo:hi]) - key.first
        self.at[key] = Factor(self.words, i * columns, columns, b, 1)
        self.words += layer.all_ranks[lo] * i * columns

    def make(self, key: Key, *, sync: bool = False, tiles: bool = False) -> list[Contract]:
        """Make an array, and what it is made of, unless that was done before.

        ``sync``: announce it to the engine; with ``tiles``, every value of its output index, one
        after the other.
        """
        if key in self._made:
            return []
        self._made.add(key)
        left_key, right_key = key.halves
        code = self.make(left_key) + self.make(right_key)
        index, lo, hi, relative = key
        mid = left_key.hi
        layer, bits = self.network.layers[index], self.formats.weight.frac_bits
        a, b, c = (layer.all_ranks[k] for k in (lo, mid, hi))
        i, i2 = prod(layer.out_modes[lo:mid]), prod(layer.out_modes[mid:hi])
        j, j2 = prod(layer.in_modes[lo:mid]), prod(layer.in_modes[mid:hi])
        left, right, out = self.at[left_key], self.at[right_key], self.at[key]
        name = f"layer {index + 1} TT-cores {lo + 1}..{hi}"
        streams = ("weight", "operand")
        if not self.unit:
            # The smaller factor is copied.
            if a * i * j * b <= b * i2 * j2 * c:
                sizes, factor, streams = (a, i, j, b), left, ("operand", "weight")
            else:
                sizes, factor = (b, i2, j2, c), right
            copy, contract = self._to_lanes(factor, sizes)
            contract = replace(contract, comment=f"{name}: smaller factor to the lanes")
            code.append(contract)
            left, right = (copy, right) if factor is left else (left, copy)

        def level(count: int, result: int = 0, *, of_left: int = 0, of_right: int = 0) -> Level:
            """A counter, with the strides of both factors and of the result."""
            return Level(
                count, result=result, **dict(zip(streams, (of_left, of_right), strict=True))
            )

        tile = (
            level(c, out.b, of_right=right.b),
            level(j2, out.j, of_right=right.j),
            level(j, j2 * out.j, of_left=left.j),
        )
        rank = level(a, out.a, of_left=left.a)
        outputs = (level(i2, out.i, of_right=right.i), level(i, i2 * out.i, of_left=left.i))
        starts = dict(zip(streams, (left.address, right.address), strict=True))
        merge = Contract(
            summed=(level(b, of_left=left.b, of_right=right.a),),
            kept=(*tile, rank, *outputs),
            start=(starts["weight"], starts["operand"], 0, out.address),
            source=Source.SCRATCH,
            result=Result.WEIGHT,
            shift=bits,
            evaluation_levels=4 if tiles else 6,
            sync=sync,
            comment=f"{name}: merge",
        )
        if relative:
            return [*code, *_less_first(merge, (i, i2))]
        if merge.counters <= MAX_LEVELS:
            return [*code, merge]
        # One value of the left rank after the other; only a group with neighbours on both sides
        # needs this.
        whole = replace(merge, kept=(*tile, *outputs), evaluation_levels=5)
        return [*code, *_along(rank, whole)]

    def _to_lanes(
        self, factor: Factor, sizes: tuple[int, int, int, int]
    ) -> tuple[Factor, Contract]:
        """Copy an array of ``sizes`` ``[a, i, j, b]`` to scratch memory: where it is, and how."""
        a, i, j, b = sizes
        copy = Factor(self._scratch.allocate(a * i * j * b), i * j * b, j * b, b, 1)
        self._scratch.free(copy.address)
        bits = self.formats.weight.frac_bits
        return copy, Contract(
            summed=(),
            kept=(
                Level(b, weight=factor.b, result=copy.b),
                Level(j, weight=factor.j, result=copy.j),
                Level(i, weight=factor.i, result=copy.i),
                Level(a, weight=factor.a, result=copy.a),
            ),
            start=(factor.address, 0, 0, copy.address),
            source=Source.CONSTANT,
            constant_shift=bits,
            result=Result.SCRATCH,
            shift=bits,
        )


def _less_first(merge: Contract, sizes: tuple[int, int]) -> Iterator[Contract]:
    """The same less the first output, one contraction for each of the other outputs.

    ``sizes``: of the output indices of both factors. The second half of each sum is that of the
    first output: from the output at hand to there is the same distance for all its weights.
    """
    *tile, right, left = merge.kept
    for n, (i, i2) in enumerate(list(product(*map(range, sizes)))[1:]):
        begin = (
            i * left.weight + i2 * right.weight, i * left.operand + i2 * right.operand
        )  # fmt: skip
        weight, operand, aux, result = merge.start
        yield replace(
            merge,
            summed=(*merge.summed, Level(2, weight=-begin[0], operand=-begin[1])),
            kept=tuple(tile),
            start=(weight + begin[0], operand + begin[1], aux, result + n * right.result),
            subtract=True,
            comment=f"{merge.comment}, output {n + 2} less the first",
        )


def _along(level: Level, contract: Contract) -> Iterator[Contract]:
    """One contraction for each value of a level; the last announces."""
    for value in range(level.count):
        weight, operand, aux, result = (
            start + value * stride
            for start, stride in zip(contract.start, level.strides, strict=True)
        )
        start, last = (weight, operand, aux, result), value == level.count - 1
        yield replace(contract, start=start, sync=contract.sync and last)
