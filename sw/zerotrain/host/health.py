"""Does a training go well? Values that the chip clamps, and losses that only grow.

A flag of a step says that at least one of its values was clamped, not how many. A network may do
well with clamped forward values: RGE follows the loss of the network as it is, clamps included. The
chip's CGE by environments does not, and a clamped loss or gradient helps nobody.
"""

from collections import deque
from dataclasses import dataclass, field
from math import log
from statistics import fmean
from typing import Self

from zerotrain.config.training import Training
from zerotrain.data.dataset import Dataset
from zerotrain.host.trainer import Row, Trainer
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import QFormat
from zerotrain.spec.registers import Saturation

__all__ = ["WINDOW", "Health", "guessing_loss"]

#: Steps that are looked at together.
WINDOW = 100
#: A loss of so many times the run's first one is divergence.
_GROWTH = 2.0
#: A loss of at least this share of the largest one is at its clamp.
_PINNED = 0.999
#: A mean loss of this share of the largest one is divergence, too.
_NEAR = 0.9

#: What each flag is about, and the formats that hold it.
_KINDS = {
    Saturation.PERTURB: ("perturbed parameters", ("weight",)),
    Saturation.MERGE: ("merged TT-cores", ("weight",)),
    Saturation.SCRATCH: ("intermediates", ("tt", "delta")),
    Saturation.PREACT: ("pre-activations", ("preact",)),
    Saturation.LOGIT: ("network outputs", ("logit", "dlogit")),
    Saturation.LOSS: ("losses", ("loss",)),
    Saturation.GRADIENT: ("gradients or momentum", ("momentum",)),
    Saturation.PARAMETER: ("parameters", ("weight",)),
}
_FORWARD = Saturation.MERGE | Saturation.SCRATCH | Saturation.PREACT | Saturation.LOGIT
#: Formats of values that only CGE by environments has.
_CGE_FORMATS = ("delta", "dlogit")


def guessing_loss(dataset: Dataset) -> float:
    """Loss per sample of a network that gives every sample the same best answer: all classes the
    same chance, or the targets' mean."""
    if dataset.labelled:
        return log(dataset.n_outputs)
    return float(dataset.training.targets.var(axis=0).sum())


@dataclass
class Health:
    """What the rows of a run's log say, one after the other.

    Attributes
    ----------
    steps : int
        Training steps seen.
    counts : dict
        Steps in which values of a kind were clamped.
    warned : set
        Kinds of which :meth:`see` has warned.
    divergence : str
        Why the training diverges, as a sentence; empty while it does not. Either the losses of all
        of the last :data:`WINDOW` steps stood at the largest one that the chip can hold, or their
        mean is above that of guessing and above twice the loss that the run began with, or nine
        tenths of the largest loss where that is less.

    Parameters
    ----------
    guess : float
        :func:`guessing_loss` of the data.
    """

    chip: Chip
    training: Training
    guess: float
    steps: int = 0
    counts: dict[Saturation, int] = field(default_factory=dict)
    warned: set[Saturation] = field(default_factory=set)
    divergence: str = ""

    def __post_init__(self) -> None:
        self._flags: deque[Saturation] = deque(maxlen=WINDOW)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._first = 0.0

    @classmethod
    def of(cls, trainer: Trainer) -> Self:
        """That of a trainer's run."""
        return cls(trainer.driver.chip, trainer.training, guessing_loss(trainer.dataset))

    @property
    def largest_loss(self) -> float:
        """Largest loss per sample that the chip can hold."""
        fmt = self.chip.formats.loss
        return fmt.raw_max * fmt.resolution / self.training.batch

    def see(self, row: Row) -> list[str]:
        """Take note of a row, and say in sentences what is new."""
        if row.step == 0:
            self._first = row.loss or 0.0
            return []
        self.steps += 1
        flags = Saturation(0)
        for kind in _KINDS:
            if str(kind.name).lower() in row.saturation.split("+"):
                flags |= kind
                self.counts[kind] = self.counts.get(kind, 0) + 1
        self._flags.append(flags)
        self._losses.append(row.loss or 0.0)
        new = []
        for kind in flags:
            count = sum(kind in f for f in self._flags)
            if kind not in self.warned and 2 * count >= WINDOW:
                self.warned.add(kind)
                new.append(f"{self._clamped(kind, count, len(self._flags), 'the last ')}.")
        if not self.divergence and (why := self._diverges()):
            self.divergence = why
            new.append(why)
        return new

    def summary(self) -> list[str]:
        """A sentence for every kind that was clamped in half of the steps, or of which :meth:`see`
        warned."""
        often = [k for k, n in self.counts.items() if 2 * n >= self.steps or k in self.warned]
        kinds = [kind for kind in _KINDS if kind in often]
        return [f"{self._clamped(k, self.counts[k], self.steps, '')}." for k in kinds]

    def _clamped(self, kind: Saturation, count: int, steps: int, which: str) -> str:
        what, names = _KINDS[kind]
        formats = self.chip.formats
        environments = self.chip.cge.kind.environments and self.training.cge is not None
        names = tuple(n for n in names if environments or n not in _CGE_FORMATS)
        ranges = " or ".join(_range(name, getattr(formats, name)) for name in names)
        head = f"{what[0].upper()}{what[1:]} were clamped in {count:,} of {which}{steps:,} steps"
        if kind == Saturation.GRADIENT:
            return f"{head}: raise gradient_limit of the stage, or give chip.formats.{ranges} bits"
        if kind == Saturation.LOSS:
            return (
                f"{head}: a sample's loss is {self.largest_loss:.4g} at most in a batch of "
                f"{self.training.batch}; take smaller batches, or more integer bits for "
                f"chip.formats.{ranges}"
            )
        advice = f"more integer bits for chip.formats.{ranges} would hold them"
        if kind == Saturation.PARAMETER:
            return f"{head}: {advice}, or a smaller step_size would keep them small"
        if kind in _FORWARD and not environments:
            return f"{head}: the chip trains the network with these clamps; {advice}"
        return f"{head}: {advice}"

    def _diverges(self) -> str:
        if len(self._losses) < WINDOW:
            return ""
        mean, top = fmean(self._losses), self.largest_loss
        if min(self._losses) >= _PINNED * top:
            return (
                f"The training diverges: the loss was the largest that the chip holds, {top:.4g} "
                f"per sample, in all of the last {WINDOW} steps; take a smaller step_size, or more "
                "integer bits for chip.formats." + _range("loss", self.chip.formats.loss)
            )
        if mean > max(self.guess, min(_GROWTH * self._first, _NEAR * top)):
            return (
                f"The training diverges: the loss of the last {WINDOW} steps is {mean:.4g} per "
                f"sample on average, it began with {self._first:.4g}; take a smaller step_size"
            )
        return ""


def _range(name: str, fmt: QFormat) -> str:
    low, high = fmt.raw_min * fmt.resolution, fmt.raw_max * fmt.resolution
    return f"{name} ({fmt}, {low:.4g} to {high:.4g})"
