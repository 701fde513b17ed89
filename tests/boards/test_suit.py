"""A board's chip: the preset's lanes where they fit, and what would fit where nothing does."""

import re
from dataclasses import replace

import pytest

from zerotrain.boards.catalogue import find_board
from zerotrain.boards.suit import check_suits, suited
from zerotrain.config.config import Config
from zerotrain.spec.chip import Cge


def test_lanes_of_the_configuration_where_they_fit() -> None:
    config = Config.preset("mnist-3962")
    found = suited(config, find_board("ulx3s-85f"))
    assert (found.config.chip.lanes, found.changes) == (64, ())
    assert suited(config, None).config.build_chip() == config.build_chip()


def test_fewer_lanes_are_said_with_their_reason() -> None:
    config, board = Config.preset("mnist-3962"), find_board("ulx3s-45f")
    found = suited(config, board)
    lanes = found.config.chip.lanes
    assert lanes == 16  # without a merge unit: with one, four
    (sentence,) = found.changes
    assert sentence.startswith(
        "16 lanes instead of 64, with merge_depth = 0, scratch_depth = 1024, sample_banks = 1: the "
        "LFE5U-45F-6BG381C has 108 block RAMs, the chip needs "
    )
    assert found.config.build_chip().cge == Cge.ENVIRONMENTS
    check_suits(found.config, found.config.build_chip(), board)
    doubled = replace(config, chip=replace(config.chip, lanes=2 * lanes))
    with pytest.raises(
        ValueError, match=r"; what fits: --lanes 16 or --set chip=auto or --board ulx3s-85f$"
    ):
        check_suits(doubled, doubled.build_chip(), board)
    kept = suited(config, board, keep_lanes=True)
    assert (kept.config.chip.lanes, kept.changes) == (64, ())


@pytest.mark.parametrize(
    ("preset", "board", "advice"),
    [
        (
            "digits",
            "icebreaker",
            "what fits: --set chip=auto or --preset digits-small or --board ulx3s-25f",
        ),
        (
            "mnist-3962",
            "icebreaker",
            "what fits: --set chip=auto (without CGE) or --preset mnist-small or --board ulx3s-45f",
        ),
        ("mnist-8314", "ulx3s-25f", "what fits: --board ulx3s-85f"),
    ],
)
def test_refusals_name_what_fits(preset: str, board: str, advice: str) -> None:
    target = find_board(board)
    found = suited(Config.preset(preset), target)
    assert not found.changes
    with pytest.raises(ValueError, match=rf"does not fit {board}: .*; {re.escape(advice)}$"):
        check_suits(found.config, found.config.build_chip(), target)
