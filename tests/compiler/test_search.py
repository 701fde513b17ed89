"""The bounded search against an exhaustive one: every split of TT-cores, lowered and counted."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.candidates import choose, forward_candidates
from zerotrain.compiler.contraction import overhead
from zerotrain.compiler.lowering import Lowering
from zerotrain.compiler.planner import chip_for, plan
from zerotrain.compiler.search import ways
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Network, dense

ALIKE = Formats(input=QFormat(6, 3), preact=QFormat(6, 2))
CHIPS = {
    "pipelined": Chip(lanes=4),
    "merge unit": Chip(lanes=8, weight_depth=1 << 16, merge_depth=1 << 12),
    "no loops": Chip(lanes=3, cge=Cge.FORWARD, loops=False),
    "compact": Chip(lanes=5, core=Core.COMPACT, loss_ways=1),
    "common": Chip(
        lanes=8, core=Core.COMPACT, store=Store.COMMON, cge=Cge.NONE, sample_banks=1, loss_ways=1,
        formats=ALIKE,
    ),
}  # fmt: skip


def compositions(n: int) -> Iterator[tuple[int, ...]]:
    """Every ordered split of n into positive parts."""
    if n == 0:
        yield ()
    for head in range(1, n + 1):
        for tail in compositions(n - head):
            yield head, *tail


def exhaustive(network: Network, chip: Chip, batch: int) -> list[dict[str, Any]]:
    """Every choice of groups and tiling of every layer, each lowered as a whole."""
    passes, out = chip.layout.passes(batch), []
    for index, layer in enumerate(network.layers):
        for sizes, tiled in product(compositions(layer.n_tt_cores), (False, True)):
            if tiled and not (chip.loops and Lowering.can_tile(network, index, sizes)):
                continue
            if chip.common and len(sizes) == 1 and index < len(network.layers) - 1:
                continue
            scratch = Allocator()
            lowering = Lowering(network, chip.formats, scratch, merge_unit=chip.merge_depth > 0)
            keys = lowering.groups_of(index, sizes)
            lowering.merging.place_factors(keys)
            lowering.merging.place(keys)
            merging = [contract for key in keys for contract in lowering.merging.make(key)]
            applied = lowering.forward_layer(index, sizes, tiled=tiled)
            merge_macs, macs = (sum(c.beats for c in code) for code in (merging, applied))
            once = merge_macs + overhead(merging, chip)
            applying = passes * (macs + overhead(applied, chip))
            unit = max(applying, once) + once // 8
            items = [*merging, *applied]
            out.append(
                {
                    "layer": index,
                    "groups": sizes,
                    "tiled": tiled,
                    "macs": macs,
                    "merge_macs": merge_macs,
                    "scratch": scratch.peak,
                    "weights": (2 if chip.merge_depth else 1) * lowering.merging.words,
                    "cycles": unit if chip.merge_depth else applying + once,
                    "largest": max(item.largest_count for item in items),
                    "terms": max(item.terms for item in items),
                }
            )
    return out


def draw_layers(rng: random.Random, most: int) -> Network:
    """Two layers of up to so many TT-cores, some of them dense."""
    d = rng.randint(2, most)
    middle = [rng.choice((1, 1, 2, 3)) for _ in range(d)]
    middle[0] += 1
    hidden = 1
    for mode in middle:
        hidden *= mode
    ranks = tuple(rng.randint(1, 4) for _ in range(d - 1))
    inputs = tuple(rng.choice((1, 2, 2, 3)) for _ in range(d))
    first = Layer(inputs, tuple(middle), ranks, rng.random() < 0.7, Activation.RELU)
    if rng.random() < 0.3:
        return Network((first, dense(hidden, 5)))
    outputs = tuple(rng.choice((1, 1, 2)) for _ in range(d - 1))
    last = Layer(tuple(middle), (*outputs, 3), tuple(rng.randint(1, 4) for _ in range(d - 1)))
    return Network((first, last))


@pytest.mark.parametrize("name", CHIPS)
def test_all_ways_of_few_tt_cores(name: str) -> None:
    """The same ways in the same order, and each costs what its lowering costs."""
    rng, chip = random.Random(name), CHIPS[name]
    for most in (3, 3, 4, 4, 5, 6, 8):
        network, batch = draw_layers(rng, most), rng.randint(1, 30)
        found = [
            {
                "layer": c.layer, "groups": c.groups, "tiled": c.tiled, "macs": c.macs,
                "merge_macs": c.merge_macs, "scratch": c.scratch, "weights": c.weights,
                "cycles": c.cycles, "largest": c.largest, "terms": c.terms,
            }
            for c in forward_candidates(network, chip, batch)
        ]  # fmt: skip
        assert found == exhaustive(network, chip, batch)


@pytest.mark.parametrize("name", CHIPS)
def test_a_choice_knows_what_it_takes(name: str) -> None:
    """Groups and environments share arrays; what is left adds up to what the plan needs."""
    rng, batch = random.Random(name + "!"), 8
    small = CHIPS[name]
    chip = replace(
        small, sample_depth=4096, preact_depth=4096, parameter_depth=4096, evaluation_depth=4097,
        target_depth=64, output_depth=64, program_depth=4096, weight_depth=1 << 16, acc_width=48,
    )  # fmt: skip
    for most in (3, 4, 4, 5, 6):
        network = draw_layers(rng, most)
        takes = choose(network, chip, batch).takes
        words = plan(network, chip, batch=batch).words
        assert takes["rows"] == words["program_depth"]
        weights = max(takes["bank"], takes["weights"])
        assert weights + (weights % 2 and chip.has_merge_unit) == words["weight_depth"]
        assert takes["factors"] == words.get("merge_depth", 0)
        assert takes["scratch"] <= words["scratch_depth"]


def test_many_tt_cores_take_seconds() -> None:
    """20 of them could be grouped in half a million ways."""
    modes = (2,) * 9 + (1,) * 11
    layer = Layer(modes, (1,) * 16 + (2,) * 4, (2,) * 19, activation=Activation.RELU)
    network = Network((layer, dense(16, 10)))
    start = time.perf_counter()
    chip = chip_for(network, lanes=8, batch=8, cge=Cge.FORWARD)
    found = plan(network, chip, batch=8)
    assert sum(found.groups[0]) == 20
    assert len(found.candidates()["forward"]) < 20 * 128 + 1
    assert time.perf_counter() - start < 60


def test_the_search_is_no_worse_where_it_leaves_out_ways() -> None:
    """Of a layer of 10 TT-cores, the best of all ways is among those that are followed."""
    rng = random.Random(4)
    chip = CHIPS["pipelined"]
    for _ in range(3):
        modes = tuple(rng.choice((1, 2)) for _ in range(10))
        layer = Layer(modes, (2,) * 3 + (1,) * 7, tuple(rng.randint(1, 3) for _ in range(9)))
        network = Network((layer,))
        _, followed = ways(network, chip, 0)
        assert len(followed) < 1 << 9
        least = min(row["cycles"] for row in exhaustive(network, chip, 4))
        assert least == min(c.cycles for c in forward_candidates(network, chip, 4))


def test_what_no_chip_holds_is_refused_at_once() -> None:
    """In a group with neighbours on both sides, a rank may be as many instructions."""
    rank = 1_000_000
    modes = (2, 2, 2, 2, 2, 2)
    network = Network((Layer(modes, modes, (rank,) * 5),))
    start = time.perf_counter()
    with pytest.raises(
        ValueError, match=r"^Network network has 16,000,008,000,064 parameters, a chip has at most"
    ):
        chip_for(network)
    with pytest.raises(ValueError, match=r"does not fit the chip: parameter_depth is 512, needed"):
        plan(network, Chip(lanes=8))
    assert time.perf_counter() - start < 5
