"""A configuration that suits a board, and what would where none does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from zerotrain.boards.auto import search
from zerotrain.boards.catalogue import BOARDS, Board
from zerotrain.boards.economies import ExactInput, changed, fastest
from zerotrain.boards.estimate import check_fits, fits, misfit
from zerotrain.config.config import AUTO, ChipOptions, Config, preset_names
from zerotrain.spec.chip import Chip, Core
from zerotrain.spec.words import counted

__all__ = ["Suited", "check_suits", "suited", "with_board", "with_fitting_banks"]

#: What a chip is made of is not looked for, unless it is asked for.
_MADE_OF = ("cge", "core", "store", "loops")


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
    return changed(config, sample_banks=1)


def suited(
    config: Config,
    board: Board | None,
    *,
    keep_lanes: bool = False,
    exact_input: ExactInput = lambda: None,
) -> Suited:
    """The configuration as the board holds it, where it can.

    Where its chip is to be searched for, see :mod:`zerotrain.boards.auto`. Otherwise its lanes
    stay, if their memories fit, with one bank of samples, less scratch memory or without a merge
    unit. If not, it gets the largest power of two of lanes that fits, unless they are to be kept,
    or the part is too small for such lanes whatever their number. A chip that does not fit comes
    back as it was, for :func:`check_suits` to refuse.

    Raises
    ------
    ValueError
        If no chip is found where one is searched for.
    """
    if config.chip.auto and board is not None:
        try:
            found = search(config, board, exact_input)
        except ValueError as error:
            raise ValueError(f"{error}; {_advice(config, board)}") from None
        return Suited(found.config, found.reasons)
    own = with_fitting_banks(with_board(config, board, None), board)
    if board is None or not _can_shrink(own, board):
        return Suited(own)
    problem = misfit(own.build_chip(), board)
    if not problem:
        return Suited(own)
    lanes = [own.chip.lanes] if keep_lanes else [own.chip.lanes, *_fewer(own)]
    smaller = next(_shrunk(own, board, lanes), None)
    if smaller is None:
        return Suited(own)
    saved = {k: v for k, v in smaller.chip.fixed.items() if own.chip.fixed.get(k) != v}
    named = ", ".join(f"{key} = {value}" for key, value in saved.items())
    if smaller.chip.lanes == own.chip.lanes:
        return Suited(smaller, (f"With {named}: the {problem}",))
    added = f", with {named}" if named else ""
    fewer = counted(smaller.chip.lanes, "lane")
    return Suited(smaller, (f"{fewer} instead of {own.chip.lanes}{added}: the {problem}",))


def _can_shrink(config: Config, board: Board) -> bool:
    """Small parts hold lanes of the compact core only, however few."""
    return not board.family.lanes_merge or config.chip.fixed.get("core") == Core.COMPACT


def _fewer(config: Config) -> list[int]:
    """Powers of two of lanes, most first."""
    return [1 << bits for bits in range((config.chip.lanes - 1).bit_length() - 1, -1, -1)]


def _shrunk(config: Config, board: Board, lanes: list[int]) -> Iterator[Config]:
    """The configuration with each of those lanes with which it fits, made of the same."""
    fixed = {key: getattr(Chip(2), key) for key in _MADE_OF} | config.chip.fixed
    for count in lanes:
        trial = changed(config, lanes=count, **fixed)
        try:
            found = fastest(trial, board, lambda: None)
        except ValueError:
            continue
        if found is not None:
            kept = {k: v for k, v in found.chip.fixed.items() if k not in _MADE_OF}
            own = {k: v for k, v in config.chip.fixed.items() if k in _MADE_OF}
            yield replace(found, chip=replace(found.chip, fixed=own | kept))


def check_suits(config: Config, chip: Chip, board: Board) -> None:
    """Refuse a configuration's chip that cannot fit a board, and name what would: another chip of
    the same network, fewer lanes, a preset of the same layers, a larger board.

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
    if not config.chip.auto:
        if _can_shrink(config, board):
            fewer = next(_shrunk(config, board, _fewer(config)), None)
            found += [f"--lanes {fewer.chip.lanes}"] if fewer else []
        chosen = _searched(config, board)
        if chosen is not None:
            less = "" if chosen.training == config.training else " (without CGE)"
            found.append(f"--set chip={AUTO}{less}")
    found += [f"--preset {name}" for name, it in _presets(config) if _holds(board, it, [])][:1]
    others = (b for b in BOARDS.values() if b is not board)
    larger = (b for b in others if _holds(b, config, _fewer(config)))
    found += [f"--board {b.name}" for b in larger][:1]
    return f"what fits: {' or '.join(found)}" if found else "no known board holds it"


def _presets(config: Config) -> Iterator[tuple[str, Config]]:
    """Presets of the same layers, with another chip or training."""
    network = config.network
    for name in preset_names():
        other = Config.preset(name)
        same = (other.network.layers, other.network.loss) == (network.layers, network.loss)
        if same and other != config:
            yield name, other


def _searched(config: Config, board: Board) -> Config | None:
    """The best chip for the network, of whatever it is made."""
    options = ChipOptions(0, config.chip.formats, {}, auto=True)
    try:
        return search(replace(config, chip=options), board).config
    except ValueError:
        return None


def _holds(board: Board, config: Config, fewer: list[int]) -> bool:
    """Whether a board holds the configuration, with its own lanes or fewer."""
    if config.chip.auto:
        return _searched(config, board) is not None
    try:
        trial = with_board(config, board, None)
        lanes = [config.chip.lanes, *fewer]
        return _can_shrink(config, board) and next(_shrunk(trial, board, lanes), None) is not None
    except ValueError:
        return False
