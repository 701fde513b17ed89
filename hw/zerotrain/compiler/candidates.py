"""The planner's candidates: ways to go about a layer, what each costs, and which one is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from math import log
from operator import attrgetter, itemgetter
from types import MappingProxyType

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.contraction import overhead
from zerotrain.compiler.lowering import Groups
from zerotrain.compiler.lowering_cge import EVALUATIONS, CgeForm, CgeForms, CgeLowering
from zerotrain.compiler.search import ways
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network

__all__ = [
    "DEPTHS", "Candidate", "Choice", "accumulator_width", "cge_candidates", "choose",
    "forward_candidates",
]  # fmt: skip

#: The chip's depth that holds what choices add up to.
DEPTHS = {
    "scratch": "scratch_depth", "bank": "weight_depth", "weights": "weight_depth",
    "factors": "merge_depth", "rows": "program_depth",
}  # fmt: skip
#: Rows of a program that end its sections.
_ENDS = 4
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
    adds : dict
        What it adds to what other layers need: words of the ``bank`` (or both) of weights in an RGE
        step, of all ``weights``, of the merge unit's ``factors``, ``rows`` of the program.
    largest, terms : int
        What counters must reach, and most products of a sum.
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
    adds: Mapping[str, int] = field(repr=False)
    largest: int
    terms: int

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

    def fits(self, chip: Chip, room: Mapping[str, int] = MappingProxyType({})) -> bool:
        """Whether the chip holds it, alone. ``room``: memories of which it may take less, and how
        many words."""
        needed = {"scratch": self.scratch, "rows": self.adds["rows"]}
        return (
            self.weights <= chip.weight_depth
            and all(n <= _room(chip, room, name) for name, n in needed.items())
            and self.largest <= 1 << chip.count_width
            and accumulator_width(chip.formats, self.terms) <= chip.acc_width
        )

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
        if self.scratch > chip.scratch_depth:
            return f"scratch memory has {chip.scratch_depth}"
        if self.weights > chip.weight_depth:
            return f"weight memory has {chip.weight_depth}"
        slower = self.cycles / chosen.cycles - 1
        if self.rank(chip) < chosen.rank(chip):
            if not self.fits(chip):
                return "its program, counters or sums are too large"
            return "does not fit beside the other layers"
        if self.rank(chip)[0] > chosen.rank(chip)[0]:
            return f"{slower:.1%} more cycles"
        return "as fast, more memory"


def accumulator_width(formats: Formats, terms: int) -> int:
    """Accumulator bits that make every sum of so many products exact, rounding included."""
    return formats.weight.width + formats.lane_width - 1 + terms.bit_length()


@lru_cache(maxsize=32)
def forward_candidates(network: Network, chip: Chip, batch: int) -> tuple[Candidate, ...]:
    """The choices of groups and tiling of every layer (:mod:`zerotrain.compiler.search`).

    ``cycles``: the layer's share of ``ceil(batch / lanes)`` passes, and merging once. A merge unit
    works at the same time; then an eighth of merging counts, as if the lanes waited for it in one
    of eight queries.
    """
    passes, end = chip.layout.passes(batch), chip.timing.end_cycles
    out = []
    for index in range(len(network.layers)):
        shared, found = ways(network, chip, index)
        for way, tiled in found:
            once = way.merge_macs + way.merge_pauses + end
            applying = passes * (way.macs + way.pauses + end)
            together = max(applying, once) + once // 8
            out.append(
                Candidate(
                    layer=index,
                    groups=way.sizes,
                    tiled=tiled,
                    form=None,
                    macs=way.macs,
                    merge_macs=way.merge_macs,
                    scratch=way.words,
                    weights=chip.weight_banks * (network.n_parameters + way.merged),
                    cycles=together if chip.has_merge_unit else applying + once,
                    adds={
                        "bank": chip.weight_banks * (shared.bank + way.bank),
                        "weights": shared.weights + way.weights,
                        "factors": (chip.weight_banks - 1) * (shared.factors + way.factors),
                        "rows": shared.rows + way.rows,
                    },
                    largest=way.largest,
                    terms=way.terms,
                )
            )
    return tuple(out)


@lru_cache(maxsize=32)
def cge_candidates(network: Network, chip: Chip, batch: int) -> tuple[Candidate, ...]:
    """Every form of every layer's CGE evaluations; none where the chip has no environments."""
    out: list[Candidate] = []
    passes = chip.layout.passes(batch)
    for index, form in product(range(len(network.layers)), EVALUATIONS[chip.cge]):
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
                adds={
                    "bank": 0,
                    "weights": 0,
                    "factors": 0,
                    "rows": sum(item.n_rows for item in code),
                },  # fmt: skip
                largest=max(item.largest_count for item in code),
                terms=max(item.terms for item in code),
            )
        )
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Choice:
    """Ways to go about all layers.

    Attributes
    ----------
    takes : dict
        Words that they take, by the names of :data:`DEPTHS`.
    """

    groups: Groups
    tiled: tuple[bool, ...]
    forms: CgeForms
    takes: Mapping[str, int] = field(compare=False)


def choose(
    network: Network,
    chip: Chip,
    batch: int,
    groups: Groups | None = None,
    tiled: tuple[bool, ...] | None = None,
    forms: CgeForms | None = None,
    room: Mapping[str, int] = MappingProxyType({}),
) -> Choice:
    """Groups and tiling of every layer's forward pass, and the form of its CGE evaluations, if the
    chip has environments. What is given is kept. ``room``: memories of which they may take
    less, and how many words."""
    forward = [
        c
        for c in forward_candidates(network, chip, batch)
        if (groups is None or c.groups == groups[c.layer])
        and (tiled is None or c.tiled == tiled[c.layer])
    ]
    cge = [
        c for c in cge_candidates(network, chip, batch) if forms is None or c.form == forms[c.layer]
    ]
    numbers = range(len(network.layers))
    found = [[c for c in forward if c.layer == index] for index in numbers]
    for index, options in enumerate(found):
        if not options:
            raise ValueError(f"Layer {index + 1} cannot {_refusal(network, chip, index, groups)}")
    found += [options for index in numbers if (options := [c for c in cge if c.layer == index])]
    fitting = [[c for c in options if c.fits(chip, room)] for options in found]
    chosen = [
        # Where none fits, the one with the least scratch memory.
        min(options, key=lambda c: c.rank(chip))
        if options
        else min(all_, key=attrgetter("scratch"))
        for options, all_ in zip(fitting, found, strict=True)
    ]
    d, banks = network.n_parameters, chip.weight_banks
    taken = {"bank": banks * d, "weights": d, "factors": (banks - 1) * d, "rows": _ENDS}
    for name, words in taken.items():
        _give_way(chosen, fitting, name, _room(chip, room, name) - words)
    layers, evaluations = chosen[: len(network.layers)], chosen[len(network.layers) :]
    return Choice(
        tuple(c.groups for c in layers),
        tuple(c.tiled for c in layers),
        tuple(CgeForm(c.form or "") for c in evaluations),
        {name: words + sum(c.adds[name] for c in chosen) for name, words in taken.items()}
        | {"scratch": max(c.scratch for c in chosen)},
    )


def _room(chip: Chip, room: Mapping[str, int], name: str) -> int:
    """Words that choices may take."""
    return room.get(name, getattr(chip, DEPTHS[name]))


def _refusal(network: Network, chip: Chip, index: int, groups: Groups | None) -> str:
    """Why nothing is left to choose from."""
    whole = network.layers[index].n_tt_cores == 1 or (groups and len(groups[index]) == 1)
    if chip.store.kind.common and whole:
        return "be applied in one go: the common memory is not read and written at once"
    return "be tiled with these groups"


def _give_way(
    chosen: list[Candidate], fitting: Sequence[Sequence[Candidate]], name: str, room: int
) -> None:
    """Each choice fits alone. Where they do not fit together into so many words of a memory, give
    way where that costs the least."""
    while sum(c.adds[name] for c in chosen) > room:
        smaller = [
            ((c.cycles - now.cycles) / (now.adds[name] - c.adds[name]), index, c)
            for index, now in enumerate(chosen)
            for c in fitting[index]
            if c.adds[name] < now.adds[name]
        ]
        if not smaller:
            return
        _, index, candidate = min(smaller, key=itemgetter(0))
        chosen[index] = candidate
