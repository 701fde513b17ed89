"""The planner's candidates: ways to go about a layer, what each costs, and which one is chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import log
from operator import itemgetter

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.contraction import overhead
from zerotrain.compiler.lowering import Groups, Lowering
from zerotrain.compiler.lowering_cge import CgeForm, CgeForms, CgeLowering
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Network

__all__ = ["Candidate", "banks", "cge_candidates", "choose", "choose_forms", "forward_candidates"]

#: Candidates whose cycles differ by less than this share are as fast as one another.
TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to go about one layer, in the forward pass or in CGE.

    Attributes
    ----------
    layer : int
    groups, tiled : tuple of int, bool
        Forward pass: the groups of TT-cores, and whether they are applied tile by tile.
    form : CgeForm or None
        CGE: the form of the evaluations.
    macs, merge_macs : int
        Multiply-accumulates per sample; of merging, once.
    scratch, weights : int
        Words of lane scratch memory, and of weight memory with all parameters of the network.
    cycles : int
        Forward pass: for one query; CGE: for one step.
    """

    layer: int
    groups: tuple[int, ...]
    tiled: bool
    form: CgeForm | None
    macs: int
    merge_macs: int
    scratch: int
    weights: int
    cycles: int

    @property
    def title(self) -> str:
        """What people call it."""
        if self.form is not None:
            return str(self.form)
        if len(self.groups) == 1:
            order = "dense"
        elif max(self.groups) == 1:
            order = "TT-core by TT-core"
        else:
            order = "merged " + "·".join(map(str, self.groups))
        return order + ", tiled" * self.tiled

    def fits(self, chip: Chip) -> bool:
        """Whether the chip's memories hold it, alone."""
        return self.scratch <= chip.scratch_depth and self.weights <= chip.weight_depth

    def rank(self, chip: Chip) -> tuple[int, int, int]:
        """The lower the better: by cycles in steps of the tolerance, then by the memory of all
        lanes together. The same whatever other candidates there are, so that a chip with just the
        memory that the best one needs has the same best one."""
        steps = int(log(max(1, self.cycles)) / log(1 + TOLERANCE))
        return steps, self.weights + chip.lanes * self.scratch, self.cycles

    def verdict(self, chosen: "Candidate", chip: Chip) -> str:
        """Why it was chosen, or another one for the same layer."""
        if self == chosen:
            return "chosen"
        if not self.fits(chip):
            if self.scratch > chip.scratch_depth:
                return f"scratch memory has {chip.scratch_depth}"
            return f"weight memory has {chip.weight_depth}"
        slower = self.cycles / chosen.cycles - 1
        if self.rank(chip) < chosen.rank(chip):
            return "does not fit beside the other layers"
        if self.rank(chip)[0] > chosen.rank(chip)[0]:
            return f"{slower:.1%} more cycles"
        return "as fast, more memory"


def banks(chip: Chip) -> int:
    """Banks of the weight memory in an RGE step."""
    return 1 + chip.has_merge_unit


def _compositions(n: int) -> Iterator[tuple[int, ...]]:
    """Every ordered split of n into positive parts."""
    if n == 0:
        yield ()
    for head in range(1, n + 1):
        for tail in _compositions(n - head):
            yield head, *tail


def forward_candidates(network: Network, chip: Chip, batch: int) -> list[Candidate]:
    """Every choice of groups and tiling of every layer.

    ``cycles``: the layer's share of ``ceil(batch / lanes)`` passes, and merging once. A merge unit
    works at the same time; then an eighth of merging counts, as if the lanes waited for it in one
    of eight queries.
    """
    passes = chip.layout.passes(batch)
    out = []
    for index, layer in enumerate(network.layers):
        for sizes, tiled in product(_compositions(layer.n_tt_cores), (False, True)):
            if tiled and not (chip.loops and Lowering.can_tile(network, index, sizes)):
                continue
            # One port does not read a row of samples and write pre-activations at once.
            if chip.common and len(sizes) == 1 and index < len(network.layers) - 1:
                continue
            scratch = Allocator()
            lowering = Lowering(network, chip.formats, scratch, merge_unit=chip.has_merge_unit)
            keys = lowering.groups_of(index, sizes)
            lowering.merging.place_factors(keys)
            lowering.merging.place(keys)
            merging = [contract for key in keys for contract in lowering.merging.make(key)]
            applied = lowering.forward_layer(index, sizes, tiled=tiled)
            merge_macs = sum(c.beats for c in merging)
            macs = sum(c.beats for c in applied)
            once = merge_macs + overhead(merging, chip)
            applying = passes * (macs + overhead(applied, chip))
            out.append(
                Candidate(
                    layer=index,
                    groups=sizes,
                    tiled=tiled,
                    form=None,
                    macs=macs,
                    merge_macs=merge_macs,
                    scratch=scratch.peak,
                    weights=banks(chip) * lowering.merging.words,
                    cycles=max(applying, once) + once // 8 if chip.merge_depth else applying + once,
                )
            )
    return out


def cge_candidates(network: Network, chip: Chip, batch: int) -> list[Candidate]:
    """Every form of every layer's CGE evaluations; none where the chip has no environments."""
    out: list[Candidate] = []
    if not chip.has_environments:
        return out
    passes = chip.layout.passes(batch)
    for index, form in product(range(len(network.layers)), CgeForm):
        if form == CgeForm.TILES and not CgeLowering.has_tiles(network, index):
            continue
        scratch = Allocator()
        lowering = CgeLowering(network, chip.formats, scratch, merge_unit=chip.has_merge_unit)
        lowering.merging.place_factors(lowering.environments())
        lowering.merging.place(lowering.environments())
        code = lowering.layer_differences(index, form)
        macs = sum(item.beats for item in code)
        out.append(
            Candidate(
                layer=index,
                groups=(),
                tiled=False,
                form=form,
                macs=macs,
                merge_macs=0,
                scratch=scratch.peak,
                weights=lowering.merging.words,
                cycles=passes * (macs + overhead(code, chip)),
            )
        )
    return out


def _best(found: Sequence[Candidate], chip: Chip) -> Candidate:
    """The best of those that fit; where none does, the one with the least scratch memory."""
    fitting = [candidate for candidate in found if candidate.fits(chip)]
    if not fitting:
        return min(found, key=lambda candidate: candidate.scratch)
    return min(fitting, key=lambda candidate: candidate.rank(chip))


def choose(
    network: Network,
    chip: Chip,
    batch: int,
    groups: Groups | None = None,
    tiled: tuple[bool, ...] | None = None,
) -> tuple[Groups, tuple[bool, ...]]:
    """Groups and tiling of every layer's forward pass. What is given is kept."""
    found: list[list[Candidate]] = [[] for _ in network.layers]
    for c in forward_candidates(network, chip, batch):
        if (groups is None or c.groups == groups[c.layer]) and (
            tiled is None or c.tiled == tiled[c.layer]
        ):
            found[c.layer].append(c)
    for index, options in enumerate(found):
        if not options:
            cannot = "be tiled with these groups"
            n_tt_cores = network.layers[index].n_tt_cores
            if chip.common and (n_tt_cores == 1 or (groups and len(groups[index]) == 1)):
                cannot = "be applied in one go: the common memory is not read and written at once"
            raise ValueError(f"Layer {index + 1} cannot {cannot}")
    chosen = [_best(options, chip) for options in found]
    # Each layer fits alone. Where they do not fit together, give way where that costs the least.
    parameters = banks(chip) * network.n_parameters
    while sum(c.weights - parameters for c in chosen) + parameters > chip.weight_depth:
        smaller = [
            ((c.cycles - now.cycles) / (now.weights - c.weights), index, c)
            for index, now in enumerate(chosen)
            for c in found[index]
            if c.weights < now.weights
        ]
        if not smaller:
            break
        _, index, candidate = min(smaller, key=itemgetter(0))
        chosen[index] = candidate
    return tuple(c.groups for c in chosen), tuple(c.tiled for c in chosen)


def choose_forms(network: Network, chip: Chip, batch: int) -> CgeForms:
    """The form of every layer's CGE evaluations; none where the chip has no environments."""
    found: list[list[Candidate]] = [[] for _ in network.layers]
    for candidate in cge_candidates(network, chip, batch):
        found[candidate.layer].append(candidate)
    return tuple(CgeForm(_best(options, chip).form or "") for options in found if options)
