"""The golden chip: registers, windows, steps, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, evaluate, rge_step
from zerotrain.spec.bus import Bus
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.lfsr import mix_seed
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense
from zerotrain.spec.registers import (
    IDENTIFIER,
    REGISTERS,
    Baseline,
    Command,
    Error,
    Status,
    UpdateRule,
    register,
    windows,
)
from zerotrain.spec.step import StepSettings

Ints = NDArray[np.int64]

LAYERS = (Layer((2, 3), (3, 2), (2,), True, Activation.RELU), dense(6, 3))
NETWORKS = {loss: Network(LAYERS, loss) for loss in Loss}
GROUPS = ((1, 1), (1,))
# Depths that are no powers of two, ways that do not divide the lanes, 33 LFSR bits.
CHIPS = {
    loss: Chip(3, loss=loss, sample_depth=20, target_depth=22, lfsr_degree=33) for loss in Loss
}
SETTINGS = StepSettings(
    queries=5, baseline=Baseline.BASE, update_rule=UpdateRule.LINEAR, mu=300, gradient_shift=4,
    decay=9, step_mantissa=3, step_shift=6,
)  # fmt: skip
STATE = mix_seed(9, 33)


class Loaded:
    """A golden chip with random parameters and a batch of 7 samples in both halves."""

    def __init__(self, loss: Loss = Loss.SOFTMAX_CROSS_ENTROPY) -> None:
        self.network, self.config = NETWORKS[loss], CHIPS[loss]
        self.bus = GoldenChip(self.config, self.network, GROUPS)
        self.model = Model.of(self.config, self.network, GROUPS)
        self.windows = windows(self.config)
        rng = np.random.default_rng(9)
        n, d = self.network, self.network.n_parameters
        self.x = rng.integers(-3000, 3000, (2, 7, n.n_inputs))
        wide = (2, 7, n.n_outputs)
        labels = loss.record.labels
        self.targets = rng.integers(0, 3, (2, 7)) if labels else rng.integers(-9999, 9999, wide)
        self.theta, self.momentum = rng.integers(-6000, 6000, d), rng.integers(-99, 99, d)
        self.bus.write(self.windows["parameters"].base, self.theta)
        self.bus.write(self.windows["momentum"].base, self.momentum)
        for bank in range(2):
            self.load(bank, self.x[bank], self.targets[bank])
        self.set(
            n_parameters=d, n_inputs=n.n_inputs, n_outputs=n.n_outputs, passes=3, last_lanes=1,
            lfsr_lo=STATE & 0xFFFFFFFF, lfsr_hi=STATE >> 32,
            **{name: getattr(SETTINGS, name) for name in SETTINGS.__slots__},
        )  # fmt: skip

    def load(self, bank: int, x: Ints, targets: Ints) -> None:
        """Word by word, from the layout's description; rows of 32 words, 3 lanes, 2 ways."""
        targets = targets.reshape(len(x), -1)
        for s, sample in enumerate(x):
            lane, turn = s % 3, s // 3
            for k, value in enumerate(sample):
                word = lane << 6 | bank << 5 | turn * 6 + k
                self.bus.write(self.windows["samples"].base + 4 * word, [value])
            for k, value in enumerate(targets[s]):
                row = (turn * 2 + lane // 2) * targets.shape[1] + k
                word = (lane % 2) << 6 | bank << 5 | row
                self.bus.write(self.windows["targets"].base + 4 * word, [value])

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.bus.write(register(name).address, [value])

    def get(self, name: str) -> int:
        return int(self.bus.read(register(name).address)[0])

    def window(self, name: str, count: int) -> list[int]:
        return self.bus.read(self.windows[name].base, count).astype(np.int32).tolist()


def test_is_a_bus() -> None:
    assert isinstance(GoldenChip(CHIPS[Loss.SOFTMAX_CROSS_ENTROPY], Network(LAYERS), GROUPS), Bus)


def test_a_chip_without_cge_does_not_know_the_command() -> None:
    chip = GoldenChip(
        replace(CHIPS[Loss.SOFTMAX_CROSS_ENTROPY], cge=Cge.NONE), Network(LAYERS), GROUPS
    )
    chip.write(register("command").address, [Command.CGE])
    assert chip.read(register("error").address)[0] == Error.BAD_COMMAND
    assert chip.read(register("command").address)[0] == Command.NONE


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("bank", [0, 1])
def test_steps_are_the_model_s(loss: Loss, bank: int) -> None:
    chip = Loaded(loss)
    chip.set(bank=bank)
    x, targets, flags = chip.x[bank], chip.targets[bank], Flags()
    state, d = State(chip.theta, chip.momentum, STATE), chip.theta.size
    for command in (Command.EVALUATE, Command.RGE, Command.CGE, Command.RGE, Command.EVALUATE):
        chip.set(command=command)
        assert chip.get("status") == Status.DONE
        assert chip.get("command") == command
        if command == Command.EVALUATE:
            total, correct = evaluate(chip.model, state.theta, x, targets, flags)
            losses = [total]
            assert chip.get("correct") == correct
        else:
            step = rge_step if command == Command.RGE else cge_step
            state, found = step(chip.model, SETTINGS, state, x, targets, flags)
            losses = found.tolist()
        assert chip.window("losses", len(losses)) == losses
        assert chip.window("parameters", d) == state.theta.tolist()
        assert chip.window("momentum", d) == state.momentum.tolist()
        assert chip.get("lfsr_lo") | chip.get("lfsr_hi") << 32 == state.lfsr_state
        assert chip.get("saturation") == flags.value
    assert chip.get("error") == 0
    assert state.lfsr_state != STATE


def test_registers_after_reset() -> None:
    config = CHIPS[Loss.SOFTMAX_CROSS_ENTROPY]
    chip = GoldenChip(config, Network(LAYERS), GROUPS)
    constant = {"identifier": IDENTIFIER, "version": 1, "config_hash": config.config_hash}
    got = chip.read(0, len(REGISTERS)).tolist()
    assert got == [constant.get(r.name, 0) for r in REGISTERS]


def test_register_widths_and_access() -> None:
    chip = GoldenChip(CHIPS[Loss.SOFTMAX_CROSS_ENTROPY], Network(LAYERS), GROUPS)
    before = {r.name: int(chip.read(r.address)[0]) for r in REGISTERS}
    for r in REGISTERS:
        if r.name != "command":
            chip.write(r.address, [0xFFFFFFFF])
    for r in REGISTERS:
        width = 1 if r.name == "lfsr_hi" else r.width  # degree 33
        full = (1 << width) - 1 if r.access == "rw" and r.name != "command" else before[r.name]
        assert int(chip.read(r.address)[0]) == full, r.name


def test_bad_commands() -> None:
    chip = Loaded()
    chip.set(command=Command.EVALUATE)
    for value in (0, 4, 15):
        chip.set(error=Error.BAD_COMMAND)
        assert chip.get("error") == 0
        chip.set(command=value)
        assert chip.get("error") == Error.BAD_COMMAND
        assert chip.get("command") == Command.EVALUATE


def test_saturation_is_sticky_and_clears_by_ones() -> None:
    chip = Loaded()
    chip.bus.write(chip.windows["parameters"].base, [32767] * chip.theta.size)
    chip.set(mu=9, command=Command.RGE)
    first = chip.get("saturation")
    assert first & 1
    chip.bus.write(chip.windows["parameters"].base, [0] * chip.theta.size)
    chip.set(command=Command.EVALUATE)
    assert chip.get("saturation") == first
    chip.set(saturation=1)
    assert chip.get("saturation") == first & ~1


def test_unknown_addresses() -> None:
    chip = Loaded()
    w = chip.windows
    hole = w["samples"].base + 4 * 25  # rows 20 to 31 of a half do not exist
    beyond = w["samples"].base + 4 * w["samples"].words
    for address in (4 * len(REGISTERS), hole, beyond, 1 << 30):
        chip.set(error=15)
        assert chip.get("error") == 0
        assert chip.bus.read(address).tolist() == [0]
        assert chip.get("error") == Error.BAD_ADDRESS
        chip.set(error=15)
        chip.bus.write(address, [77])
        assert chip.get("error") == Error.BAD_ADDRESS
        assert chip.bus.read(address).tolist() == [0]


def test_a_burst_may_cross_into_nothing() -> None:
    chip = Loaded()
    window = chip.windows["parameters"]
    end = window.base + 4 * window.words
    chip.bus.write(end - 8, [5, 6])
    got = chip.bus.read(end - 8, 3).tolist()
    assert got[:2] == [5, 6]
    last = register("program_cge").address
    chip.bus.write(last, [3, 4])
    assert chip.bus.read(last, 2).tolist() == [3, 0]
    assert chip.get("error") == Error.BAD_ADDRESS


@pytest.mark.parametrize("loss", Loss)
def test_windows_keep_their_width(loss: Loss) -> None:
    chip = Loaded(loss)
    values = [0, 1, -1, 0x7FFFFFFF, -0x80000000, 0x12345678, 0xFEDCBA98]
    for w in chip.windows.values():
        chip.bus.write(w.base, values)
        got = chip.bus.read(w.base, len(values)).tolist()
        expected = []
        for value in values:
            kept = value & ((1 << w.width) - 1)
            if w.signed and kept >> (w.width - 1):
                kept -= 1 << w.width
            expected.append(kept & 0xFFFFFFFF)
        assert got == ([0] * len(values) if w.name == "losses" else expected), w.name


def test_writes_wrap_modulo_32_bits() -> None:
    chip = Loaded()
    address = chip.windows["program"].base
    chip.bus.write(address, [(1 << 40) + 3, -1])
    chip.bus.write(address + 8, np.array([-2, 1 << 33], np.int64))
    assert chip.bus.read(address, 4).tolist() == [3, 0xFFFFFFFF, 0xFFFFFFFE, 0]


def test_wait() -> None:
    chip = Loaded()
    chip.set(command=Command.EVALUATE)
    status = register("status").address
    chip.bus.wait(status, Status.DONE, Status.DONE, 1.0)
    message = (
        r"^the word at 0x10 of the golden chip is 0x2 and does not change by itself, expected 0x1 "
        r"under mask 0x1$"
    )
    with pytest.raises(TimeoutError, match=message):
        chip.bus.wait(status, Status.BUSY, Status.BUSY, 1e9)


def refusal(chip: Loaded, command: Command = Command.EVALUATE) -> str:
    before = chip.window("parameters", 8)
    with pytest.raises(ValueError, match=".") as caught:
        chip.set(command=command)
    assert chip.window("parameters", 8) == before
    return str(caught.value)


@pytest.mark.parametrize("name", ["n_parameters", "n_inputs", "n_outputs"])
def test_refuses_another_network(name: str) -> None:
    chip = Loaded()
    chip.set(**{name: 1})
    expected = getattr(chip.network, name)
    assert refusal(chip) == (
        f"Register {name} must match network 'network' of this golden chip: expected {expected}, "
        "got 1"
    )


def test_refuses_impossible_batches() -> None:
    chip = Loaded()
    chip.set(last_lanes=4)
    assert refusal(chip) == (
        "A step has 1 pass or more and 1 to 3 lanes in the last pass, not 3 and 4"
    )
    chip.set(passes=4, last_lanes=3)
    assert refusal(chip) == (
        "A batch of 12 needs 24 rows of the sample memory, which has 20 (sample_depth)"
    )


def test_refuses_labels_and_depths() -> None:
    chip = Loaded()
    chip.bus.write(chip.windows["targets"].base, [3])
    assert refusal(chip) == "Labels are 0 to 2, the batch holds 3"
    chip = Loaded()
    chip.set(queries=17)
    assert refusal(chip, Command.RGE) == (
        "A step has at most 16 queries on this chip (query_depth), not 17"
    )
    chip.set(queries=0)
    assert refusal(chip, Command.RGE) == "queries is 1 to 127, not 0"


def test_refuses_misuse() -> None:
    chip = Loaded()
    with pytest.raises(ValueError, match=r"^Addresses are multiples of 4, at least 0, not 2$"):
        chip.bus.read(2)
    chip.bus.close()
    with pytest.raises(ValueError, match=r"^This golden chip is closed: open a new one$"):
        chip.bus.read(0)
