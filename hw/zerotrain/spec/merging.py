"""Lowering of merging: arrays of several TT-cores (docs/numerics.md, section 2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import NamedTuple

from zerotrain.spec.formats import Formats
from zerotrain.spec.memory import Allocator
from zerotrain.spec.network import Network
from zerotrain.spec.program import MAX_LEVELS, Contract, Level, Result, Source

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
        from scratch memory, where the right factor is copied first.

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
        if not self.unit:
            copy = Factor(self._scratch.allocate(b * i2 * j2 * c), i2 * j2 * c, j2 * c, c, 1)
            self._scratch.free(copy.address)
            code.append(
                Contract(
                    summed=(),
                    kept=(
                        Level(c, weight=right.b, result=copy.b),
                        Level(j2, weight=right.j, result=copy.j),
                        Level(i2, weight=right.i, result=copy.i),
                        Level(b, weight=right.a, result=copy.a),
                    ),
                    start=(right.address, 0, 0, copy.address),
                    source=Source.CONSTANT,
                    constant_shift=bits,
                    result=Result.SCRATCH,
                    shift=bits,
                    comment=f"{name}: right factor to the lanes",
                )
            )
            right = copy
        tile = (
            Level(c, operand=right.b, result=out.b),
            Level(j2, operand=right.j, result=out.j),
            Level(j, weight=left.j, result=j2 * out.j),
        )
        rank = Level(a, weight=left.a, result=out.a)
        outputs = (
            Level(i2, operand=right.i, result=out.i),
            Level(i, weight=left.i, result=i2 * out.i),
        )
        merge = Contract(
            summed=(Level(b, weight=left.b, operand=right.a),),
            kept=(*tile, rank, *outputs),
            start=(left.address, right.address, 0, out.address),
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


def _less_first(merge: Contract, sizes: tuple[int, int]) -> Iterator[Contract]:
    """The same less the first output, one contraction for each of the other outputs.

    ``sizes``: of the output indices of both factors. The second half of each sum is that of the
    first output: from the output at hand to there is the same distance for all its weights.
    """
    *tile, right, left = merge.kept
    for n, (i, i2) in enumerate(list(product(*map(range, sizes)))[1:]):
        begin = (i * left.weight, i2 * right.operand)
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
        weight, operand, aux, result = contract.start
        start = (weight + value * level.weight, operand, aux, result + value * level.result)
        last = value == level.count - 1
        yield replace(contract, start=start, sync=contract.sync and last)
