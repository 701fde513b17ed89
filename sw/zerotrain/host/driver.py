"""The driver: one network on one chip, over any bus.

It speaks the registers and windows of :mod:`zerotrain.spec.registers` and nothing else, so the
golden chip, the Verilated chip, the chip under cocotb and a board are all the same to it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerotrain.spec.bus import Bus, NotYet
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Network
from zerotrain.spec.program import Program
from zerotrain.spec.registers import (
    IDENTIFIER,
    VERSION,
    Baseline,
    Command,
    Error,
    Saturation,
    Status,
    Window,
    commands,
    register,
    windows,
)
from zerotrain.spec.step import StepSettings
from zerotrain.spec.tables import FINE_BITS

__all__ = ["STEP_TIMEOUT", "ChipError", "Driver", "Evaluation", "StepResult"]

Ints = NDArray[np.int64]

#: Registers of one step, at consecutive addresses: written in one burst.
_STEP_REGISTERS = (
    "passes", "last_lanes", "bank", "queries", "baseline", "update_rule", "mu", "gradient_shift",
    "decay", "step_mantissa", "step_shift",
)  # fmt: skip
_WORD = 0xFFFFFFFF
#: Seconds that a step may take, unless it is said otherwise.
STEP_TIMEOUT = 120.0
#: Points of an equation that are measured at once: format ``loss`` holds the sum of their errors.
_CHECKED = 256


class ChipError(RuntimeError):
    """The chip reported an error, or is not the chip that was expected."""


@dataclass(frozen=True)
class StepResult:
    """What one step left in the chip's registers.

    Attributes
    ----------
    losses : int64[n_evaluations]
        Summed over the batch, raw in format ``loss``.
    cycles, beats, loss_stalls : int
        Cycles in all, cycles in which the multipliers worked, cycles waiting for the loss unit.
    saturation : Saturation
        Kinds of values that were clamped.
    correct : int
        Correct predictions (evaluate steps).
    """

    command: Command
    losses: Ints
    cycles: int
    beats: int
    loss_stalls: int
    saturation: Saturation
    correct: int


@dataclass(frozen=True)
class Evaluation:
    """Loss summed over ``count`` samples (raw, format ``loss``), correct predictions, and the kinds
    of values that were clamped."""

    loss: int
    correct: int
    count: int
    saturation: Saturation = Saturation(0)
    frac_bits: int = FINE_BITS

    @property
    def mean_loss(self) -> float:
        """Loss of a sample, as a real number."""
        return self.loss / self.count / 2**self.frac_bits


@dataclass(frozen=True)
class _Running:
    command: Command
    evaluations: int


class Driver:
    """One network on one chip.

    Parameters
    ----------
    bus : Bus
        Where the chip is.
    chip : Chip
        What the chip should be.
    network : Network
        The network to train on it.
    timeout : float
        Seconds that a step may take.

    Raises
    ------
    ChipError
        If there is no such chip on the bus.
    ValueError
        If the chip cannot hold the network.
    """

    def __init__(
        self, bus: Bus, chip: Chip, network: Network, *, timeout: float = STEP_TIMEOUT
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"The time that a step may take is above 0 seconds, got {timeout:g}")
        self.bus, self.chip, self.network, self.timeout = bus, chip, network, timeout
        self.windows = windows(chip)
        self._running: _Running | None = None
        #: Samples in each bank of the sample memory.
        self._batches = [0] * chip.sample_banks
        self._identify()
        self._check_capacity()
        for name in ("n_parameters", "n_inputs", "n_outputs"):
            self.write(name, getattr(network, name))
        self.write("error", _WORD)

    @classmethod
    def loaded(
        cls,
        bus: Bus,
        chip: Chip,
        network: Network,
        program: Program,
        *,
        timeout: float = STEP_TIMEOUT,
    ) -> Self:
        """A driver whose chip has the network's program."""
        driver = cls(bus, chip, network, timeout=timeout)
        driver.load_program(program)
        return driver

    # Registers and windows.

    def read(self, name: str) -> int:
        """One register."""
        return int(self.bus.read(register(name).address)[0])

    def write(self, name: str, value: int) -> None:
        """One register."""
        self.bus.write(register(name).address, [value])

    def _read_window(self, window: Window, count: int) -> Ints:
        raw = self.bus.read(window.base, count)
        words = np.asarray(raw, np.uint32)
        return (words.view(np.int32) if window.signed else words).astype(np.int64)

    def _write_window(self, name: str, values: ArrayLike, expected: int) -> None:
        """Write a whole vector, refusing values that the memory's words cannot hold."""
        window = self.windows[name]
        words = np.asarray(values)
        if words.shape != (expected,) or words.dtype.kind not in "iu":
            raise ValueError(
                f"Window {name} takes {expected} integers for this network, got an array of "
                f"{words.dtype} with shape {words.shape}"
            )
        _check_range(name, words, window)
        self.bus.write(window.base, words)

    # Set-up.

    def _identify(self) -> None:
        for name, expected in (
            ("identifier", IDENTIFIER),
            ("version", VERSION),
            ("config_hash", self.chip.config_hash),
        ):
            found = self.read(name)
            if found == expected:
                continue
            advice = {
                "identifier": "there is no Zerotrain chip on this bus",
                "version": "the chip was made by another version of Zerotrain: generate it again",
                "config_hash": "the chip was made with another configuration: use the "
                "configuration it was generated with, or generate it again",
            }[name]
            raise ChipError(
                f"Register {name} of the chip is {found:#010x}, expected {expected:#010x}: {advice}"
            )

    def _check_capacity(self) -> None:
        chip, network = self.chip, self.network
        if network.loss != chip.loss:
            raise ValueError(
                f"The chip's loss unit computes {chip.loss}, network {network.name} needs "
                f"{network.loss}"
            )
        for what, need, name in (
            ("parameters", network.n_parameters, "parameter_depth"),
            ("outputs", network.n_outputs, "output_depth"),
            ("input words", network.n_inputs, "sample_depth"),
        ):
            if need > getattr(chip, name):
                raise ValueError(
                    f"Network {network.name} has {need} {what}, the chip holds "
                    f"{getattr(chip, name)} ({name})"
                )

    @property
    def max_batch(self) -> int:
        """Samples that one bank of the sample and target memories holds."""
        return self.chip.layout.max_batch(
            sample_depth=self.chip.sample_depth,
            target_depth=self.chip.target_depth,
            n_inputs=self.network.n_inputs,
            n_targets=self.network.n_targets,
        )

    def load_program(self, program: Program) -> None:
        """Write a contraction program and the first row of each of its sections."""
        self._idle("The program is written")
        rows = [int(row) for row in program.rows]
        if len(rows) > self.chip.program_depth:
            raise ValueError(
                f"The program has {len(rows)} rows, the chip holds {self.chip.program_depth}"
            )
        halves = [word for row in rows for word in (row & _WORD, row >> 32)]
        self.bus.write(self.windows["program"].base, halves)
        for section in ("merge", "forward", "cge_merge", "cge"):
            self.write(f"program_{section}", getattr(program, section))

    # State.

    @property
    def parameters(self) -> Ints:
        """Raw parameters, int64[d]. The chip must be idle."""
        self._idle("Parameters are accessed")
        return self._read_window(self.windows["parameters"], self.network.n_parameters)

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        self._idle("Parameters are accessed")
        self._write_window("parameters", values, self.network.n_parameters)

    @property
    def momentum(self) -> Ints:
        """Raw momentum words, int64[d]. The chip must be idle."""
        self._idle("Momentum is accessed")
        return self._read_window(self.windows["momentum"], self.network.n_parameters)

    @momentum.setter
    def momentum(self, values: ArrayLike) -> None:
        self._idle("Momentum is accessed")
        self._write_window("momentum", values, self.network.n_parameters)

    @property
    def lfsr_state(self) -> int:
        """State of the perturbation generator."""
        return self.read("lfsr_lo") | self.read("lfsr_hi") << 32

    @lfsr_state.setter
    def lfsr_state(self, state: int) -> None:
        self._idle("The generator is loaded")
        if not 1 <= state < 1 << self.chip.lfsr_degree:
            raise ValueError(
                f"The generator's state is 1 to 2**{self.chip.lfsr_degree} - 1, not {state!r}"
            )
        self.bus.write(register("lfsr_lo").address, [state & _WORD, state >> 32])

    # Samples.

    def load_batch(self, x: NDArray[np.integer], targets: ArrayLike, bank: int) -> None:
        """Write a batch into one bank of the sample and target memories.

        Of two banks, the one that a running step does not read may be written at any time.

        Parameters
        ----------
        x : int[batch, n_inputs]
            Raw, format ``input``.
        targets : int[batch] or int[batch, n_targets]
            Labels, or raw target values in format ``logit``.
        bank : int
            0, or 1 on a chip with two banks.
        """
        chip, network = self.chip, self.network
        target_rows = np.asarray(targets).reshape(len(x), -1)
        if x.ndim != 2 or x.shape[1] != network.n_inputs:
            raise ValueError(
                f"A batch is an array [samples, {network.n_inputs}], got shape {x.shape}"
            )
        if target_rows.shape[1] != network.n_targets:
            raise ValueError(
                f"A sample has {network.n_targets} targets, got {target_rows.shape[1]}"
            )
        if not 1 <= len(x) <= self.max_batch:
            raise ValueError(
                f"The chip holds batches of 1 to {self.max_batch} samples, got {len(x)}"
            )
        self._check_bank(bank)
        if chip.sample_banks == 1:
            self._idle("With one bank of samples, a batch is loaded")
        _check_range("samples", x, self.windows["samples"])
        _check_range("targets", target_rows, self.windows["targets"])
        if network.loss.record.labels and target_rows.max() >= network.n_outputs:
            raise ValueError(
                f"Labels are 0 to {network.n_outputs - 1}, the batch has {target_rows.max()}"
            )
        for lane in range(min(chip.lanes, len(x))):
            address = self._row_address("samples", chip.sample_depth, lane, bank)
            self.bus.write(address, x[lane :: chip.lanes].ravel())
        layout, n_targets = chip.layout, network.n_targets
        words = np.zeros((chip.loss_ways, layout.target_words(len(x), n_targets)), np.int64)
        sample = np.arange(len(x))[:, None]
        row = layout.target_row(sample, n_targets) + np.arange(n_targets)
        words[layout.way(sample), row] = target_rows
        for way in range(chip.loss_ways):
            address = self._row_address("targets", chip.target_depth, way, bank)
            self.bus.write(address, words[way])
        self._batches[bank] = len(x)

    def _row_address(self, name: str, depth: int, lane: int, bank: int) -> int:
        return self.windows[name].base + 4 * self.chip.layout.bus_word(lane, bank, depth)

    def _check_bank(self, bank: int) -> None:
        banks = self.chip.sample_banks
        if bank not in range(banks):
            raise ValueError(f"The bank is {'0 or 1' if banks == 2 else '0'}, not {bank!r}")

    # Steps.

    def start(self, command: Command, settings: StepSettings | None = None, *, bank: int) -> None:
        """Start a step on the batch in a bank. Evaluate steps need no settings."""
        self._idle("A step is started")
        if command not in commands(self.chip):
            raise ValueError(f"The chip does no {command.name} steps")
        self._check_bank(bank)
        batch = self._batches[bank]
        if not batch:
            raise ValueError(f"Bank {bank} holds no batch: load one before starting a step")
        if settings is None and command != Command.EVALUATE:
            raise ValueError(f"A {command.name} step needs settings, got none")
        settings = settings or StepSettings()
        queries = settings.queries + (settings.baseline == Baseline.BASE)
        evaluations = {
            Command.EVALUATE: 1, Command.RGE: queries, Command.LOSSES: queries, Command.UPDATE: 0,
            Command.CGE: self.network.n_parameters + 1,
        }[command]  # fmt: skip
        asks = command in (Command.RGE, Command.LOSSES, Command.UPDATE)
        if asks and settings.queries > self.chip.query_depth:
            raise ValueError(
                f"The chip does at most {self.chip.query_depth} queries per step (query_depth), "
                f"not {settings.queries}"
            )
        if evaluations > self.chip.evaluation_depth:
            raise ValueError(
                f"The chip holds {self.chip.evaluation_depth} losses per step "
                f"(evaluation_depth), this step has {evaluations}"
            )
        layout = self.chip.layout
        values = {
            "passes": layout.passes(batch),
            "last_lanes": layout.last_lanes(batch),
            "bank": bank,
        }
        words = [int(values.get(n, getattr(settings, n, 0))) for n in _STEP_REGISTERS]
        self.bus.write(register("passes").address, words)
        self.write("saturation", _WORD)
        self.write("command", command)
        self._running = _Running(command, evaluations)

    def wait(self) -> StepResult:
        """Wait for the running step.

        Raises
        ------
        TimeoutError
            After ``timeout`` seconds.
        ChipError
            If the chip reports an error.
        """
        if self._running is None:
            raise ValueError("No step is running: start one before waiting for it")
        running = self._running
        try:
            self.bus.wait(
                register("status").address, Status.BUSY | Status.DONE, Status.DONE, self.timeout
            )
        except NotYet as late:
            raise TimeoutError(
                f"The {running.command.name} step was not done after {self.timeout:g} seconds: "
                f"allow more with --timeout ({late})"
            ) from None
        self._running = None
        # error, saturation and the five counters after them stand at consecutive addresses.
        block = self.bus.read(register("error").address, 8)
        error, saturation, *counters, correct = (int(word) for word in block)
        if error:
            self.write("error", error)
            raise ChipError(
                f"The chip reported {_names(Error(error))} in a {running.command.name} step"
            )
        losses = self._read_window(self.windows["losses"], running.evaluations)
        return StepResult(
            running.command,
            losses,
            counters[0] | counters[1] << 32,
            counters[2] | counters[3] << 32,
            counters[4],
            Saturation(saturation),
            correct,
        )

    def write_coefficients(self, values: ArrayLike) -> None:
        """Write what takes the place of loss differences in UPDATE steps, one per query."""
        self._idle("Coefficients are written")
        if "coefficients" not in self.windows:
            raise ValueError("The chip does no UPDATE steps: it has no coefficients")
        self._write_window("coefficients", values, np.asarray(values).size)

    def residuals(self, evaluations: int) -> Ints:
        """Residuals of the last step's evaluations: int64[evaluations, n_residuals]."""
        self._idle("Residuals are read")
        problem = self.network.problem
        if problem is None or "residuals" not in self.windows:
            raise ValueError(f"Network {self.network.name} has no residuals on this chip")
        words = self._read_window(self.windows["residuals"], evaluations * problem.n_residuals)
        return words.reshape(evaluations, -1)

    def step(
        self, command: Command, settings: StepSettings | None = None, *, bank: int
    ) -> StepResult:
        """Start a step and wait for it."""
        self.start(command, settings, bank=bank)
        return self.wait()

    def evaluate(self, x: NDArray[np.integer], targets: NDArray[np.integer]) -> Evaluation:
        """Loss, correct predictions and clamped values over any number of samples.

        With two banks, the next samples load while the chip works on the last ones. All banks are
        overwritten.
        """
        if not len(x):
            raise ValueError("There is nothing to evaluate: expected at least one sample, got none")
        loss, correct, saturation = 0, 0, Saturation(0)
        size, banks = self.max_batch, self.chip.sample_banks
        if self.network.problem is not None:
            size = min(size, _CHECKED)
        turns = -(-len(x) // size)

        def load(turn: int) -> None:
            part = slice(turn * size, (turn + 1) * size)
            self.load_batch(x[part], targets[part], turn % banks)

        for turn in range(turns):
            if turn == 0 or banks == 1:
                load(turn)
            self.start(Command.EVALUATE, bank=turn % banks)
            if banks == 2 and turn + 1 < turns:
                load(turn + 1)
            result = self.wait()
            loss += int(result.losses[0])
            correct += result.correct
            saturation |= result.saturation
        return Evaluation(loss, correct, len(x), saturation, self.chip.formats.loss.frac_bits)

    def _idle(self, action: str) -> None:
        if self._running is not None:
            raise ValueError(f"{action} while no step is running: wait for the step first")


def _check_range(name: str, values: NDArray[np.integer], window: Window) -> None:
    low = -(1 << (window.width - 1)) if window.signed else 0
    high = (1 << (window.width - window.signed)) - 1
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(
            f"Words of window {name} are {low} to {high}, got {values.min()} to {values.max()}"
        )


def _names(error: Error) -> str:
    return ", ".join(f.name.lower().replace("_", " ") for f in Error if f in error and f.name)
