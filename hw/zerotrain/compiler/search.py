"""The ways to apply a layer in the forward pass: every split of its TT-cores into groups, or, of a
layer with many, those that promise most.

What a way costs is the sum of what its groups cost, and a group costs the same whatever way it is
in: it depends on the TT-cores before and behind it, not on how those are grouped, and where the
layer is tiled, on the size of a tile. So ways grow from the right by one group at a time.
"""

from collections.abc import Iterable, Iterator
from heapq import nsmallest
from math import prod
from typing import NamedTuple

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.contraction import LOOP_ROWS, Contract, pause
from zerotrain.compiler.lowering import Lowering, Operand
from zerotrain.compiler.lowering_cge import EVALUATIONS, CgeLowering
from zerotrain.compiler.merging import Key
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Network
from zerotrain.spec.program import Result, Source

__all__ = ["Way", "ways"]

#: Ways that are followed from one TT-core to the next: all of those of up to 8 TT-cores.
_MOST = 1 << 7


class Way(NamedTuple):
    """TT-cores from some on to the last of a layer, in groups, and what that costs.

    Attributes
    ----------
    sizes : tuple of int
        TT-cores of every group, from the left.
    macs, pauses : int
        Cycles with and without products of a pass.
    merge_macs, merge_pauses : int
        The same of merging, once.
    scratch, copied : int
        Words of scratch memory: of intermediates, and for a factor of what the lanes merge.
    merged : int
        Words of the weight memory besides the parameters, if nothing else is merged.
    bank, weights, factors, rows : int
        What it adds where the environments of CGE are merged too, and share arrays: words of a bank
        of weights, of all weights, of those that a merge unit reads, and rows of the program.
    largest, terms : int
        What counters must reach, and most products of a sum.
    """

    sizes: tuple[int, ...] = ()
    macs: int = 0
    pauses: int = 0
    merge_macs: int = 0
    merge_pauses: int = 0
    scratch: int = 0
    copied: int = 0
    merged: int = 0
    bank: int = 0
    weights: int = 0
    factors: int = 0
    rows: int = 0
    largest: int = 1
    terms: int = 1

    def behind(self, group: "Way") -> "Way":
        """With a group, which merges and applies the TT-cores to the left of these."""
        return Way(
            group.sizes + self.sizes,
            self.macs + group.macs,
            self.pauses + group.pauses,
            self.merge_macs + group.merge_macs,
            self.merge_pauses + group.merge_pauses,
            self.scratch + group.scratch,
            max(self.copied, group.copied),
            self.merged + group.merged,
            self.bank + group.bank,
            self.weights + group.weights,
            self.factors + group.factors,
            self.rows + group.rows,
            max(self.largest, group.largest),
            max(self.terms, group.terms),
        )

    @property
    def words(self) -> int:
        """Words of scratch memory."""
        return max(self.scratch, self.copied)


class _Layer:
    """Groups of one layer."""

    def __init__(self, network: Network, chip: Chip, index: int) -> None:
        self.network, self.chip, self.index = network, chip, index
        self.layer = network.layers[index]
        self.d = d = self.layer.n_tt_cores
        self.lowering = CgeLowering(
            network, chip.formats, Allocator(), merge_unit=chip.has_merge_unit
        )
        forms = EVALUATIONS[chip.cge]
        keys = self.lowering.environments() if forms else []
        environments = [key for key in keys if key.layer == index]
        spans = [Key(index, lo, hi) for hi in range(1, d + 1) for lo in range(hi)]
        self._own = self._arrays([*spans, *environments])
        made = {part for key in environments for part in _parts(key)}
        factors = {part for key in environments for part in _parts(key) if part != key}
        #: What environments take in any case.
        self.shared = self._sum(made, bank=factors, weights=made, factors=factors)
        self.merged = {(key.lo, key.hi): self._group(key, made, factors) for key in spans}

    def _group(self, key: Key, made: set[Key], factors: set[Key]) -> Way:
        """What merging a group costs, besides what environments have made and of which factors."""
        parts = set(_parts(key))
        own = parts - factors
        return self._sum(parts, bank=own, weights=parts - made, factors=own - {key})

    def _arrays(self, keys: Iterable[Key]) -> dict[Key, Way]:
        """What each array takes by itself, and each that one of them is made of."""
        merging, out = self.lowering.merging, dict[Key, Way]()
        parts = {part for key in keys for part in _parts(key)}
        for key in sorted(parts, key=lambda key: (key.hi - key.lo, key)):
            words = merging.words
            merging.place([key])
            code = merging.make(key)
            copies = [c.packets for c in code if c.result == Result.SCRATCH]
            out[key] = Way(
                merge_macs=sum(c.beats for c in code),
                merge_pauses=sum(pause(c, self.chip) for c in code),
                copied=max(copies, default=0),
                merged=merging.words - words,
                rows=sum(c.n_rows for c in code),
                largest=max((c.largest_count for c in code), default=1),
                terms=max((c.terms for c in code), default=1),
            )
        return out

    def _sum(self, keys: set[Key], *, bank: set[Key], weights: set[Key], factors: set[Key]) -> Way:
        """What arrays take together: which of them count in a bank, among all weights, and among
        the factors."""
        total = Way()
        for key in keys:
            own = self._own[key]
            counted = own._replace(
                bank=own.merged * (key in bank),
                weights=own.merged * (key in weights),
                factors=own.merged * (key in factors),
                rows=own.rows * (key in weights),
            )
            total = total.behind(counted)
        return total

    def group(self, lo: int, hi: int, first: int | None) -> Way:
        """What a group costs, merged and applied. ``first``: where the rightmost group begins that
        the layer is tiled by, if it is."""
        lowering, layer = self.lowering, self.layer
        end = self.d if first is None else first
        tiles = prod(layer.out_modes[end:])
        operand = lowering.input_of(self.index)
        if hi < self.d:
            operand = Operand(Source.SCRATCH, 0, lowering.formats.tt)
        done = prod(layer.out_modes[hi:end])
        contract: Contract = lowering.apply_group(self.index, (lo, hi), operand, done, tiles)
        applied = Way(
            sizes=(hi - lo,),
            macs=tiles * contract.beats,
            pauses=tiles * pause(contract, self.chip),
            scratch=contract.packets if lo > 0 else 0,
            rows=contract.n_rows,
            largest=contract.largest_count,
            terms=contract.terms,
        )
        return applied.behind(self.merged[lo, hi])

    def ways(self, first: int | None) -> list[Way]:
        """All ways that are not tiled, or those that are tiled by the group from ``first`` on."""
        found: dict[int, list[Way]] = {self.d: [Way()]}
        if first is not None:
            tiles = prod(self.layer.out_modes[first:])
            loop = Way(rows=LOOP_ROWS, largest=tiles)
            found = {first: [loop.behind(self.group(first, self.d, first))]}
        for lo in range(max(found) - 1, -1, -1):
            found[lo] = list(
                self._promising(
                    way.behind(group)
                    for hi in range(lo + 1, max(found) + 1)
                    for group in [self.group(lo, hi, first)]
                    for way in found[hi]
                )
            )
        return found[0]

    def _promising(self, found: Iterable[Way]) -> Iterator[Way]:
        """Of too many, those that the chip holds and that are best in some respect."""
        ways = list(found)
        if len(ways) <= _MOST:
            yield from ways
            return
        fitting = [way for way in ways if self._fits(way)] or ways
        lanes = self.chip.lanes
        costs = (
            [way.macs + way.pauses + way.merge_macs + way.merge_pauses for way in fitting],
            [way.merged + lanes * way.words for way in fitting],
            [way.words for way in fitting],
            [way.rows for way in fitting],
        )
        numbers = range(len(fitting))
        best = {n for cost in costs for n in nsmallest(_MOST // 4, numbers, key=cost.__getitem__)}
        yield from (fitting[n] for n in sorted(best))

    def _fits(self, way: Way) -> bool:
        return way.words <= self.chip.scratch_depth and way.merged <= self.chip.weight_depth


def _parts(key: Key) -> Iterator[Key]:
    """An array and all that it is made of, but TT-cores, which are stored."""
    if key.hi - key.lo > 1:
        yield key
        for half in key.halves:
            yield from _parts(half)


def ways(network: Network, chip: Chip, index: int) -> tuple[Way, list[tuple[Way, bool]]]:
    """What environments take of a layer's memories in any case; the ways to apply it on a chip, and
    whether each is tiled."""
    layer = _Layer(network, chip, index)
    out = [(way, False) for way in layer.ways(None) if _possible(network, chip, index, way.sizes)]
    if chip.loops:
        for first in range(1, layer.d):
            if Lowering.can_tile(network, index, (first, layer.d - first)):
                out += [(way, True) for way in layer.ways(first)]
    return layer.shared, sorted(out, key=lambda way: (way[0].sizes, way[1]))


def _possible(network: Network, chip: Chip, index: int, sizes: tuple[int, ...]) -> bool:
    """One port does not read a row of samples and write pre-activations at once."""
    hidden = index < len(network.layers) - 1
    return not (chip.store.kind.common and hidden and len(sizes) == 1)
