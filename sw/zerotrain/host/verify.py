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
        First step after which they differed; 0 is the initial state.
    """

    equal: bool
    steps: int
    first_difference: int | None = None

    def __str__(self) -> str:
        if self.equal:
            return (
                f"The golden model holds the same parameters and losses at every one of "
                f"{self.steps} steps."
            )
        return f"The golden model differs from step {self.first_difference} on."


def verify(
    trainer: Trainer, digests: Sequence[str], progress: Callable[[int], None] | None = None
) -> Verification:
    """Repeat a run on another chip and compare the running hash after every step.

    Parameters
    ----------
    trainer : Trainer
        A fresh trainer of the same run on the other chip, normally the golden one.
    digests : sequence of str
        The run's hashes: initial state, step 1, 2, ... up to its last step so far.
    progress : callable, optional
        Called with the number of every step compared.
    """
    for step, expected in enumerate(digests):
        row = trainer.begin() if step == 0 else trainer.advance()
        if row is None or row.digest != expected:
            return Verification(False, step, step)
        if progress is not None:
            progress(step)
    return Verification(bool(digests), max(0, len(digests) - 1))
