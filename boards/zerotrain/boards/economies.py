"""The fastest chip of given lanes that fits a board: what it saves memory by, and what that costs.

A chip is made smaller in ways that leave every bit of a step as it is (docs/small-chips.md): one
bank of samples, input words as narrow as the data allow, less scratch memory, no merge unit, other
stores. Keys that a configuration fixes stay as they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from zerotrain.boards.catalogue import Board
from zerotrain.boards.estimate import may_fit
from zerotrain.boards.family import Resource
from zerotrain.compiler.planner import plan
from zerotrain.config.config import Config
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import QFormat

__all__ = ["ExactInput", "changed", "fastest"]

#: Format of inputs that holds the data without rounding, None where none does, or data are not at
#: hand. It is asked late: data take a while to load.
ExactInput = Callable[[], QFormat | None]

#: Words of scratch memory below which no smaller one is tried.
_LEAST_SCRATCH = 32


def changed(config: Config, **keys: Any) -> Config:
    """The configuration with other keys of its chip; None leaves one as it is."""
    options = config.chip
    given = {key: value for key, value in keys.items() if value is not None}
    lanes, formats = given.pop("lanes", options.lanes), given.pop("formats", options.formats)
    chip = replace(options, lanes=lanes, formats=formats, fixed=options.fixed | given)
    return replace(config, chip=chip)


def fastest(
    config: Config,
    board: Board,
    exact_input: ExactInput,
    note: Callable[[Chip], None] = lambda chip: None,
) -> Config | None:
    """The configuration with the keys of the chip whose training takes the fewest cycles, of those
    that probably fit; None if none does. ``note`` is told of every smallest chip that does not."""
    best: tuple[int, Config] | None = None
    for structure in _structures(config, board):
        trial = changed(config, **structure)
        if not _possible(trial, board, exact_input, note):
            continue
        found = _roomiest(trial, board, exact_input, note)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    return best[1] if best else None


def _structures(config: Config, board: Board) -> Iterator[dict[str, Any]]:
    """What the chip may be made of, the simplest first."""
    small, fixed = board.family.lanes_merge, config.chip.fixed
    choices: dict[str, list[Any]] = {
        "core": [Core.COMPACT if small else Core.PIPELINED],
        "store": [*Store] if board.resources.get(Resource.SPRAM) else [Store.BLOCKS],
        # Without loops, the sequencer is smaller.
        "loops": [False, True] if small else [True],
        "merge_depth": [0] if small else [None, 0],
    }
    own = {key: [fixed[key]] if key in fixed else values for key, values in choices.items()}
    for values in product(*own.values()):
        yield dict(zip(own, values, strict=True))


def _possible(
    config: Config, board: Board, exact_input: ExactInput, note: Callable[[Chip], None]
) -> bool:
    """Whether the memories that every plan needs fit: known without any."""
    network, options = config.network, config.chip
    formats, passes = options.formats, -(-config.batch // options.lanes)
    kept = {k: v for k, v in options.fixed.items() if k in ("cge", "core", "store", "loops")}
    try:
        least = Chip(
            options.lanes,
            replace(formats, input=_narrowest(formats.input, exact_input)),
            network.loss,
            **kept,
            loss_ways=1,
            parameter_depth=max(2, network.n_parameters),
            weight_depth=max(2, network.n_parameters),
            sample_banks=1,
            sample_depth=max(2, passes * network.n_inputs),
            target_depth=2,
            scratch_depth=2,
            preact_depth=max(2, *(layer.n_outputs for layer in network.layers[:-1]), 0),
            program_depth=2,
            evaluation_depth=max(2, Cge(kept["cge"]).kind.losses(network.n_parameters)),
            query_depth=2,
        )
    except ValueError:
        return False
    if not may_fit(least, board):
        note(least)
        return False
    return True


def _narrowest(fmt: QFormat, exact_input: ExactInput) -> QFormat:
    exact = exact_input()
    return exact if exact is not None and exact.width < fmt.width else fmt


def _roomiest(
    config: Config, board: Board, exact_input: ExactInput, note: Callable[[Chip], None]
) -> tuple[int, Config] | None:
    """The configuration with the largest scratch memory that fits, which is the fastest, and the
    cycles of its training."""
    budget: int | None = None
    while True:
        trial = changed(config, scratch_depth=budget)
        try:
            # The common store has one bank only.
            chip = changed(trial, **_banks(trial)[0]).build_chip()
            keys = _free(trial, chip, board, exact_input)
            if keys is not None:
                found = changed(trial, **keys)
                return _cycles(found), found
        except ValueError:  # no such chip, or no program with so little scratch memory
            return None
        tiny = replace(chip, scratch_depth=2)
        hopeless = _free(trial, tiny, board, exact_input) is None
        if hopeless or "scratch_depth" in config.chip.fixed or chip.scratch_depth <= _LEAST_SCRATCH:
            note(replace(tiny if hopeless else chip, sample_banks=1))
            return None
        budget = 1 << (chip.scratch_depth - 1).bit_length() - 1


def _banks(config: Config) -> list[dict[str, Any]]:
    """Banks of samples to try."""
    fixed = config.chip.fixed
    if fixed.get("store") == Store.COMMON:
        return [{"sample_banks": 1}]
    return [{}] if "sample_banks" in fixed else [{}, {"sample_banks": 1}]


def _free(
    config: Config, chip: Chip, board: Board, exact_input: ExactInput
) -> dict[str, Any] | None:
    """What the configuration's chip needs to fit, of what costs no cycles of a step: no memory but
    that of samples changes, and nothing has to be planned again. None if it does not fit."""
    formats = config.chip.formats
    for narrow, banks in product((False, True), _banks(config)):
        keys = dict(banks)
        if narrow:
            exact = _narrowest(formats.input, exact_input)
            if exact == formats.input:
                return None
            keys["formats"] = replace(formats, input=exact)
        if may_fit(replace(chip, **keys), board):
            return keys
    return None


def _cycles(config: Config) -> int:
    """Cycles of the whole training, or without one, of a step of each kind."""
    found = plan(config.network, config.build_chip(), batch=config.batch)
    training = config.training
    stages = {"rge": training.rge, "cge": training.cge} if training else {}
    steps = {kind: stage.steps for kind, stage in stages.items() if stage is not None}
    rge: Any = {"queries": config.queries, "baseline": config.baseline}
    return sum(
        (steps.get(kind, 0) if training else 1)
        * found.step_cost(kind, batch=config.batch, **rge).cycles
        for kind in found.step_kinds
        if kind != "evaluate"
    )
