"""The running hash of a run: one value that depends on every bit of every step so far.

Two runs of the same schedule, say on the Verilated and on the golden chip, hold the same
parameters, momentum words, generator states, losses and saturation flags after every step if and
only if their running hashes agree.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from zerotrain.host.driver import Evaluation, StepResult

__all__ = ["RunningHash"]


class RunningHash:
    """A chain of SHA-256 digests.

    Parameters
    ----------
    value : str
        Where the chain goes on, hexadecimal; by default its beginning.
    """

    def __init__(self, value: str = "00" * 32) -> None:
        self.value = value

    def _chain(self, *parts: bytes) -> None:
        digest = hashlib.sha256(bytes.fromhex(self.value))
        for part in parts:
            # Lengths keep neighbouring parts apart.
            digest.update(len(part).to_bytes(8, "little") + part)
        self.value = digest.hexdigest()

    def state(self, theta: NDArray[np.int64], momentum: NDArray[np.int64], lfsr_state: int) -> None:
        """Add the chip's state: after every step, and before the first."""
        self._chain(
            b"state", theta.astype("<i8").tobytes(), momentum.astype("<i8").tobytes(),
            lfsr_state.to_bytes(8, "little"),
        )  # fmt: skip

    def step(self, result: StepResult) -> None:
        """Add a step's losses and saturation flags."""
        head = bytes([result.command, result.saturation])
        self._chain(b"step", head, result.losses.astype("<i8").tobytes())

    def evaluation(self, result: Evaluation) -> None:
        """Add an evaluation."""
        self._chain(b"evaluation", f"{result.loss} {result.correct} {result.count}".encode())
