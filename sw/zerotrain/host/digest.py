"""The running hash of a run: one value that depends on every bit of every step so far.

Every step adds its losses and saturation flags; every so many steps, and the last one, the whole
state too, which takes the chip longer to be read than many a step takes. Two runs of the same
schedule, say on the Verilated and on the golden chip, have the same running hash after a step only
if all losses up to it agree, and the parameters, momentum words and generator states wherever they
were added. Which steps these are depends on their number alone: a resumed run has the same hash.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from zerotrain.host.driver import Evaluation, StepResult

__all__ = ["STATE_EVERY", "RunningHash"]

#: Steps between two states. To read every one lengthens an RGE step of the digits by a fifth; and
#: a parameter that differs nearly always shows in the losses of the very next step.
STATE_EVERY = 16


class RunningHash:
    """A chain of SHA-256 digests.

    Parameters
    ----------
    value : str
        Where the chain goes on, hexadecimal; by default its beginning.
    state_every : int
        The state is due after every step whose number this divides.
    """

    def __init__(self, value: str = "00" * 32, state_every: int = STATE_EVERY) -> None:
        if state_every < 1:
            raise ValueError(f"The state is hashed every 1 or more steps, not {state_every!r}")
        self.value, self.state_every = value, state_every

    def state_due(self, step: int, *, last: bool = False) -> bool:
        """Whether :meth:`state` belongs to a step; ``last`` is the last one of the run."""
        return last or step % self.state_every == 0

    def _chain(self, *parts: bytes) -> None:
        digest = hashlib.sha256(bytes.fromhex(self.value))
        for part in parts:
            # Lengths keep neighbouring parts apart.
            digest.update(len(part).to_bytes(8, "little") + part)
        self.value = digest.hexdigest()

    def state(self, theta: NDArray[np.int64], momentum: NDArray[np.int64], lfsr_state: int) -> None:
        """Add the chip's state: before the first step, and after those where it is due."""
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
