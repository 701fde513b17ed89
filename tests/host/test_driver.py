"""The driver against the golden chip, and against buses that misbehave."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.compiler.plan import Plan
from zerotrain.compiler.planner import chip_for, plan
from zerotrain.data.mixing import words
from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, evaluate, rge_step
from zerotrain.golden.update import differences
from zerotrain.host.driver import ChipError, Driver
from zerotrain.spec.chip import Cge
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense
from zerotrain.spec.registers import Baseline, Command, UpdateRule, register
from zerotrain.spec.step import StepSettings

from .small import Wrapper

SMALL = Network((Layer((2, 3), (3, 2), (2,), True, Activation.RELU), dense(6, 3)))
REGRESSION = Network((Layer((3, 2), (2, 2), (2,)),), Loss.MEAN_SQUARED_ERROR)
SETTINGS = StepSettings(queries=3, gradient_shift=4, decay=8, step_mantissa=5, mu=200)


def integers(count: int, bits: int, *key: int) -> NDArray[np.int64]:
    """Signed random integers of a width."""
    return (words(count, *key) >> np.uint64(64 - bits)).astype(np.int64) - (1 << (bits - 1))


def make(network: Network, **options: Any) -> tuple[Driver, Plan]:
    chip = chip_for(network, **{"lanes": 3, "batch": 8, "queries": 4} | options)
    planned = plan(network, chip, batch=options.get("batch", 8))
    bus = GoldenChip(chip, network, planned.groups)
    return Driver.loaded(bus, chip, network, planned.program, timeout=1.0), planned


def targets_for(network: Network, count: int) -> NDArray[np.int64]:
    if network.loss == Loss.SOFTMAX_CROSS_ENTROPY:
        return integers(count, 16, 3) % network.n_outputs
    return integers(count * network.n_outputs, 15, 3).reshape(count, -1)


@pytest.mark.parametrize("network", [SMALL, REGRESSION], ids=["labels", "values"])
@pytest.mark.parametrize(("lanes", "ways", "batch"), [(1, 1, 5), (3, 2, 8), (5, 2, 7), (8, 3, 8)])
@pytest.mark.parametrize("bank", [0, 1, None], ids=["first", "second", "only"])
def test_steps_equal_the_golden_functions(
    network: Network, lanes: int, ways: int, batch: int, bank: int | None
) -> None:
    banks = 1 if bank is None else 2
    driver, planned = make(network, lanes=lanes, loss_ways=ways, batch=batch, sample_banks=banks)
    x = integers(batch * network.n_inputs, 12, 2).reshape(batch, -1)
    targets = targets_for(network, batch)
    state = State(integers(network.n_parameters, 14, 1), integers(network.n_parameters, 9, 4), 77)
    driver.parameters, driver.momentum, driver.lfsr_state = (
        state.theta, state.momentum, state.lfsr_state
    )  # fmt: skip
    if bank is None:
        bank = 0
        driver.write("bank", 1)  # which is none's
    else:
        driver.load_batch(np.zeros_like(x)[:1], targets[:1] * 0, 1 - bank)
    driver.load_batch(x, targets, bank)
    model = Model.of(driver.chip, network, planned.groups)

    loss, correct = evaluate(model, state.theta, x, targets, Flags())
    result = driver.step(Command.EVALUATE, bank=bank)
    assert (list(result.losses), result.correct) == ([loss], correct)

    for command, golden, settings in (
        (Command.RGE, rge_step, SETTINGS),
        (Command.RGE, rge_step, replace(SETTINGS, baseline=Baseline.BASE)),
        (Command.CGE, cge_step, replace(SETTINGS, update_rule=UpdateRule.LINEAR, step_shift=6)),
    ):
        flags = Flags()
        state, losses = golden(model, settings, state, x, targets, flags)
        result = driver.step(command, settings, bank=bank)
        assert result.command == command
        assert result.losses.tolist() == losses.tolist()
        assert driver.parameters.tolist() == state.theta.tolist()
        assert driver.momentum.tolist() == state.momentum.tolist()
        assert driver.lfsr_state == state.lfsr_state
        assert result.saturation == flags.value


def test_evaluate_any_number_of_samples() -> None:
    driver, planned = make(SMALL)
    count = 2 * driver.max_batch + 5
    x, labels = integers(count * 6, 12, 2).reshape(count, 6), integers(count, 16, 3) % 3
    theta = integers(SMALL.n_parameters, 14, 1)
    driver.parameters = theta
    model = Model.of(driver.chip, SMALL, planned.groups)
    loss, correct = evaluate(model, theta, x, labels, Flags())
    result = driver.evaluate(x, labels)
    assert (result.loss, result.correct, result.count) == (loss, correct, count)
    assert result.mean_loss == loss / count / 2**20
    assert 0 < correct < count


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("identifier", r"^Register identifier of the chip is 0x5a54524f, expected 0x5a54524e: "
         r"there is no Zerotrain chip on this bus$"),
        ("version", r"^Register version of the chip is 0x00000000, expected 0x00000001: the "
         r"chip was made by another version of Zerotrain: generate it again$"),
        ("config_hash", r"^Register config_hash of the chip is 0x\w{8}, expected 0x\w{8}: the chip "
         r"was made with another configuration: use the configuration it was generated with, or "
         r"generate it again$"),
    ],
)  # fmt: skip
def test_another_chip_is_refused(name: str, message: str) -> None:
    class Other(Wrapper):
        def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
            flip = np.uint32(address == register(name).address)
            return self.bus.read(address, count) ^ flip

    driver, _ = make(SMALL)
    with pytest.raises(ChipError, match=message):
        Driver(Other(driver.bus), driver.chip, SMALL)


def test_a_chip_with_another_configuration_is_refused() -> None:
    driver, _ = make(SMALL)
    other = replace(driver.chip, scratch_depth=driver.chip.scratch_depth + 1)
    with pytest.raises(ChipError, match=r"^Register config_hash of the chip is"):
        Driver(driver.bus, other, SMALL)


def test_a_step_that_never_ends_is_a_timeout() -> None:
    class Dead(Wrapper):
        def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
            if address != register("command").address:
                self.bus.write(address, words)

    driver, planned = make(SMALL)
    stuck = Driver.loaded(Dead(driver.bus), driver.chip, SMALL, planned.program, timeout=0.1)
    stuck.load_batch(np.zeros((3, 6), np.int64), [0, 1, 2], 0)
    stuck.start(Command.EVALUATE, bank=0)
    with pytest.raises(TimeoutError) as caught:
        stuck.wait()
    assert str(caught.value) == (
        "The EVALUATE step was not done after 0.1 seconds: allow more with --timeout (the word at "
        "0x10 of the golden chip is 0x0 and does not change by itself, expected 0x2 under mask 0x3)"
    )


@pytest.mark.parametrize("timeout", [-3.0, 0.0, float("nan")])
def test_a_time_that_no_step_takes_is_refused(timeout: float) -> None:
    driver, planned = make(SMALL)
    with pytest.raises(
        ValueError, match=r"^The time that a step may take is above 0 seconds, got "
    ):
        Driver.loaded(driver.bus, driver.chip, SMALL, planned.program, timeout=timeout)


def test_errors_of_the_chip_are_reported_and_cleared() -> None:
    driver, _ = make(SMALL)
    driver.load_batch(np.zeros((3, 6), np.int64), [0, 1, 2], 0)
    driver.bus.read(register("program_cge").address + 4)
    driver.start(Command.EVALUATE, bank=0)
    with pytest.raises(ChipError, match=r"^The chip reported bad address in a EVALUATE step$"):
        driver.wait()
    driver.step(Command.EVALUATE, bank=0)


ZEROS = np.zeros((3, 6), np.int64)


def test_refusals() -> None:
    driver, planned = make(SMALL)
    chip = driver.chip

    def check(message: str, action: object, *args: object, **kwargs: object) -> None:
        with pytest.raises(ValueError) as caught:
            action(*args, **kwargs)  # type: ignore[operator]
        assert str(caught.value) == message

    load = driver.load_batch
    check("A batch is an array [samples, 6], got shape (3, 5)", load, ZEROS[:, :5], [0, 1, 2], 0)
    check("A sample has 1 targets, got 2", load, ZEROS, np.zeros((3, 2), int), 0)
    check("The chip holds batches of 1 to 9 samples, got 10", load,
          np.zeros((10, 6), int), [0] * 10, 0)  # fmt: skip
    check("The bank is 0 or 1, not 2", load, ZEROS, [0, 1, 2], 2)
    check("Words of window samples are -32768 to 32767, got 32768 to 32768", load,
          ZEROS + 32768, [0, 1, 2], 0)  # fmt: skip
    check("Labels are 0 to 2, the batch has 3", load, ZEROS, [0, 1, 3], 0)
    check("Bank 1 holds no batch: load one before starting a step", driver.start,
          Command.EVALUATE, bank=1)  # fmt: skip
    check("No step is running: start one before waiting for it", driver.wait)
    load(ZEROS, [0, 1, 2], 0)
    check("A CGE step needs settings, got none", driver.start, Command.CGE, bank=0)
    check("The chip does at most 4 queries per step (query_depth), not 5", driver.start,
          Command.RGE, StepSettings(queries=5), bank=0)  # fmt: skip
    check("The generator's state is 1 to 2**48 - 1, not 0", setattr, driver, "lfsr_state", 0)
    check("Window parameters takes 51 integers for this network, got an array of int64 with "
          "shape (3,)", setattr, driver, "parameters", np.zeros(3, np.int64))  # fmt: skip
    check("Words of window momentum are -8388608 to 8388607, got 0 to 8388608", setattr, driver,
          "momentum", np.arange(51) // 50 * 8388608)  # fmt: skip
    check("There is nothing to evaluate: expected at least one sample, got none", driver.evaluate,
          ZEROS[:0], np.zeros(0, int))  # fmt: skip
    long = replace(planned.program, rows=(0,) * (chip.program_depth + 1))
    check(f"The program has {chip.program_depth + 1} rows, the chip holds {chip.program_depth}",
          driver.load_program, long)  # fmt: skip
    driver.start(Command.EVALUATE, bank=0)
    check("Parameters are accessed while no step is running: wait for the step first", getattr,
          driver, "parameters")  # fmt: skip
    driver.wait()
    driver, _ = make(SMALL, sample_banks=1)
    load = driver.load_batch
    check("The bank is 0, not 1", load, ZEROS, [0, 1, 2], 1)
    check("The bank is 0, not 1", driver.start, Command.EVALUATE, bank=1)
    load(ZEROS, [0, 1, 2], 0)
    driver.start(Command.EVALUATE, bank=0)
    check("With one bank of samples, a batch is loaded while no step is running: wait for the step "
          "first", load, ZEROS, [0, 1, 2], 0)  # fmt: skip
    driver.wait()


def test_networks_that_do_not_fit_are_refused() -> None:
    driver, _ = make(SMALL)
    bus, chip = driver.bus, driver.chip
    with pytest.raises(ValueError, match=r"^The chip's loss unit computes softmax_cross_entropy, "
                       r"network network needs mean_squared_error$"):  # fmt: skip
        Driver(bus, chip, REGRESSION)
    with pytest.raises(ValueError, match=r"^Network network has 140 parameters, the chip holds 51 "
                       r"\(parameter_depth\)$"):  # fmt: skip
        Driver(bus, chip, Network((dense(6, 20),)))


def test_a_step_that_the_chip_does_not_do() -> None:
    driver, _ = make(SMALL, cge=Cge.NONE)
    driver.load_batch(integers(48, 12, 2).reshape(8, 6), targets_for(SMALL, 8), 0)
    with pytest.raises(ValueError, match=r"^The chip does no CGE steps$"):
        driver.start(Command.CGE, SETTINGS, bank=0)


@pytest.mark.parametrize("network", [SMALL, REGRESSION], ids=["labels", "values"])
@pytest.mark.parametrize("baseline", Baseline)
def test_an_rge_step_in_two_halves(network: Network, baseline: Baseline) -> None:
    """Losses, then an update from their differences, are an RGE step; the losses alone leave
    everything as it was."""
    settings = replace(SETTINGS, baseline=baseline)
    x = integers(8 * network.n_inputs, 12, 2).reshape(8, -1)
    targets = targets_for(network, 8)
    theta, momentum = integers(network.n_parameters, 14, 1), integers(network.n_parameters, 9, 4)
    ends = []
    for split in (False, True):
        driver, _ = make(network, split=split)
        driver.parameters, driver.momentum, driver.lfsr_state = theta, momentum, 77
        driver.load_batch(x, targets, 0)
        if not split:
            whole = driver.step(Command.RGE, settings, bank=0)
        else:
            half = driver.step(Command.LOSSES, settings, bank=0)
            assert half.losses.tolist() == whole.losses.tolist()
            assert driver.parameters.tolist() == theta.tolist() and driver.lfsr_state == 77
            assert driver.momentum.tolist() == momentum.tolist()
            driver.write_coefficients(differences(half.losses, baseline))
            rest = driver.step(Command.UPDATE, settings, bank=0)
            assert rest.losses.size == 0
            assert half.saturation | rest.saturation == whole.saturation
        ends.append((driver.parameters.tolist(), driver.momentum.tolist(), driver.lfsr_state))
    assert ends[0] == ends[1]
    assert ends[0][2] != 77


def test_a_chip_that_does_no_halves() -> None:
    driver, _ = make(SMALL)
    with pytest.raises(ValueError) as caught:
        driver.start(Command.LOSSES, SETTINGS, bank=0)
    assert str(caught.value) == "The chip does no LOSSES steps"
    with pytest.raises(ValueError) as caught:
        driver.write_coefficients([1])
    assert str(caught.value) == "The chip does no UPDATE steps: it has no coefficients"
