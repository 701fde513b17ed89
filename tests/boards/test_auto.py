"""``chip = "auto"``: which chip is chosen for a board, written out in its configuration."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zerotrain.boards.auto import Found, search
from zerotrain.boards.catalogue import BOARDS, find_board
from zerotrain.boards.estimate import expected_resources, least_resources, may_fit
from zerotrain.boards.family import Resource
from zerotrain.boards.routed import load_routing
from zerotrain.boards.suit import suited
from zerotrain.config.changes import changed
from zerotrain.config.config import ChipOptions, Config
from zerotrain.data import load
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, cge_losses
from zerotrain.host.session import Session
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import QFormat


def automatic(preset: str, **fixed: Any) -> Config:
    config = Config.preset(preset)
    return replace(config, chip=ChipOptions(0, config.chip.formats, fixed, auto=True))


def chosen(preset: str, board: str, **fixed: Any) -> tuple[Found, Chip]:
    found = search(automatic(preset, **fixed), find_board(board), lambda: QFormat(6, 3))
    chip = found.config.build_chip()
    assert may_fit(chip, find_board(board))
    again = Config.parse(found.config.to_toml())
    assert not again.chip.auto and again.build_chip() == chip
    return found, chip


def test_the_structure_of_digits_small_on_the_small_board() -> None:
    found, chip = chosen("digits", "icebreaker")
    small = Config.preset("digits-small").build_chip()
    assert replace(chip, lfsr_degree=32) == small
    assert found.config.training == Config.preset("digits").training
    assert found.reasons == (
        'Chosen for icebreaker: lanes = 8, cge = "forward", core = "compact", store = "spram", '
        "loops = false, merge_depth = 0, sample_banks = 1.",
        'formats.input = "Q2.3" holds the data without rounding, in fewer bits.',
        "CGE by environments does not fit: 4 lanes would take 5498 logic cells of 5280.",
    )


def test_networks_with_sines_have_no_environments() -> None:
    asked = changed(automatic("diabetes"), {"layers.1.activation": "sine"})
    found = search(asked, find_board("ulx3s-25f"))
    chip = found.config.build_chip()
    assert chip.sine and chip.cge == Cge.FORWARD
    assert not any(reason.startswith("CGE by environments") for reason in found.reasons)


def test_tested_formats_and_no_cge_where_nothing_else_fits() -> None:
    found, chip = chosen("mnist-3962", "icebreaker")
    assert (chip.lanes, chip.cge, chip.store) == (8, Cge.NONE, Store.COMMON)
    assert chip.formats == Config.preset("mnist-small").chip.formats
    training, asked = found.config.training, Config.preset("mnist-3962").training
    assert training is not None and asked is not None
    assert training.cge is None and training.rge == asked.rge
    assert found.reasons[1] == (
        "With the configuration's own formats nothing fits: those of preset mnist-small do."
    )
    assert found.reasons[-1] == "The stage [training.cge] is left out: no chip with CGE fits."


def test_sixteen_lanes_without_a_merge_unit() -> None:
    """The chip that was routed for this board."""
    found, chip = chosen("mnist-3962", "ulx3s-45f")
    assert (chip.lanes, chip.merge_depth, chip.scratch_depth, chip.sample_banks) == (16, 0, 1024, 1)
    assert chip.cge == Cge.ENVIRONMENTS
    assert found.reasons[1:] == ("32 lanes would take 112 block RAMs of 108.",)


def test_the_preset_itself_where_it_fits() -> None:
    board = find_board("ulx3s-85f")
    _, chip = chosen("mnist-3962", "ulx3s-85f")
    assert chip == suited(Config.preset("mnist-3962"), board).config.build_chip()


def test_given_keys_are_kept() -> None:
    _, chip = chosen("digits", "ulx3s-25f", lfsr_degree=32, cge=Cge.FORWARD)
    assert (chip.lfsr_degree, chip.cge, chip.core) == (32, Cge.FORWARD, Core.PIPELINED)
    config = automatic("digits")
    four = replace(config, chip=replace(config.chip, lanes=4))
    assert search(four, find_board("ulx3s-25f")).config.chip.lanes == 4


def test_a_training_without_cge_needs_none() -> None:
    _, chip = chosen("mnist-small", "icebreaker")
    assert chip.cge == Cge.NONE


def test_nothing_fits() -> None:
    with pytest.raises(ValueError) as caught:
        search(automatic("mnist-dense-7940"), find_board("icebreaker"))
    assert str(caught.value) == (
        "No chip for network mnist-dense-7940 fits icebreaker (iCE40UP5K-SG48): RGE only: 4 lanes "
        "would take 9 SPRAMs of 4; CGE by forward passes: 4 lanes would take 11 SPRAMs of 4; CGE "
        "by environments: one lane would take 254 block RAMs of 30. A smaller batch, smaller modes "
        "and narrower formats take less"
    )


def test_expected_resources_are_those_of_routed_chips() -> None:
    """Multipliers exactly; logic to a tenth; block RAMs never less."""
    presets = {"digits-small-icebreaker": "digits-small", "mnist-small-icebreaker": "mnist-small",
               "digits-ulx3s-25f": "digits", "mnist-3962-ulx3s-85f": "mnist-3962"}  # fmt: skip
    sites = {"MULT18X18D": Resource.MULTIPLIER, "ICESTORM_DSP": Resource.MULTIPLIER,
             "DP16KD": Resource.BLOCK_RAM, "ICESTORM_RAM": Resource.BLOCK_RAM,
             "TRELLIS_COMB": Resource.LUT, "ICESTORM_LC": Resource.LOGIC}  # fmt: skip
    seen = 0
    for row in load_routing():
        preset = presets.get(f"{row['network']}-{row['board']}")
        if preset is None:
            continue
        board = BOARDS[row["board"]]
        chip = suited(Config.preset(preset), board).config.build_chip()
        expected = expected_resources(chip, board)
        used = next(iter(row["seeds"].values()))["sites"]
        for site, resource in sites.items():
            if site in used:
                count = used[site]["used"]
                if resource == Resource.MULTIPLIER:
                    assert expected[resource] == count, (preset, site)
                elif resource == Resource.BLOCK_RAM:
                    assert expected[resource] == count, (preset, site)
                else:
                    assert 0.9 * count <= expected[resource] <= 1.1 * count, (preset, site)
                seen += 1
    assert seen == 12
    chip = Chip(2)
    assert (
        least_resources(chip, BOARDS["ulx3s-25f"]).keys()
        <= expected_resources(chip, BOARDS["ulx3s-25f"]).keys()
    )


def test_an_exact_input_changes_no_bit() -> None:
    data = load("digits")
    exact = data.exact_input()
    assert exact == QFormat(6, 3)
    config = Config.preset("digits")
    session, network = Session.of(config), config.network
    theta = np.random.default_rng(3).integers(-4000, 4000, network.n_parameters)
    found = []
    for fmt in (config.chip.formats.input, exact):
        model = Model(network, replace(config.chip.formats, input=fmt), session.plan.groups, 8)
        samples, flags = data.test.take(np.arange(4)).quantize(model.formats), Flags()
        losses = cge_losses(model, theta, samples.x, samples.targets, flags)
        found.append((losses.tolist(), flags.value))
    assert found[0] == found[1] and len({*found[0][0]}) > 400
