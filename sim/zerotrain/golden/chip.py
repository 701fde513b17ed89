"""The golden chip: the golden model behind the registers and windows of a real chip.

It knows no time. A step has finished when the write of its command returns, and the counters of
cycles, beats and stalls read zero. The program window stores what it is given, but the numbers come
from the network that the chip was made for.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, rge_step
from zerotrain.golden.tt import Groups
from zerotrain.spec.batch import address_bits
from zerotrain.spec.bus import NotYet
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Network
from zerotrain.spec.registers import (
    IDENTIFIER,
    REGISTERS,
    VERSION,
    Baseline,
    Command,
    Error,
    Register,
    Status,
    UpdateRule,
    Window,
    commands,
    windows,
)
from zerotrain.spec.step import StepSettings

__all__ = ["GoldenChip"]

Ints = NDArray[np.int64]


class GoldenChip:
    """A chip with one network loaded, as a :class:`zerotrain.spec.bus.Bus`.

    All registers and memories start at zero. As on the chip:

    * an access where no register and no memory word is reads zero, writes nothing and sets
      ``BAD_ADDRESS``; that includes rows of ``samples`` and ``targets`` beyond their depth;
    * writes of read-only registers and of the losses are ignored;
    * a command that the chip does not know sets ``BAD_COMMAND`` and is ignored.

    Parameters
    ----------
    chip : Chip
        The chip.
    network : Network
        The network that it is to train.
    groups : tuple of tuple of int
        TT-cores of each layer that the network's program merges.

    Raises
    ------
    ValueError
        If chip, network and groups do not go together.
    """

    def __init__(self, chip: Chip, network: Network, groups: Groups) -> None:
        self.chip, self.network = chip, network
        self.model = Model.of(chip, network, groups)
        self._by_address = {r.address: r for r in REGISTERS}
        self._registers = {r.name: 0 for r in REGISTERS} | {
            "identifier": IDENTIFIER,
            "version": VERSION,
            "config_hash": chip.config_hash,
        }
        self._windows = windows(chip)
        self._memories = {name: np.zeros(w.words, np.int64) for name, w in self._windows.items()}
        self._open = True

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        """Read ``count`` consecutive words from byte ``address``."""
        self._check(address)
        out = np.zeros(count, np.uint32)
        window = self._window(address, count)
        if window is not None:
            first = (address - window.base) // 4
            words = self._memories[window.name][first : first + count]
            self._note_missing(self._backed(window, first, count))
            out[:] = (words & 0xFFFFFFFF).astype(np.uint32)
            return out
        for k in range(count):
            out[k] = self._read_word(address + 4 * k)
        return out

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        """Write consecutive words from byte ``address``; values are taken modulo 2**32.

        Raises
        ------
        ValueError
            If this writes a command that the other registers make no sense of.
        """
        self._check(address)
        if not isinstance(words, np.ndarray):
            words = np.array([int(w) & 0xFFFFFFFF for w in words], np.int64)
        values = words.astype(np.int64) & 0xFFFFFFFF
        window = self._window(address, len(values))
        if window is not None:
            first = (address - window.base) // 4
            self._write_window(window, first, values)
            return
        for k, value in enumerate(values):
            self._write_word(address + 4 * k, int(value))

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        """Return if ``word & mask == value``; nothing can change while one waits.

        Raises
        ------
        NotYet
            At once, otherwise.
        """
        word = int(self.read(address)[0])
        if word & mask != value:
            raise NotYet(
                f"the word at {address:#x} of the golden chip is {word:#x} and does not change by "
                f"itself, expected {value:#x} under mask {mask:#x}"
            )

    def close(self) -> None:
        """Release the chip. Further calls are errors."""
        self._open = False

    def _check(self, address: int) -> None:
        if not self._open:
            raise ValueError("This golden chip is closed: open a new one")
        if address < 0 or address % 4:
            raise ValueError(f"Addresses are multiples of 4, at least 0, not {address!r}")

    # Memory windows.

    def _window(self, address: int, count: int) -> Window | None:
        """The window that holds all these words, or None."""
        for window in self._windows.values():
            if window.base <= address and address + 4 * count <= window.base + 4 * window.words:
                return window
        return None

    def _backed(self, window: Window, first: int, count: int) -> NDArray[np.bool_]:
        """Which words of a window are words of its memory: those with a row below its depth."""
        depths = {"samples": self.chip.sample_depth, "targets": self.chip.target_depth}
        if window.name not in depths:
            return np.ones(count, np.bool_)
        depth = depths[window.name]
        return np.arange(first, first + count) % (1 << address_bits(depth)) < depth

    def _note_missing(self, backed: NDArray[np.bool_]) -> None:
        if not backed.all():
            self._registers["error"] |= Error.BAD_ADDRESS

    def _write_window(self, window: Window, first: int, values: Ints) -> None:
        backed = self._backed(window, first, len(values))
        self._note_missing(backed)
        if window.name == "losses":
            return
        kept = values & ((1 << window.width) - 1)
        if window.signed:
            kept -= (kept >> (window.width - 1)) << window.width
        memory = self._memories[window.name]
        memory[first : first + len(kept)] = np.where(backed, kept, 0)

    def _read_word(self, address: int) -> int:
        register = self._by_address.get(address)
        if register is not None:
            return self._registers[register.name]
        if self._window(address, 1) is not None:
            return int(self.read(address)[0])
        self._registers["error"] |= Error.BAD_ADDRESS
        return 0

    def _write_word(self, address: int, value: int) -> None:
        register = self._by_address.get(address)
        if register is not None:
            self._write_register(register, value)
        elif self._window(address, 1) is not None:
            self.write(address, [value])
        else:
            self._registers["error"] |= Error.BAD_ADDRESS

    # Registers and steps.

    def _write_register(self, register: Register, value: int) -> None:
        name, value = register.name, value & ((1 << register.width) - 1)
        if register.access == "rc":
            self._registers[name] &= ~value
        elif name == "command":
            self._start(value)
        elif name == "lfsr_hi":
            self._registers[name] = value & ((1 << self.chip.lfsr_degree >> 32) - 1)
        elif register.access == "rw":
            self._registers[name] = value

    def _start(self, value: int) -> None:
        """Run a whole step."""
        if value not in commands(self.chip):
            self._registers["error"] |= Error.BAD_COMMAND
            return
        registers, flags = self._registers, Flags()
        command = Command(value)
        x, targets = self._batch()
        self._check_evaluations(command)
        # Numba is slow to import: not before the first step.
        from zerotrain.golden.fast.engine import engine_of

        engine = engine_of(self.model)
        d = self.network.n_parameters
        lfsr_state = registers["lfsr_lo"] | registers["lfsr_hi"] << 32
        theta, momentum = (self._memories[name][:d] for name in ("parameters", "momentum"))
        state = State(theta.copy(), momentum.copy(), lfsr_state)
        if command == Command.EVALUATE:
            loss, registers["correct"] = engine.evaluate(self.model, theta, x, targets, flags)
            losses = np.array([loss])
        else:
            step = rge_step if command == Command.RGE else cge_step
            settings = self._settings(command)
            state, losses = step(self.model, settings, state, x, targets, flags, engine)
            theta[:], momentum[:] = state.theta, state.momentum
            registers["lfsr_lo"] = state.lfsr_state & 0xFFFFFFFF
            registers["lfsr_hi"] = state.lfsr_state >> 32
        self._memories["losses"][: losses.size] = losses
        registers["saturation"] |= flags.value
        registers["command"] = command
        registers["status"] = Status.DONE

    def _settings(self, command: Command) -> StepSettings:
        r = self._registers
        rge = command == Command.RGE
        return StepSettings(
            # CGE has no use for these three, whatever their registers hold.
            queries=r["queries"] if rge else 1,
            baseline=Baseline(r["baseline"]) if rge else Baseline.BASE,
            mu=r["mu"] if rge else 1,
            update_rule=UpdateRule(r["update_rule"]),
            gradient_shift=r["gradient_shift"],
            decay=r["decay"],
            step_mantissa=r["step_mantissa"],
            step_shift=r["step_shift"],
        )

    def _check_evaluations(self, command: Command) -> None:
        r = self._registers
        for name in ("n_parameters", "n_inputs", "n_outputs"):
            expected = getattr(self.network, name)
            if r[name] != expected:
                raise ValueError(
                    f"Register {name} must match network {self.network.name!r} of this golden "
                    f"chip: expected {expected}, got {r[name]}"
                )
        count = {
            Command.RGE: r["queries"] + (r["baseline"] == Baseline.BASE),
            Command.CGE: self.network.n_parameters + 1,
        }.get(command, 1)
        if count > self.chip.evaluation_depth:
            raise ValueError(
                f"A step has at most {self.chip.evaluation_depth} evaluations on this chip "
                f"(evaluation_depth), this one has {count}"
            )
        if command == Command.RGE and r["queries"] > self.chip.query_depth:
            raise ValueError(
                f"A step has at most {self.chip.query_depth} queries on this chip (query_depth), "
                f"not {r['queries']}"
            )
        if self.network.n_parameters > self.chip.parameter_depth:
            raise ValueError(
                f"A network has at most {self.chip.parameter_depth} parameters on this chip "
                f"(parameter_depth), not {self.network.n_parameters}"
            )

    def _batch(self) -> tuple[Ints, Ints]:
        """Samples ``[batch, n_inputs]`` and targets of the bank that the step reads."""
        chip, network, r = self.chip, self.network, self._registers
        if r["passes"] < 1 or not 1 <= r["last_lanes"] <= chip.lanes:
            raise ValueError(
                f"A step has 1 pass or more and 1 to {chip.lanes} lanes in the last pass, not "
                f"{r['passes']} and {r['last_lanes']}"
            )
        layout = chip.layout
        batch = layout.batch(r["passes"], r["last_lanes"])
        sample = np.arange(batch)[:, None]
        sample_row = layout.sample_row(sample, network.n_inputs) + np.arange(network.n_inputs)
        target_row = layout.target_row(sample, network.n_targets) + np.arange(network.n_targets)
        for name, row, depth in (
            ("sample", sample_row, chip.sample_depth),
            ("target", target_row, chip.target_depth),
        ):
            if row.max() >= depth:
                raise ValueError(
                    f"A batch of {batch} needs {row.max() + 1} rows of the {name} memory, which "
                    f"has {depth} ({name}_depth)"
                )
        x = self._rows("samples", layout.lane(sample), sample_row, chip.sample_depth)
        targets = self._rows("targets", layout.way(sample), target_row, chip.target_depth)
        if network.loss.record.labels:
            targets = targets[:, 0]
            if targets.max() >= network.n_outputs:
                raise ValueError(
                    f"Labels are 0 to {network.n_outputs - 1}, the batch holds {targets.max()}"
                )
        return x, targets

    def _rows(self, name: str, lane: Ints, row: Ints, depth: int) -> Ints:
        """Words of one bank of samples or targets: lane (or way) and row of each."""
        bank = self._registers["bank"] * (self.chip.sample_banks - 1)
        return self._memories[name][self.chip.layout.bus_word(lane, bank, depth) + row]
