"""The planner: a network on a chip, with its cost known before anything is built.

It chooses how every layer is gone about, lowers the four program sections and allocates the
memories. What that costs is in the :class:`~zerotrain.compiler.plan.Plan`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.candidates import DEPTHS, Choice, accumulator_width, choose
from zerotrain.compiler.contraction import Loop, encode
from zerotrain.compiler.lowering import Groups
from zerotrain.compiler.lowering_cge import CgeForms, CgeLowering
from zerotrain.compiler.plan import SECTIONS, Plan, Section
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network
from zerotrain.spec.program import Program
from zerotrain.spec.registers import Baseline

__all__ = ["check_groups", "check_limits", "chip_for", "plan"]

_DEPTHS = (
    "parameter_depth", "weight_depth", "sample_depth", "target_depth", "scratch_depth",
    "preact_depth", "program_depth", "evaluation_depth",
)  # fmt: skip
#: What a chip is made for, and what follows from it for the plan.
_KINDS = ("cge", "core", "sine", "store", "sample_banks", "loops")
#: Words of scratch memory that the lanes of a chip have together, where that is enough: a quarter
#: of the block RAM of an ECP5-85F (1024 words for each of 64 lanes), or the SPRAM of an iCE40UP5K.
_SCRATCH_WORDS = 1 << 16
#: Choices that are lowered at most, the best first: each takes a while.
_TRIES = 16
#: What takes fewer words, by the memory that would have to be larger than any.
_LESS = {
    "sample_depth": "a smaller batch or more lanes take fewer",
    "target_depth": "a smaller batch or more lanes take fewer",
    "weight_depth": "smaller modes and ranks take fewer",
    "scratch_depth": "smaller modes and ranks take fewer",
    "program_depth": "fewer TT-cores take fewer",
}
#: Words of a memory, and outputs of a network, at most.
_MOST_WORDS, _MOST_OUTPUTS = 1 << 16, 64


def _lower(
    network: Network, chip: Chip, groups: Groups, tiled: tuple[bool, ...], forms: CgeForms
) -> tuple[dict[Section, Any], dict[str, int]]:
    """Lower all sections and count the memory words they need."""
    scratch = Allocator()
    lowering = CgeLowering(
        network,
        chip.formats,
        scratch,
        merge_unit=chip.has_merge_unit,
        preact_base=chip.preact_base,
    )
    merging = lowering.merging
    environments = lowering.environments() if forms else []
    keys = [key for n, sizes in enumerate(groups) for key in lowering.groups_of(n, sizes)]
    merging.place_factors(keys + environments)
    merging.place(keys)
    bank = merging.words
    merging.place(environments)
    sections: dict[Section, Any] = {
        "merge": lowering.merge_groups(groups, tiled),
        "forward": lowering.forward(groups, tiled),
        "cge_merge": lowering.merge_arrays(environments),
        "cge": lowering.coordinates(forms),
    }
    words = {
        "weight_depth": max(chip.weight_banks * bank, merging.words),
        "scratch_depth": scratch.peak,
        "preact_depth": lowering.preact_words,
    }
    if chip.merge_depth:
        words["weight_depth"] += words["weight_depth"] % 2
        words["merge_depth"] = merging.factor_words
    return sections, words


def _program(sections: dict[Section, Any], shifts: Sequence[int]) -> Program:
    rows: list[int] = []
    starts: dict[str, int] = {}
    listing: list[str] = []
    for name in SECTIONS:
        starts[name] = len(rows)
        rows += encode(sections[name], shifts)
        for item in sections[name]:
            for contract in item.body if isinstance(item, Loop) else (item,):
                runs = item.runs(contract) if isinstance(item, Loop) else 1
                listing.append(f"{name}: {contract.comment} ({contract.beats} beats x {runs})")
    return Program(tuple(rows), **starts, listing=tuple(listing))


def _longest_sum(sections: dict[Section, Any]) -> int:
    """Most products in one sum."""
    return max(item.terms for items in sections.values() for item in items)


class _TooSmall(ValueError):
    """A chip's depth does not hold what was chosen; another choice may need less."""

    def __init__(self, network: Network, chip: Chip, name: str, need: int) -> None:
        self.name, self.need, available = name, need, getattr(chip, name)
        super().__init__(
            f"Network {network.name} does not fit the chip: {name} is {available}, "
            f"needed are {need} ({need - available} too few)"
        )


def _check_depths(network: Network, chip: Chip, words: dict[str, int]) -> None:
    for name, need in words.items():
        if need > getattr(chip, name):
            raise _TooSmall(network, chip, name, need)


def _fixed_words(network: Network, chip: Chip, batch: int) -> dict[str, int]:
    """Words that no choice changes, checked before any is looked for."""
    words = {
        "parameter_depth": network.n_parameters,
        "sample_depth": chip.layout.sample_words(batch, network.n_inputs),
        "target_depth": chip.layout.target_words(batch, network.n_targets),
        "output_depth": network.n_outputs,
        "evaluation_depth": chip.cge.kind.losses(network.n_parameters),
    }
    _check_depths(network, chip, words)
    return words


def check_groups(network: Network, groups: Groups) -> None:
    """Raise ``ValueError`` unless the groups split every layer's TT-cores."""
    expected = tuple(layer.n_tt_cores for layer in network.layers)
    if len(groups) != len(expected) or any(
        sum(sizes) != d or min(sizes, default=0) < 1
        for sizes, d in zip(groups, expected, strict=True)
    ):
        raise ValueError(
            f"Groups split the TT-cores of each layer, {expected} TT-cores in all layers, "
            f"got {groups}"
        )


def plan(
    network: Network,
    chip: Chip,
    *,
    batch: int | None = None,
    groups: Groups | None = None,
    tiled: tuple[bool, ...] | None = None,
    forms: CgeForms | None = None,
) -> Plan:
    """Plan a network on a chip.

    Parameters
    ----------
    batch : int, optional
        Minibatch size, by default one sample per lane.
    groups : Groups, optional
        TT-core groups; by default the planner's choice.
    tiled : tuple of bool, optional
        Whether each layer is applied tile by tile; by default the planner's choice. Changes no bit.
    forms : CgeForms, optional
        Form of each layer's CGE evaluations; by default the planner's choice. Changes no bit.

    Raises
    ------
    ValueError
        Where the network does not fit the chip: which memory, by how much.
    """
    batch = chip.lanes if batch is None else batch
    if batch < 1:
        raise ValueError(f"The batch has at least one sample, got {batch}")
    if network.loss != chip.loss:
        raise ValueError(
            f"The chip's loss unit computes {chip.loss}, the network needs {network.loss}; "
            "generate a chip with that loss"
        )
    if network.sines and not chip.sine:
        raise ValueError(
            f"Network {network.name} has sines, the chip has no unit for them; generate a chip "
            "with sine = true"
        )
    if groups is not None:
        check_groups(network, groups)
    fixed = _fixed_words(network, chip, batch)
    most = chip.layout.max_batch(
        sample_depth=chip.sample_depth,
        target_depth=chip.target_depth,
        n_inputs=network.n_inputs,
        n_targets=network.n_targets,
    )
    refusal: _TooSmall | None = None
    # What is best for the largest batch fits a chip that was sized for that, whatever the batch.
    for size in dict.fromkeys((batch, most)):
        try:
            choice = choose(network, chip, size, groups, tiled, forms)
            return _best_planned(network, chip, batch, size, choice, fixed, (groups, tiled, forms))
        except _TooSmall as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _best_planned(
    network: Network,
    chip: Chip,
    batch: int,
    size: int,
    choice: Choice,
    fixed: dict[str, int],
    given: tuple[Groups | None, tuple[bool, ...] | None, CgeForms | None],
) -> Plan:
    """The plan of the best choice for batches of a size that the chip holds."""
    refusal: _TooSmall | None = None
    room: dict[str, int] = {}
    for _ in range(_TRIES):
        try:
            return _planned(network, chip, batch, choice, fixed)
        except _TooSmall as error:
            refusal = refusal or error
            name = error.name
        # It takes more than it was known to. So the next best is looked for, which takes less.
        room |= {k: choice.takes[k] - 1 for k, depth in DEPTHS.items() if depth == name}
        found = choose(network, chip, size, *given, room)
        if found == choice:
            break
        choice = found
    assert refusal is not None
    raise refusal


def _planned(
    network: Network, chip: Chip, batch: int, choice: Choice, fixed: dict[str, int]
) -> Plan:
    """The plan that follows from a choice, if the chip holds it."""
    groups, tiled, forms = choice.groups, choice.tiled, choice.forms
    sections, words = _lower(network, chip, groups, tiled, forms)
    program = _program(sections, chip.shifts)
    words = fixed | words | {"program_depth": len(program.rows)}
    _check_depths(network, chip, words)
    for item in (item for items in sections.values() for item in items):
        if isinstance(item, Loop):
            item.check(chip.loop_counters)
    largest = max(item.largest_count for items in sections.values() for item in items)
    if largest > 1 << chip.count_width:
        raise ValueError(
            f"Network {network.name} does not fit the chip: its program counts to {largest}, "
            f"counters of {chip.count_width} bits to {1 << chip.count_width}"
        )
    longest = _longest_sum(sections)
    needed = accumulator_width(chip.formats, longest)
    if needed > chip.acc_width:
        raise ValueError(
            f"Sums of {longest} products need {needed}-bit accumulators, the chip "
            f"has {chip.acc_width} bits"
        )
    return Plan(network, chip, groups, tiled, forms, program, sections, words, batch)


def check_limits(network: Network) -> None:
    """Refuse a network that no chip holds.

    Raises
    ------
    ValueError
        Naming what it has too many of, and the most that a chip has.
    """
    for what, count, most, remedy in (
        ("parameters", network.n_parameters, _MOST_WORDS, "more TT-cores or lower ranks have less"),
        ("inputs", network.n_inputs, _MOST_WORDS, "leave out or average some"),
        (
            "outputs", network.n_outputs, _MOST_OUTPUTS,
            "leave out classes or target values, or train several networks",
        ),
    ):  # fmt: skip
        if count > most:
            raise ValueError(
                f"Network {network.name} has {count:,} {what}, a chip has at most {most:,}: "
                f"{remedy}"
            )


def chip_for(
    network: Network,
    *,
    lanes: int = 8,
    batch: int = 32,
    queries: int = 16,
    formats: Formats | None = None,
    loss_ways: int | None = None,
    groups: Groups | None = None,
    **overrides: Any,
) -> Chip:
    """The smallest chip that trains a network, its memories sized by the planner.

    Parameters
    ----------
    loss_ways : int, optional
        By default one for every 8 lanes, so that a loss takes 8 cycles per output however many
        lanes there are; but 2 on a chip of 2 to 23 lanes. Without environments, losses are few:
        one for every 32 lanes. One on a compact chip.
    overrides
        Other fields of :class:`~zerotrain.spec.chip.Chip`.

    Raises
    ------
    ValueError
        If a memory would have to be larger than any, and what takes fewer words.
    """
    try:
        return _sized_chip(
            network, lanes, batch, queries, formats or Formats(), loss_ways, groups, overrides
        )
    except _TooSmall as error:
        if error.name in overrides:
            raise
        less = _LESS.get(error.name)
        cge = Cge(overrides.get("cge", Cge.ENVIRONMENTS)).kind
        if error.name == "weight_depth" and cge.environments:
            less = 'CGE by forward passes (cge = "forward") takes fewer'
        raise ValueError(
            f"Network {network.name} needs {error.need:,} words of {error.name}, a chip has at "
            f"most {_MOST_WORDS:,}" + (f"; {less}" if less else "")
        ) from None


def _sized_chip(
    network: Network,
    lanes: int,
    batch: int,
    queries: int,
    formats: Formats,
    loss_ways: int | None,
    groups: Groups | None,
    overrides: dict[str, Any],
) -> Chip:
    overrides = {"sine": network.sines, **overrides}
    cge = Cge(overrides.get("cge", Cge.ENVIRONMENTS)).kind
    core = Core(overrides.get("core", Core.PIPELINED)).kind
    ways = max(min(cge.least_loss_ways, lanes), lanes // cge.lanes_per_loss_way)
    if core.serial:
        ways = 1
    limits: dict[str, Any] = dict.fromkeys(_DEPTHS, _MOST_WORDS)
    roomy = Chip(
        lanes=lanes,
        formats=formats,
        loss=network.loss,
        **{name: overrides[name] for name in _KINDS if name in overrides},
        loss_ways=ways if loss_ways is None else loss_ways,
        acc_width=48,
        output_depth=_MOST_OUTPUTS,
        query_depth=max(2, queries),
        **limits,
    )
    check_limits(network)
    _fixed_words(network, roomy, batch)
    found = _plan_within(network, roomy, batch, groups, overrides)
    most = core.most_factors
    if overrides.get("merge_depth", most) and network.n_parameters <= most:
        unit = replace(roomy, parameter_depth=most, merge_depth=most)
        try:
            with_unit = _plan_within(network, unit, batch, groups, overrides)
        except _TooSmall:
            if overrides.get("merge_depth"):
                raise
        else:
            if overrides.get("merge_depth") or _pays(with_unit, found, queries):
                found = with_unit
    depths = {name: max(2, need) for name, need in found.words.items()}
    depths["output_depth"] = 1 << max(1, (network.n_outputs - 1).bit_length())
    depths["evaluation_depth"] = max(depths["evaluation_depth"], queries + 1)
    longest = _longest_sum(found.sections)
    depths["acc_width"] = max(core.least_acc_width, accumulator_width(formats, longest))
    return replace(roomy, **(depths | overrides))


def _plan_within(
    network: Network, roomy: Chip, batch: int, groups: Groups | None, overrides: dict[str, Any]
) -> Plan:
    """Plan with the scratch memory that a chip of these lanes has, or a larger one where nothing
    does with that."""
    budget = overrides.get("scratch_depth", max(2, _SCRATCH_WORDS // roomy.lanes))

    def choices(scratch_depth: int) -> dict[str, Any]:
        choice = choose(network, replace(roomy, scratch_depth=scratch_depth), batch, groups)
        return {"groups": choice.groups, "tiled": choice.tiled, "forms": choice.forms}

    try:
        found = plan(network, roomy, batch=batch, **choices(budget))
    except _TooSmall:
        # The fastest takes more of another memory than any has: the best that fits is looked for.
        most = replace(roomy, scratch_depth=overrides.get("scratch_depth", roomy.scratch_depth))
        found = plan(network, most, batch=batch, groups=groups)
        budget = found.words["scratch_depth"]
    need = found.words["scratch_depth"]
    return found if need <= budget else plan(network, roomy, batch=batch, **choices(need))


def _pays(with_unit: Plan, without: Plan, queries: int) -> bool:
    """Whether a merge unit, which costs a sequencer and the memory of a second copy of the weights,
    makes RGE steps at least 3 % faster."""
    n = max(2, queries)
    one, other = (
        p.step_cost("rge", queries=n, baseline=Baseline.MEAN).cycles for p in (with_unit, without)
    )
    return one < 0.97 * other
