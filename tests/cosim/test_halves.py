"""Steps in two halves: losses, and updates from given coefficients, on the chips that do them.

Commands follow one another as a host might give them, and the Verilog equals the golden model after
each; and the halves together are an RGE step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zerotrain.cosim.chip import VerilatedChip
from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.update import differences
from zerotrain.host.driver import Driver, StepResult
from zerotrain.spec.bus import Bus
from zerotrain.spec.chip import COEFFICIENT_WORD, Core
from zerotrain.spec.registers import (
    Baseline,
    Command,
    Error,
    UpdateRule,
    commands,
    register,
    windows,
)
from zerotrain.spec.step import StepSettings
from zerotrain.spec.timing import StepKind

from ..golden import draw
from .cases import Case, draw_case, draw_coefficients
from .structures import STRUCTURES, Structure

SPLIT = [row for row in STRUCTURES if row.chip.split]
#: The commands of a drawn sequence; it begins with the halves, from the generator's state at reset.
LENGTH = 24
#: Steps that leave coefficients as they are.
KEEPING = (Command.EVALUATE, Command.LOSSES, Command.UPDATE)


@contextmanager
def chips(structure: Structure, case: Case) -> Iterator[tuple[Driver, Driver]]:
    """Simulated and golden chip with the network of a case, in the same drawn state."""
    chip, plan, rng = structure.chip, case.plan, np.random.default_rng(case.seed)
    bus = VerilatedChip(chip)
    try:
        golden = GoldenChip(chip, plan.network, plan.groups)
        both: list[Bus] = [bus, golden]
        ours, theirs = (Driver.loaded(b, chip, plan.network, plan.program) for b in both)
        theta = draw.words(rng, chip.formats.weight, plan.network.n_parameters)
        momentum = draw.words(rng, chip.formats.momentum, plan.network.n_parameters)
        x, targets = draw.batch(rng, plan.network, chip.formats, case.batch)
        for driver in (ours, theirs):
            driver.parameters, driver.momentum = theta, momentum
            driver.load_batch(x, targets, 0)
        yield ours, theirs
    finally:
        bus.close()


def left(driver: Driver, result: StepResult) -> dict[str, Any]:
    """All that a step leaves."""
    return {
        "losses": result.losses.tolist(),
        "saturation": result.saturation,
        "correct": result.correct,
        "parameters": driver.parameters.tolist(),
        "momentum": driver.momentum.tolist(),
        "generator": driver.lfsr_state,
    }


def coefficients(driver: Driver, count: int) -> list[int]:
    """What the window holds."""
    words = np.asarray(driver.bus.read(windows(driver.chip)["coefficients"].base, count))
    return words.astype(np.uint32).view(np.int32).tolist()


@pytest.mark.cosim
@pytest.mark.parametrize("structure", SPLIT, ids=lambda s: s.name)
def test_drawn_sequences(structure: Structure) -> None:
    """Commands in any order, with coefficients old and new and of every magnitude."""
    case, rng = draw_case(structure.chip, structure.seed + 500), np.random.default_rng(5)
    halves = [Command.LOSSES, Command.UPDATE]
    others = [command for command in commands(structure.chip) if command not in halves]
    with chips(structure, case) as pair:
        written: list[int] = []
        for k in range(LENGTH):
            command = halves[k] if k < 2 else rng.choice(halves if rng.random() < 0.7 else others)
            command = Command(command)
            settings = draw.settings(rng, structure.chip.query_depth)
            if k % 7 == 5:  # as after the load of a checkpoint
                state = int(rng.integers(1, 1 << min(62, structure.chip.lfsr_degree)))
                for driver in pair:
                    driver.lfsr_state = state
            fresh = rng.random() < 0.7 or len(written) < settings.queries
            if command == Command.UPDATE and fresh:
                written = draw_coefficients(rng, settings.queries).tolist()
                for driver in pair:
                    driver.write_coefficients(np.array(written))
            ends = [left(driver, driver.step(command, settings, bank=0)) for driver in pair]
            assert ends[0] == ends[1], (k, command.name)
            written = written if command in KEEPING else []
            for driver in pair:
                assert coefficients(driver, len(written)) == written, (k, command.name)


@pytest.mark.cosim
@pytest.mark.parametrize("baseline", Baseline)
@pytest.mark.parametrize("structure", SPLIT, ids=lambda s: s.name)
def test_two_halves_are_an_rge_step(structure: Structure, baseline: Baseline) -> None:
    """Losses, then an update with their differences, from the same state."""
    rng, compared = np.random.default_rng(6), 0
    for k in range(10):
        case = draw_case(structure.chip, structure.seed + 501 + k)
        with chips(structure, case) as (chip, _):
            settings = replace(draw.settings(rng, structure.chip.query_depth), baseline=baseline)
            chip.lfsr_state = int(rng.integers(1, 1 << 32))
            before = chip.parameters, chip.momentum, chip.lfsr_state
            half = chip.step(Command.LOSSES, settings, bank=0)
            assert chip.parameters.tolist() == before[0].tolist() and chip.lfsr_state == before[2]
            wanted = differences(half.losses, baseline)
            if not wanted.any() or abs(wanted).max() >> COEFFICIENT_WORD - 1:
                continue  # all losses are clamped, or they are wider than coefficients
            chip.write_coefficients(wanted)
            rest = chip.step(Command.UPDATE, settings, bank=0)
            after = chip.parameters.tolist(), chip.momentum.tolist(), chip.lfsr_state
            chip.parameters, chip.momentum, chip.lfsr_state = before
            whole = chip.step(Command.RGE, settings, bank=0)
            assert whole.losses.tolist() == half.losses.tolist()
            assert (chip.parameters.tolist(), chip.momentum.tolist(), chip.lfsr_state) == after
            assert half.saturation | rest.saturation == whole.saturation
            assert half.cycles < whole.cycles and not rest.beats
            compared += 1
            if compared == 2:
                return
    raise AssertionError(f"Only {compared} steps have differences that can be written")


@pytest.mark.cosim
@pytest.mark.parametrize("core", Core)
def test_cycles_and_accesses(core: Core) -> None:
    """Halves take as long as the plan says; coefficients are out of reach while a step runs."""
    structure = next(row for row in SPLIT if row.chip.core == core)
    case = draw_case(structure.chip, structure.seed + 502)
    settings, error = draw.settings(np.random.default_rng(3)), register("error").address
    # The plan takes shifts for typical.
    settings = replace(settings, update_rule=UpdateRule.LINEAR, gradient_shift=8, step_shift=8)
    with chips(structure, case) as (chip, golden):
        base = windows(structure.chip)["coefficients"].base
        for driver in (chip, golden):
            driver.write_coefficients([5, -6])
        chip.start(Command.UPDATE, settings, bank=0)
        chip.bus.write(base, [7])
        assert chip.bus.read(base)[0] == 0
        assert chip.bus.read(error)[0] == Error.BUSY_ACCESS
        chip.bus.write(error, [Error.BUSY_ACCESS])
        chip.bus.write(register("command").address, [Command.LOSSES])
        assert chip.bus.read(error)[0] == Error.BAD_COMMAND
        chip.bus.write(error, [Error.BAD_COMMAND])
        ours, theirs = chip.wait(), golden.step(Command.UPDATE, settings, bank=0)
        assert left(chip, ours) == left(golden, theirs)
        assert coefficients(chip, 2) == [5, -6]
        whole, half = (chip.step(c, settings, bank=0) for c in (Command.RGE, Command.LOSSES))
    updating = _planned(case, "rge", settings) - _planned(case, "losses", settings)
    assert whole.beats == half.beats
    assert updating <= whole.cycles - half.cycles <= updating * 1.02 + 20 * settings.queries
    found = _planned(case, "update", settings)
    assert found <= ours.cycles <= found * 1.02 + 20 * settings.queries


def _planned(case: Case, kind: StepKind, settings: StepSettings) -> int:
    plan, n, baseline = case.plan, settings.queries, settings.baseline
    return plan.step_cost(kind, batch=case.batch, queries=n, baseline=baseline).cycles
