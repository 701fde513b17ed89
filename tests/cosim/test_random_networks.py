"""Random networks on chips of every structure: the Verilog equals the golden model, bit for bit.

A few chips are built, one for each row of the table; many networks are loaded into each over the
bus. ``CASE=7`` in the environment runs one drawn case of a structure only, ``CASE=logit`` one
directed one.
"""

import os

import numpy as np
import pytest

from zerotrain.cosim.chip import VerilatedChip
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver
from zerotrain.spec.network import Loss
from zerotrain.spec.registers import Command, Error, register, windows

from ..golden import draw
from .cases import Case, compare, draw_case
from .directed import directed_cases
from .structures import STRUCTURES, Structure

#: Networks drawn for each chip: every case runs a step of each kind that the chip does.
CASES = 15


def cases_of(structure: Structure) -> dict[str, Case]:
    """All cases of a structure, by what ``CASE`` calls them."""
    drawn = {str(k): draw_case(structure.chip, structure.seed + k) for k in range(CASES)}
    return drawn | {case.name: case for case in directed_cases(structure.chip, structure.seed)}


@pytest.mark.cosim
@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.name)
def test_networks_on_chip(structure: Structure) -> None:
    chosen, test = os.environ.get("CASE"), "tests/cosim/test_random_networks.py"
    bus = VerilatedChip(structure.chip)
    try:
        for name, case in cases_of(structure).items():
            if chosen in (None, name):
                again = f"CASE={name} pytest '{test}::test_networks_on_chip[{structure.name}]'"
                compare(bus, case, f"Structure {structure.name}, ", again)
    finally:
        bus.close()


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.name)
def test_draw_reaches_the_limits(structure: Structure) -> None:
    """Of outputs, lanes and samples."""
    chip, seen = structure.chip, set[str]()
    for k in range(CASES):
        case = draw_case(chip, structure.seed + k)
        n_outputs, words = case.plan.network.n_outputs, case.plan.words
        seen.add("several passes" if case.batch > chip.lanes else "one pass")
        seen.add("idle lanes" if case.batch % chip.lanes else "all lanes")
        if n_outputs == chip.output_depth:
            seen.add("all outputs")
        elif n_outputs >= 12:
            seen.add("12 to 15 outputs")
        if words["sample_depth"] == chip.sample_depth:
            seen.add("full sample memory")
    wanted = {
        "several passes", "one pass", "all lanes", "all outputs", "12 to 15 outputs",
        "full sample memory",
    }  # fmt: skip
    assert seen >= wanted | ({"idle lanes"} if chip.lanes > 1 else set())


def test_one_bank_is_out_of_reach_while_a_step_runs() -> None:
    structure = next(s for s in STRUCTURES if s.name == "regression")
    chip = structure.chip
    assert chip.sample_banks == 1 and chip.loss == Loss.MEAN_SQUARED_ERROR
    case, rng = draw_case(chip, structure.seed), np.random.default_rng(1)
    bus = VerilatedChip(chip)
    golden = GoldenChip(chip, case.plan.network, case.plan.groups)
    try:
        ours, theirs = (Driver.loaded(b, chip, case.plan.network, case.plan.program)
                        for b in (bus, golden))  # fmt: skip
        x, targets = draw.batch(rng, case.plan.network, chip.formats, case.batch)
        for driver in (ours, theirs):
            driver.load_batch(x, targets, 0)
        ours.start(Command.RGE, draw.settings(np.random.default_rng(2)), bank=0)
        error = register("error").address
        for name in ("samples", "targets"):
            bus.write(windows(chip)[name].base, [1])
            assert bus.read(error)[0] == Error.BUSY_ACCESS
            bus.write(error, [Error.BUSY_ACCESS])
        want = theirs.step(Command.RGE, draw.settings(np.random.default_rng(2)), bank=0)
        assert np.array_equal(ours.wait().losses, want.losses)
    finally:
        bus.close()


def test_enough_cases() -> None:
    assert len(STRUCTURES) * CASES >= 385
