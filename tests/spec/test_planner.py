"""Planner: counted work against closed formulas, memories, refusals."""

from dataclasses import replace
from math import prod

import pytest

from zerotrain.spec.config import Config
from zerotrain.spec.network import Activation, Layer, Network, dense
from zerotrain.spec.planner import candidates, chip_for, plan
from zerotrain.spec.program import Loop, Result


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
    # Every parameter is evaluated once, and the base loss.
    evaluations = sum(
        item.evaluations
        for item in found.sections["cge"]
        if (item.body[-1] if isinstance(item, Loop) else item).result
        in (Result.LOGIT, Result.DLOGIT)
    )
    assert evaluations == network.n_parameters + 1


def test_choice_is_the_cheapest_candidate() -> None:
    network = Config.preset("digits").network
    chip = chip_for(network, lanes=8, batch=32)
    rows = candidates(network, chip.formats, 32, 8)
    found = plan(network, chip, batch=32)
    for index, sizes in enumerate(found.groups):
        best = min((r for r in rows if r["layer"] == index), key=lambda r: r["cycles"])
        assert best["groups"] == sizes


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
