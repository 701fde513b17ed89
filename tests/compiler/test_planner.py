"""Planner: counted work against closed formulas, memories, refusals."""

from dataclasses import replace
from math import prod
from typing import Any

import pytest

from zerotrain.compiler.candidates import forward_candidates
from zerotrain.compiler.contraction import Contract, Level, Loop
from zerotrain.compiler.overlap import Overlap
from zerotrain.compiler.planner import chip_for, plan
from zerotrain.config.config import Config
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Network, dense
from zerotrain.spec.program import STREAMS, Result, Source
from zerotrain.spec.registers import Baseline


def forward_macs(layer: Layer, sizes: tuple[int, ...]) -> int:
    """MACs per sample of one layer, TT-core groups applied from the right, and its bias."""
    total, hi, done = 0, layer.n_tt_cores, 1
    for size in reversed(sizes):
        lo = hi - size
        results = prod(layer.in_modes[:lo]) * prod(layer.out_modes[lo:hi]) * done
        terms = prod(layer.in_modes[lo:hi]) * layer.all_ranks[hi]
        total += results * layer.all_ranks[lo] * terms
        hi, done = lo, done * prod(layer.out_modes[lo:hi])
    return total + layer.bias * layer.n_outputs


@pytest.mark.parametrize(
    ("name", "first", "second", "total"),
    [
        ("hjb-3209", 84 + 3840, 3072 + 3840, 11_605),
        ("hjb-7745", 210 + 8448, 7680 + 8448, 25_555),
    ],
)
def test_plain_tt_counts(name: str, first: int, second: int, total: int) -> None:
    """21 inputs or 768 units go to r numbers, these to 768 units with a bias; and an output with
    768 products and a bias. What the planner would choose instead takes 2.5 % more at most, and
    less merging, in a step of 16 points with 43 nodes each."""
    config = Config.preset(name)
    network, groups = config.network, ((5, 2), (5, 5), (1,))
    options: dict[str, Any] = {
        "lanes": 16,
        "batch": 16 * 43,
        "formats": config.chip.formats,
        "cge": Cge.NONE,
    }
    found = plan(network, chip_for(network, groups=groups, **options), batch=688, groups=groups)
    macs = [item.beats for item in found.sections["forward"]]
    assert [macs[0] + macs[1], macs[2] + macs[3]] == [first, second]
    assert sum(macs) == total == found.beats("forward")
    free = plan(network, chip_for(network, **options), batch=688)
    assert total < free.beats("forward") < 1.025 * total
    assert free.beats("merge") < found.beats("merge")


def test_digits_counts() -> None:
    network = Config.preset("digits").network
    groups = ((1, 1, 1, 1), (2, 2))
    chip = chip_for(network, lanes=8, batch=32, groups=groups)
    found = plan(network, chip, batch=32, groups=groups)
    expected = sum(
        forward_macs(layer, sizes)
        for layer, sizes in zip(network.layers, found.groups, strict=True)
    )
    assert found.beats("forward") == expected
    # Tile by tile the paper's network needs 332 800 MACs; TT-core by TT-core 366 048 (both without
    # the biases).
    mnist = Config.preset("mnist-3962").network
    single = sum(forward_macs(layer, (1,) * 4) for layer in mnist.layers)
    assert single - 1024 - 10 == 366_048


@pytest.mark.parametrize(
    "name", ["digits", "mnist-3962", "mnist-8314", "mnist-2698", "mnist-dense-7940"]
)
def test_presets_plan(name: str) -> None:
    network = Config.preset(name).network
    found = plan(network, chip_for(network, lanes=8, batch=8), batch=8)
    # The forward section makes the base loss; then every parameter is evaluated once.
    evaluations = sum(
        item.evaluations
        for item in found.sections["forward"] + found.sections["cge"]
        if (item.body[-1] if isinstance(item, Loop) else item).result
        in (Result.LOGIT, Result.DLOGIT)
    )
    assert evaluations == network.n_parameters + 1


def test_choice_is_the_cheapest_candidate() -> None:
    """Within the tolerance that the planner grants to smaller memories."""
    network = Config.preset("digits").network
    chip = chip_for(network, lanes=8, batch=32)
    rows = forward_candidates(network, chip, 32)
    found = plan(network, chip, batch=32)
    for index, way in enumerate(zip(found.groups, found.tiled, strict=True)):
        best = min(c.cycles for c in rows if c.layer == index and c.fits(chip))
        (chosen,) = (c for c in rows if (c.layer, c.groups, c.tiled) == (index, *way))
        assert chosen.cycles <= 1.02 * best


MNIST = ["mnist-3962", "mnist-8314", "mnist-2698", "mnist-dense-7940"]


@pytest.mark.parametrize("lanes", [8, 16, 32, 64])
@pytest.mark.parametrize("name", ["digits", *MNIST])
def test_a_planned_chip_holds_its_plan(name: str, lanes: int) -> None:
    """The planner finds the same on a chip of just the depths that it asked for."""
    network = Config.preset(name).network
    chip = chip_for(network, lanes=lanes, batch=64)
    found = plan(network, chip, batch=64)
    for depth in ("scratch_depth", "weight_depth", "program_depth", "preact_depth"):
        assert getattr(chip, depth) == max(2, found.words[depth])
    for part in found.candidates().values():
        chosen = [row["layer"] for row in part if row["verdict"] == "chosen"]
        assert chosen == list(range(len(network.layers)))
    if name == "mnist-dense-7940":
        assert found.beats("forward") == 784 * 10 + 10 * 10


@pytest.mark.parametrize(
    ("name", "words", "macs"),
    [
        ("mnist-3962", 1024, 5_229_588),
        ("mnist-2698", 1024, 3_342_996),
        ("mnist-8314", 1408, 12_627_860),
    ],
)
def test_paper_size_on_64_lanes(name: str, words: int, macs: int) -> None:
    """Scratch words per lane, and multiply-accumulates of a CGE step per sample."""
    network = Config.preset(name).network
    found = plan(network, chip_for(network, lanes=64, batch=64), batch=64)
    assert found.words["scratch_depth"] <= words
    assert found.step_macs("cge", 1, 1) <= macs
    if name == "mnist-3962":
        assert macs <= 16.5 * found.beats("forward")


def test_merging_copies_the_smaller_factor() -> None:
    """Where the lanes merge; the products are the same."""
    network = Config.preset("mnist-3962").network
    found = plan(network, Config.preset("mnist-small").build_chip(), batch=64)
    merging = [c for c in found.sections["merge"] if isinstance(c, Contract)]
    copies = [c for c in merging if c.single and c.source == Source.CONSTANT]
    # Layer 1: TT-core 4 of 6 x 8 x 7; layer 2: 4 of 6 x 1 x 8, and 1 of 1 x 8 x 6.
    assert [c.beats for c in copies] == [336, 48, 48]
    assert found.words["scratch_depth"] == 384
    rest = [c.beats for c in merging if c not in copies]
    assert rest == [6 * 6 * 32 * 28, 6 * 6 * 2 * 32, 6 * 5 * 32 * 6]


def test_common_memory() -> None:
    """Its rows follow one another; what reads and writes it at once is refused."""
    config = Config.preset("mnist-small")
    chip = config.build_chip()
    found = plan(config.network, chip, batch=64)
    assert (chip.preact_base, chip.training_base, chip.common_width) == (6272, 8192, 48)
    assert found.words["weight_depth"] <= 16384
    tiles = found.sections["forward"][0]
    assert isinstance(tiles, Loop)
    last = tiles.body[-1]
    assert last.result == Result.PREACT and last.start[3] == chip.preact_base
    network = Network((dense(784, 4, activation=Activation.RELU), dense(4, 10)))
    refusal = r"^Layer 1 cannot be applied in one go: the common memory is not read and written"
    with pytest.raises(ValueError, match=refusal):
        plan(network, chip, batch=64)
    with pytest.raises(ValueError, match=refusal):
        plan(config.network, chip, batch=64, groups=((4,), (2, 2)))


def test_counters_are_wide_enough() -> None:
    network = Config.preset("mnist-small").network
    chip = Config.preset("mnist-small").build_chip()
    assert plan(network, replace(chip, count_width=6), batch=64).words["program_depth"] < 256
    with pytest.raises(
        ValueError,
        match=r"^Network .* does not fit the chip: its program counts to 48, counters of 5 bits to "
        r"32$",
    ):
        plan(network, replace(chip, count_width=5), batch=64)
    with pytest.raises(ValueError, match=r"^Counters are 2 to 16 bits wide, not 1$"):
        replace(chip, count_width=1)


def test_without_cge() -> None:
    """The same forward pass but for where pre-activations are, less memory, nothing of CGE."""
    network, formats = Config.preset("digits").network, Config.preset("digits").chip.formats
    whole = plan(network, chip_for(network, batch=32, formats=formats), batch=32)
    chip = chip_for(network, batch=32, queries=8, formats=formats, cge=Cge.NONE)
    found = plan(network, chip, batch=32)
    assert chip.preact_base == chip.scratch_depth
    for contract, same in zip(found.sections["forward"], whole.sections["forward"], strict=True):
        assert isinstance(contract, Contract)
        _, operand, aux, result = contract.start
        operand -= chip.preact_base if contract.source == Source.PREACT else 0
        result -= chip.preact_base if contract.result == Result.PREACT else 0
        assert replace(contract, start=(contract.start[0], operand, aux, result)) == same
    assert found.sections["cge"] == found.sections["cge_merge"] == []
    assert set(chip.shifts) < set(chip.formats.shifts)
    assert chip.evaluation_depth == 9
    assert chip.scratch_depth < whole.chip.scratch_depth
    assert set(found.report(queries=8, baseline=Baseline.MEAN)["steps"]) == {"evaluate", "rge"}
    assert found.report(queries=8, baseline=Baseline.MEAN)["candidates"]["cge"] == []


def test_without_environments() -> None:
    """CGE by d + 1 forward passes: the program of RGE alone, and as many losses."""
    network = Config.preset("digits").network
    chip = chip_for(network, batch=32, queries=8, cge=Cge.FORWARD, loops=False, merge_depth=0)
    found = plan(network, chip, batch=32)
    d = network.n_parameters
    assert found.sections["cge"] == found.sections["cge_merge"] == []
    assert chip.evaluation_depth == d + 1
    assert found.report(queries=8, baseline=Baseline.MEAN)["macs_per_sample"]["cge"] == (
        d + 1
    ) * found.beats("forward")
    one, all_ = (found.step_cost(kind) for kind in ("evaluate", "cge"))
    assert all_.macs == (d + 1) * one.macs
    update = all_.parts.pop("updating")
    assert update and all_.cycles == (d + 1) * one.cycles


def test_environments_need_loops() -> None:
    with pytest.raises(ValueError, match=r"^A chip with CGE by environments has loops"):
        Chip(lanes=8, loops=False)
    assert Chip(lanes=8, loops=False, cge=Cge.FORWARD).raises


def test_raised_parameters_need_a_fine_weight() -> None:
    formats = Formats(weight=QFormat(8, 6), cge_mu_shift=7)
    Chip(lanes=8, formats=formats)
    with pytest.raises(ValueError, match=r"by 2\*\*-7 \(cge_mu_shift\), .* not resolve it: Q1.6"):
        Chip(lanes=8, formats=formats, cge=Cge.FORWARD)


def test_loops_of_few_counters() -> None:
    """A chip without environments refuses a loop that its sequencer could not run."""

    def loop(counts: tuple[int, ...], **moves: tuple[int, ...]) -> Loop:
        work = Contract((), (Level(10, result=1),), (0, 0, 0, 0), Source.INPUT, Result.SCRATCH, 0)
        along = [moves.get(stream, ()) for stream in STREAMS]
        return Loop(counts, (replace(work, moves=tuple(along)),))

    loop((4,), weight=(6,), result=(1,)).check(1)
    loop((4, 1), weight=(6, 0), result=(1, 0)).check(1)
    both = loop((4, 3), weight=(6, 1), operand=(1, 0))
    both.check(4)
    with pytest.raises(ValueError, match=r"^A loop of 2 counters with the offsets \[0, 1\]"):
        both.check(1)
    with pytest.raises(ValueError, match=r"more than the chip has: 1 counters, with .* \[1, 3\]$"):
        loop((4,), operand=(1,)).check(1)


def test_verdicts() -> None:
    network = Config.preset("mnist-3962").network
    found = plan(network, chip_for(network, lanes=64, batch=64), batch=64)
    rows = {(row["layer"], row["name"]): row["verdict"] for row in found.candidates()["cge"]}
    depth = found.chip.scratch_depth
    assert rows == {
        (0, "whole"): f"scratch memory has {depth}",
        (0, "rows"): f"scratch memory has {depth}",
        (0, "tiles"): "chosen",
        (1, "whole"): f"scratch memory has {depth}",
        (1, "rows"): "chosen",
        (1, "tiles"): "50.2% more cycles",
    }


def test_too_small_a_chip() -> None:
    network = Config.preset("digits").network
    chip = replace(chip_for(network, lanes=8, batch=32), parameter_depth=500)
    with pytest.raises(
        ValueError,
        match=r"^Network digits does not fit the chip: parameter_depth is 500, needed are 510 "
        r"\(10 too few\)$",
    ):
        plan(network, chip, batch=32)


def test_accumulators() -> None:
    network = Network((dense(784, 10, activation=Activation.RELU), dense(10, 10)))
    chip = chip_for(network, lanes=1, batch=1)
    assert chip.acc_width == 16 + 16 - 1 + 10
    with pytest.raises(ValueError, match=r"^Sums of 785 products need 41-bit accumulators"):
        plan(network, replace(chip, acc_width=40))


def test_groups_must_cover() -> None:
    network = Config.preset("digits").network
    with pytest.raises(ValueError, match=r"^Groups split the TT-cores of each layer, \(4, 4\)"):
        plan(network, chip_for(network), groups=((1, 1, 1), (2, 2)))


def test_merge_unit_where_it_pays() -> None:
    """Many lanes need weights faster than one lane merges them; few do not."""
    network = Config.preset("mnist-3962").network
    many, few = chip_for(network, lanes=64, batch=64), chip_for(network, lanes=4, batch=64)
    assert many.merge_depth and not few.merge_depth
    unit, lanes = (
        plan(network, chip, batch=64).step_cost("rge", queries=10, baseline=Baseline.MEAN)
        for chip in (many, chip_for(network, lanes=64, batch=64, merge_depth=0))
    )
    assert unit.use(64) > 0.95
    assert unit.hidden > 0 and not lanes.hidden
    assert unit.parts["preparing"] < 0.002 * unit.cycles < lanes.parts["preparing"]


def test_copies_follow_one_another() -> None:
    """With two banks, the third copy is prepared when the first is evaluated, and so on."""
    work = Contract((), (Level(1000, result=1),), (0, 0, 0, 0), Source.INPUT, Result.LOGIT, 0)
    merge = replace(work, kept=(Level(10, result=1), Level(20, result=10)), evaluation_levels=1)
    short = Overlap((merge,), (work,), n_parameters=50, passes=1, gap=0)
    prepared = short.preparing_cycles
    assert 250 < prepared < 300
    assert short.evaluated(4) == prepared + 4 * 1000
    # Of results that are factors themselves, each takes a cycle more.
    assert replace(short, factors=1).preparing_cycles == prepared + 200
    # Evaluations shorter than preparations wait for every one of them.
    tiny = replace(short, forward=(replace(work, kept=(Level(100, result=1),)),))
    assert tiny.evaluated(4) == 4 * prepared + 100
    # What is announced part by part is waited for part by part.
    waits = replace(work, kept=(Level(5, result=1),), sync=True)
    parts = replace(
        short,
        merge=(replace(merge, sync=True),),
        forward=(Loop((20,), (waits,)),),
    )
    assert parts.evaluated(1) == prepared + 5
    # Work that waits for nothing begins with the first part, and the others come meanwhile.
    early = replace(parts, forward=(work, *[waits] * 20))
    assert early.evaluated(1) == prepared - 19 * 10 + 1000 + 20 * 5
