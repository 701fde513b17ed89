"""Is the golden model's run the same, bit for bit, at every step?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zerotrain.host.trainer import Trainer

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """Outcome of a comparison.

    Attributes
    ----------
    equal : bool
        Whether both runs had the same running hash after every step.
    steps : int
        Steps compared.
    first_difference : int or None
        First step after which they differed; 0 is the initial state. The losses up to the step
        before are equal; the state may have begun to differ after ``last_state``.
    last_state : int or None
        Last step whose whole state is known to be equal.
    state_every : int
        Steps between two comparisons of the state.
    """

    equal: bool
    steps: int
    first_difference: int | None = None
    last_state: int | None = None
    state_every: int = 1

    def __str__(self) -> str:
        if self.equal:
            return (
                f"The golden model holds the same losses at every one of {self.steps} steps, and "
                f"the same parameters every {self.state_every} steps and at the end."
            )
        text = f"The golden model differs from step {self.first_difference} on"
        if self.last_state is not None and self.last_state + 1 != self.first_difference:
            text += f"; all parameters were last compared, and equal, after step {self.last_state}"
        return f"{text}."


def verify(
    trainer: Trainer, digests: Sequence[str], progress: Callable[[int], None] | None = None
) -> Verification:
    """Repeat a run on another chip and compare the running hash after every step.

    Parameters
    ----------
    trainer : Trainer
        A fresh trainer of the same run on the other chip, normally the golden one; its hash has
        the run's ``state_every``.
    digests : sequence of str
        The run's hashes: initial state, step 1, 2, ... up to its last step so far.
    progress : callable, optional
        Called with the number of every step compared.
    """
    running, last_state = trainer.hash, None
    for step, expected in enumerate(digests):
        row = trainer.begin() if step == 0 else trainer.advance()
        if row is None or row.digest != expected:
            return Verification(False, step, step, last_state, running.state_every)
        if running.state_due(step, last=trainer.schedule.at_end):
            last_state = step
        if progress is not None:
            progress(step)
    steps = max(0, len(digests) - 1)
    return Verification(bool(digests), steps, None, last_state, running.state_every)
