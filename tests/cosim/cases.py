"""Networks, batches and settings for a chip, and how simulated and golden chip are compared.

Excluded from the draw are only networks that the planner refuses for the chip's memories,
accumulators or counters.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.compiler.lowering import Lowering
from zerotrain.compiler.lowering_cge import CgeForm, CgeLowering
from zerotrain.compiler.plan import Plan
from zerotrain.compiler.planner import plan
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver
from zerotrain.spec.bus import Bus
from zerotrain.spec.chip import COEFFICIENT_WORD, Chip
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Activation, Layer, Network
from zerotrain.spec.registers import Baseline, Command, commands

from ..golden import draw
from .observed import Event

__all__ = ["Case", "compare", "draw_case", "draw_coefficients", "trace"]

Ints = NDArray[np.int64]

#: Refusals of the planner that make a drawn network be drawn again.
_REFUSALS = ("does not fit the chip", "accumulators", "common memory")

#: Of a step: most cases take a fifth of that, and a few would take as long as all others together.
_MOST_CYCLES = 200_000


@dataclass(frozen=True)
class Case:
    """A planned network and where its numbers come from.

    Attributes
    ----------
    plan : Plan
    seed : int
        Of all that is drawn: a batch and settings for every step, and where the state begins.
    batch : int
    name : str
        What the case is about.
    aims : set of Event
        What happens in it.
    fixed : dict
        Instead of what is drawn, for every step of the case: ``theta``, ``momentum``, ``x``,
        ``targets``, ``settings``.
    """

    plan: Plan
    seed: int
    batch: int
    name: str = "drawn"
    aims: frozenset[Event] = frozenset()
    fixed: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


class Aim(IntEnum):
    """Which limit of the chip a drawn case goes to; cases take turns."""

    ALL_OUTPUTS = 0
    MANY_OUTPUTS = 1  # at least three quarters
    FULL_SAMPLES = 2
    ONE_PASS = 3
    PASSES = 4


def draw_network(
    rng: np.random.Generator, chip: Chip, outputs: tuple[int, int], n_inputs: int | None = None
) -> Network:
    """1 to 4 layers of 1 to 5 modes, ranks 1 to 8; outputs and, where given, inputs as told."""

    def modes(d: int, limit: int) -> tuple[int, ...]:
        while True:
            found = tuple(int(n) for n in rng.choice([1, 1, 2, 2, 3, 4, 5], d))
            if prod(found) <= limit:
                return found

    layers: list[Layer] = []
    count = draw.pick(rng, 1, 4)
    for n in range(count):
        last, d = n == count - 1, draw.pick(rng, 1, 5)
        size = layers[-1].n_outputs if layers else n_inputs
        in_modes = draw.refactor(rng, size, d) if size else modes(d, 40)
        out_modes = draw.refactor(rng, draw.pick(rng, *outputs), d) if last else modes(d, 24)
        top = draw.pick(rng, 1, 8)
        ranks = tuple(draw.pick(rng, 1, top) for _ in range(d - 1))
        kind = Activation.NONE
        if not last and rng.random() < 0.7:
            kind = draw.other(rng, kind, tuple(Activation) if chip.sine else draw.COMMON)
        layers.append(Layer(in_modes, out_modes, ranks, bool(rng.random() < 0.6), kind))
    return Network(tuple(layers), chip.loss)


def _draw_sizes(rng: np.random.Generator, chip: Chip, aim: Aim) -> tuple[Network, int]:
    """A network and a batch, of full passes or not, that may or may not fit the chip."""
    most, low = chip.output_depth, chip.loss.record.least_outputs
    many = most * 3 // 4
    outputs = {Aim.ALL_OUTPUTS: (most, most), Aim.MANY_OUTPUTS: (many, most - 1)}
    passes, n_inputs = draw.pick(rng, 2, 3), None
    if aim == Aim.FULL_SAMPLES:
        passes = int(rng.choice([p for p in range(2, 7) if chip.sample_depth % p == 0]))
        n_inputs = chip.sample_depth // passes
    elif aim == Aim.ONE_PASS or rng.random() < 0.3:
        passes = 1
    network = draw_network(rng, chip, outputs.get(aim, (low, many - 1)), n_inputs)
    idle = draw.pick(rng, 1, chip.lanes - 1) if chip.lanes > 1 and rng.random() < 0.6 else 0
    return network, passes * chip.lanes - idle


def draw_choices(
    rng: np.random.Generator, network: Network, *, cge: bool, loops: bool
) -> dict[str, Any]:
    """What the planner would choose otherwise."""
    groups = draw.groups(rng, network)
    tiled, forms = [], []
    for index, sizes in enumerate(groups):
        can_tile = loops and Lowering.can_tile(network, index, sizes)
        tiled.append(can_tile and rng.random() < 0.5)
        options = [
            form
            for form in CgeForm
            if form != CgeForm.TILES or CgeLowering.has_tiles(network, index)
        ]
        forms.append(options[draw.pick(rng, 0, len(options) - 1)])
    return {"groups": groups, "tiled": tuple(tiled), "forms": tuple(forms) if cge else ()}


def draw_case(chip: Chip, seed: int) -> Case:
    """A network that the chip holds, with any groups, tiling, CGE forms and batch."""
    rng, aim = np.random.default_rng(seed), Aim(seed % len(Aim))
    while True:
        network, batch = _draw_sizes(rng, chip, aim)
        choices: dict[str, Any] = {}
        if rng.random() < 0.7:
            choices = draw_choices(rng, network, cge=chip.has_environments, loops=chip.loops)
        if network.n_parameters > chip.parameter_depth:
            continue
        try:
            found = plan(network, chip, batch=batch, **choices)
        except ValueError as error:
            assert any(words in str(error) for words in _REFUSALS), error
            continue
        rge: Any = {"queries": 8, "baseline": Baseline.MEAN}
        if max(found.step_cost(kind, **rge).cycles for kind in found.step_kinds) <= _MOST_CYCLES:
            return Case(found, seed, batch)


#: What a step leaves: a name for it, and its words.
Trace = Iterator[tuple[str, Ints]]


def _words(rng: np.random.Generator, case: Case) -> tuple[Ints, Ints, Ints, Ints]:
    """Parameters, momentum, samples and targets."""
    formats, network = case.plan.chip.formats, case.plan.network
    x, targets = draw.batch(rng, network, formats, case.batch)
    theta = draw.words(rng, formats.weight, network.n_parameters)
    momentum = draw.words(rng, formats.momentum, network.n_parameters)
    words = {"theta": theta, "momentum": momentum, "x": x, "targets": targets} | case.fixed
    return words["theta"], words["momentum"], words["x"], words["targets"]


def draw_coefficients(rng: np.random.Generator, count: int) -> Ints:
    """What takes the place of loss differences: each of a magnitude of its own."""
    words = draw.words(rng, QFormat(COEFFICIENT_WORD, 0), count)
    return words >> rng.integers(0, COEFFICIENT_WORD, count)


def trace(bus: Bus, case: Case) -> Trace:
    """A step of each kind on one chip, and all that it holds after each.

    A fixed state is written anew before every step; a drawn one goes on. The batch of the next step
    is written while one runs, where there are two banks.
    """
    rng, chip = np.random.default_rng(case.seed), case.plan.chip
    driver = Driver.loaded(bus, chip, case.plan.network, case.plan.program)
    driver.lfsr_state = int(rng.integers(1, 1 << min(33, chip.lfsr_degree)))
    bank, (theta, momentum, x, targets) = (
        draw.pick(rng, 0, 1) % chip.sample_banks,
        _words(rng, case),
    )
    driver.parameters, driver.momentum = theta, momentum
    driver.load_batch(x, targets, bank)
    for command in commands(chip):
        settings = case.fixed.get("settings", draw.settings(rng, chip.query_depth))
        if command == Command.UPDATE:
            driver.write_coefficients(draw_coefficients(rng, settings.queries))
        driver.start(command, settings, bank=bank)
        bank = (bank + 1) % chip.sample_banks
        theta, momentum, x, targets = _words(rng, case)
        if chip.sample_banks == 2:
            driver.load_batch(x, targets, bank)
        result = driver.wait()
        yield f"losses of {command.name}", result.losses
        yield f"saturation of {command.name}", np.array([result.saturation])
        yield f"correct of {command.name}", np.array([result.correct])
        yield f"parameters after {command.name}", np.array(driver.parameters)
        yield f"momentum after {command.name}", np.array(driver.momentum)
        yield f"generator after {command.name}", np.array([driver.lfsr_state])
        if "theta" in case.fixed:
            driver.parameters, driver.momentum = theta, momentum
        if chip.sample_banks == 1:
            driver.load_batch(x, targets, bank)


def compare(bus: Bus, case: Case, where: str = "", again: str = "") -> None:
    """Losses, saturation flags, predictions, parameters, momentum and generator after every step.

    Parameters
    ----------
    where : str
        What the failure's message begins with.
    again : str
        The command that repeats just this case.
    """
    golden = GoldenChip(case.plan.chip, case.plan.network, case.plan.groups)
    for (name, ours), (_, theirs) in zip(trace(bus, case), trace(golden, case), strict=True):
        if np.array_equal(ours, theirs):
            continue
        at = int(np.flatnonzero(ours != theirs)[0])
        layers = "; ".join(map(str, case.plan.network.layers))
        raise AssertionError(
            f"{where}case {case}: word {at} of {len(ours)} {name} is {ours[at]} on the chip, "
            f"{theirs[at]} in the golden model, batch {case.batch}, layers {layers}, "
            f"groups {case.plan.groups}" + (f"; again: {again}" if again else "")
        )
