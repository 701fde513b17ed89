"""A configuration that suits a board, and what would where none does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from zerotrain.boards.catalogue import BOARDS, Board
from zerotrain.boards.estimate import check_fits, fits, misfit
from zerotrain.config.config import Config, preset_names
from zerotrain.spec.chip import Chip, Core

__all__ = ["Suited", "check_suits", "suited", "with_board", "with_fitting_banks"]


@dataclass(frozen=True, slots=True)
class Suited:
    """A configuration for a board, and what was changed to make it fit, a sentence each."""

    config: Config
    changes: tuple[str, ...] = ()


def with_board(config: Config, board: Board | None, lanes: int | None) -> Config:
    """The configuration with the lanes asked for, if any.

    On small families, the lanes merge unless the configuration says otherwise.
    """
    values: Any = config.to_dict()
    if lanes is not None:
        values["chip"]["lanes"] = lanes
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


def suited(config: Config, board: Board | None, *, keep_lanes: bool = False) -> Suited:
    """The configuration as the board holds it, where it can.

    Its lanes stay, if their memories fit with one bank of samples at least. Otherwise it gets the
    largest power of two of lanes that fits, unless they are to be kept, or the part is too small
    for such lanes whatever their number. A chip that does not fit comes back as it was, for
    :func:`check_suits` to refuse.
    """
    own = with_fitting_banks(with_board(config, board, None), board)
    if board is None or keep_lanes or not _can_shrink(own, board):
        return Suited(own)
    problem = misfit(own.build_chip(), board)
    fewer = next(_fewer_lanes(own, board), None) if problem else None
    if fewer is None:
        return Suited(own)
    return Suited(fewer, (f"{fewer.chip.lanes} lanes instead of {own.chip.lanes}: the {problem}",))


def _can_shrink(config: Config, board: Board) -> bool:
    """Small parts hold lanes of the compact core only, however few."""
    return not board.family.lanes_merge or config.chip.fixed.get("core") == Core.COMPACT


def _fewer_lanes(config: Config, board: Board) -> Iterator[Config]:
    """The configuration with fewer lanes that fit, most first."""
    for bits in range((config.chip.lanes - 1).bit_length() - 1, -1, -1):
        found = _fitting(with_board(config, board, 1 << bits), board)
        if found is not None:
            yield found


def _fitting(config: Config, board: Board) -> Config | None:
    """The configuration with the banks that fit the board, if it is a chip that does."""
    try:
        found = with_fitting_banks(config, board)
        return found if fits(found.build_chip(), board) else None
    except ValueError:
        return None


def check_suits(config: Config, chip: Chip, board: Board) -> None:
    """Refuse a configuration's chip that cannot fit a board, and name what would: fewer lanes, a
    preset for the same data, a larger board.

    Raises
    ------
    ValueError
        As :func:`~zerotrain.boards.estimate.check_fits` does.
    """
    if not fits(chip, board):
        check_fits(chip, board, advice=_advice(config, board))


def _advice(config: Config, board: Board) -> str:
    """What would fit, in the words of a command."""
    found = []
    if _can_shrink(config, board):
        found += [f"--lanes {fewer.chip.lanes}" for fewer in [*_fewer_lanes(config, board)][:1]]
    found += [f"--preset {name}" for name in _like(config) if _holds(board, Config.preset(name))]
    larger = (b for b in BOARDS.values() if b is not board and _holds(b, config))
    found += [f"--board {b.name}" for b in larger][:1]
    return f"what fits: {' or '.join(found)}" if found else "no known board holds it"


def _like(config: Config) -> list[str]:
    """Presets for data of the same sizes."""
    network = config.network
    sizes = network.n_inputs, network.n_outputs, network.loss
    found = ((name, Config.preset(name).network) for name in preset_names())
    return [
        name
        for name, other in found
        if (other.n_inputs, other.n_outputs, other.loss) == sizes and other != network
    ]


def _holds(board: Board, config: Config) -> bool:
    return _can_shrink(config, board) and (
        _fitting(with_board(config, board, None), board) is not None
    )
