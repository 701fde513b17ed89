"""A configuration that suits a board."""

from dataclasses import replace
from typing import Any

from zerotrain.boards.catalogue import Board
from zerotrain.boards.estimate import fits
from zerotrain.config.config import Config

__all__ = ["with_board", "with_fitting_banks"]


def with_board(config: Config, board: Board | None, lanes: int | None) -> Config:
    """The configuration with the lanes asked for, by default those that suit the board.

    On small families, the lanes merge unless the configuration says otherwise.
    """
    values: Any = config.to_dict()
    chosen = lanes if lanes is not None else board.default_lanes if board else None
    if chosen is not None:
        values["chip"]["lanes"] = chosen
    if board is not None and board.family.lanes_merge:
        values["chip"].setdefault("merge_depth", 0)
    return Config.from_dict(values)


def with_fitting_banks(config: Config, board: Board | None) -> Config:
    """The configuration with one bank of samples, where two are more than the board holds and one
    is not. One that says how many banks it wants stays as it is.
    """
    options = config.chip
    if board is None or "sample_banks" in options.fixed:
        return config
    chip = config.build_chip()
    if fits(chip, board) or not fits(replace(chip, sample_banks=1), board):
        return config
    return replace(config, chip=replace(options, fixed=options.fixed | {"sample_banks": 1}))
