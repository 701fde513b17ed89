"""The best chip of a network for a board: what ``chip = "auto"`` stands for.

Chips are compared in this order:

1. those that run the whole training before those that leave out its CGE stage;
2. the configuration's own formats before those of a preset with the same layers;
3. CGE by environments before CGE by forward passes;
4. more lanes, a power of two;
5. fewer cycles of the whole training (:mod:`zerotrain.boards.economies`).

What fits is an estimate (:func:`zerotrain.boards.estimate.may_fit`): only synthesis knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from zerotrain.boards.catalogue import Board
from zerotrain.boards.economies import ExactInput, changed, fastest
from zerotrain.boards.estimate import shortage
from zerotrain.boards.family import Resource
from zerotrain.config.config import Config, preset_names
from zerotrain.config.toml import scalar
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats
from zerotrain.spec.words import counted

__all__ = ["Found", "search"]

_WAYS = {
    Cge.ENVIRONMENTS: "CGE by environments",
    Cge.FORWARD: "CGE by forward passes",
    Cge.NONE: "RGE only",
}


@dataclass(frozen=True, slots=True)
class Found:
    """An explicit configuration, and why it is this one, a sentence each."""

    config: Config
    reasons: tuple[str, ...]


@dataclass
class _Misses:
    """For every way to do CGE, the chip that came nearest to fitting, and what it lacked."""

    board: Board
    best: dict[tuple[Cge, int], tuple[float, str]] = field(default_factory=dict)

    def note(self, chip: Chip) -> None:
        lacks = shortage(chip, self.board)
        excess = sum(need / max(1, there) - 1 for need, there in lacks.values())
        text = ", ".join(f"{need} {r}s of {there}" for r, (need, there) in lacks.items())
        key = chip.cge, chip.lanes
        if text and (key not in self.best or excess < self.best[key][0]):
            self.best[key] = excess, text

    def nearest(self, cge: Cge) -> str:
        """What the smallest chip lacks; empty if none was tried."""
        found = [(miss, lanes) for (kind, lanes), miss in self.best.items() if kind == cge]
        if not found:
            return ""
        (_, text), lanes = min(found)
        return f"{counted(lanes, 'lane')} would take {text}"


def search(config: Config, board: Board, exact_input: ExactInput = lambda: None) -> Found:
    """The best chip for a board, written out key by key.

    Parameters
    ----------
    config : Config
        With ``chip.auto``; keys that it gives besides are kept.
    exact_input : callable
        The narrowest format that holds the data exactly, if there is one.

    Raises
    ------
    ValueError
        If no chip fits, naming what the smallest would take.
    """
    misses = _Misses(board)
    for kinds in _stages(config):
        for preset, formats in _formats(config):
            for cge in kinds:
                start = _start(config, cge, formats)
                for lanes in _lanes(start, board):
                    trial = changed(start, lanes=lanes)
                    found = fastest(trial, board, exact_input, misses.note)
                    if found is not None:
                        return Found(found, tuple(_reasons(config, found, board, preset, misses)))
    tried = (f"{_WAYS[cge]}: {misses.nearest(cge)}" for cge in Cge if misses.nearest(cge))
    raise ValueError(
        f"No chip for network {config.network.name} fits {board.name} ({board.part}): "
        f"{'; '.join(tried) or 'none holds it'}. A smaller batch, smaller modes and narrower "
        "formats take less"
    )


def _stages(config: Config) -> Iterator[list[Cge]]:
    """Ways to do CGE, those that run the whole training first."""
    fixed, training = config.chip.fixed.get("cge"), config.training
    if fixed is not None:
        yield [Cge(fixed)]
        return
    if training is None or training.cge is not None:
        yield [Cge.ENVIRONMENTS] * config.network.has_differences + [Cge.FORWARD]
    if training is None or training.rge is not None:
        yield [Cge.NONE]


def _formats(config: Config) -> Iterator[tuple[str, Formats]]:
    """The configuration's formats, then those of presets with the same layers, which were tried
    for them."""
    seen = [config.chip.formats]
    yield "", config.chip.formats
    for name in preset_names():
        other = Config.preset(name)
        same = (other.network.layers, other.network.loss)
        formats = other.chip.formats
        if same == (config.network.layers, config.network.loss) and formats not in seen:
            seen.append(formats)
            yield name, formats


def _start(config: Config, cge: Cge, formats: Formats) -> Config:
    """An explicit configuration without lanes; without a CGE stage that its chip would refuse."""
    chip = replace(config.chip, auto=False, formats=formats)
    training = config.training
    if training is not None and training.cge is not None and not cge.kind.steps:
        training = replace(training, cge=None)
    return changed(replace(config, chip=chip, training=training), cge=cge)


def _lanes(config: Config, board: Board) -> list[int]:
    """Lanes to try, most first: no more than multipliers, or than a batch fills."""
    if config.chip.lanes:
        return [config.chip.lanes]
    most = min(64, board.resources[Resource.MULTIPLIER], 1 << (config.batch - 1).bit_length())
    if board.family.lanes_merge:
        most = min(most, 8)
    return [1 << bits for bits in range(most.bit_length() - 1, -1, -1)]


def _reasons(
    asked: Config, found: Config, board: Board, preset: str, misses: _Misses
) -> Iterator[str]:
    chip, formats = found.build_chip(), found.chip.formats
    keys: dict[str, Any] = {"lanes": chip.lanes, **found.chip.fixed}
    settings = [f"{key} = {scalar(value)}" for key, value in keys.items()]
    yield f"Chosen for {board.name}: {', '.join(settings)}."
    if preset:
        yield f"With the configuration's own formats nothing fits: those of preset {preset} do."
    narrow = formats.input != asked.chip.formats.input and not preset
    if narrow:
        yield f'formats.input = "{formats.input}" holds the data without rounding, in fewer bits.'
    for cge in (Cge.ENVIRONMENTS, Cge.FORWARD, Cge.NONE):
        if cge == chip.cge:
            break
        if misses.nearest(cge):
            yield f"{_WAYS[cge]} does not fit: {misses.nearest(cge)}."
    _, text = misses.best.get((chip.cge, 2 * chip.lanes), (0.0, ""))
    if text and not preset:
        yield f"{2 * chip.lanes} lanes would take {text}."
    training = asked.training
    if training is not None and training.cge is not None and not chip.cge.kind.steps:
        yield "The stage [training.cge] is left out: no chip with CGE fits."
