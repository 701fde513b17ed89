"""Hyper-parameters of a training run, as real numbers (paper, section 3.2).

A run has an RGE stage, a CGE stage, or both: first the coarse RGE stage, then, once its loss no
longer falls, the fine CGE stage. :mod:`zerotrain.host.settings` turns the real values into the
integers of the chip's registers.
"""

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Any, Self

from zerotrain.config.data import DataOptions, anchored, is_file

__all__ = ["CgeStage", "Decay", "RgeStage", "Rule", "Training"]


class Decay(StrEnum):
    """How a stage's step size goes from its first to its final value."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Rule(StrEnum):
    """What a step follows: the sign of the gradient estimate (signRGE) or the estimate itself."""

    SIGN = "sign"
    LINEAR = "linear"


def _positive(name: str, value: float) -> None:
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} is a positive number, not {value!r}")


@dataclass(frozen=True, slots=True)
class _Stage:
    """What both stages have.

    Parameters
    ----------
    steps : int, at least 1
        Steps at most.
    step_size : float, above 0
        Step size (learning rate) of the first step.
    final_step_size : float, above 0
        Step size of the last step, if all ``steps`` are taken.
    decay : Decay
        Course between the two.
    momentum : float, 0 to below 1
        Momentum factor, rounded to sixteenths on the chip; 0 is none.
    gradient_limit : float, above 0
        Gradient, averaged over the batch, that the momentum word must hold. It sets the unit of
        the word: a larger limit saturates later and resolves less.
    shift : int, 0 to 8
        Augmentation: every image of a batch is moved by up to so many pixels in each direction,
        drawn anew each time it is used; 0 for none.
    """

    steps: int
    step_size: float
    final_step_size: float
    decay: Decay = Decay.LINEAR
    momentum: float = 0.0
    gradient_limit: float = 8.0
    shift: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is at least 1, not {self.steps!r}")
        for name in ("step_size", "final_step_size", "gradient_limit"):
            _positive(name, getattr(self, name))
        if not 0 <= self.shift <= 8:
            raise ValueError(f"shift is 0 to 8 pixels, not {self.shift!r}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is at least 0 and below 1, not {self.momentum!r}")
        if self.decay == Decay.CONSTANT and self.step_size != self.final_step_size:
            raise ValueError(
                f"With constant decay both step sizes are equal, got {self.step_size!r} and "
                f"final {self.final_step_size!r}"
            )

    def size_at(self, step: int) -> float:
        """Real step size of step 0, 1, ... of the stage."""
        t = min(1.0, step / max(1, self.steps - 1))
        if self.decay == Decay.EXPONENTIAL:
            return float(self.step_size * (self.final_step_size / self.step_size) ** t)
        return self.step_size + (self.final_step_size - self.step_size) * t

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: str(v) if isinstance(v, StrEnum) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True)
class RgeStage(_Stage):
    """Randomised gradient estimation: all parameters perturbed at once, a few queries per step.

    Parameters
    ----------
    rule : Rule
        Sign (signRGE) or linear (RGE) update.
    queries : int, 1 to 64
        Queries N per step; at least 2 with the baseline ``"mean"``.
    baseline : "mean" or "base"
        ``"mean"``: differences to the mean of the N losses; ``"base"``: to the loss at theta.
    mu : float, above 0
        Smoothing radius.
    plateau_window : int, at least 0
        Steps over which losses are averaged to find a plateau; 0 takes all ``steps``.
    plateau_tolerance : float, 0 to below 1
        A plateau is a window whose mean loss is not below ``1 - tolerance`` times the mean of the
        window before.
    """

    rule: Rule = Rule.SIGN
    queries: int = 8
    baseline: str = "mean"
    mu: float = 2.0**-5
    plateau_window: int = 0
    plateau_tolerance: float = 0.01

    def __post_init__(self) -> None:
        # Zero-argument super() does not work in a dataclass with slots.
        _Stage.__post_init__(self)
        _positive("mu", self.mu)
        if not 1 <= self.queries <= 64:
            raise ValueError(f"queries is 1 to 64, not {self.queries!r}")
        if self.baseline not in ("mean", "base"):
            raise ValueError(f"baseline is 'mean' or 'base', not {self.baseline!r}")
        if self.baseline == "mean" and self.queries < 2:
            raise ValueError(f"The mean baseline needs at least 2 queries, not {self.queries}")
        if self.plateau_window < 0:
            raise ValueError(f"plateau_window is 0 or more steps, not {self.plateau_window!r}")
        if not 0 <= self.plateau_tolerance < 1:
            raise ValueError(
                f"plateau_tolerance is at least 0 and below 1, not {self.plateau_tolerance!r}"
            )


@dataclass(frozen=True, slots=True)
class CgeStage(_Stage):
    """Coordinate-wise gradient estimation: one loss per parameter, mu fixed by the chip."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training run.

    Parameters
    ----------
    dataset : str
        Name of a data set, ``"digits"``, ``"diabetes"`` or ``"mnist"``, or a file: CSV or NPZ.
    seed : int, 0 to 4294967295
        Seed of the initial parameters, the perturbations and the order of the samples.
    batch : int, 1 to 65536
        Samples per step. What is left of an epoch after whole batches is dropped.
    evaluate_every : int, at least 1
        Steps between two measurements of the metric.
    hold_out_validation : bool
        Train without the validation part of the data and watch the metric on it, as one does to
        choose hyper-parameters; otherwise train with it and watch the metric on the test part.
    initial : str
        A file of weights, or a run's folder, to begin with (docs/exchange.md) in place of random
        parameters.
    rge, cge : RgeStage, CgeStage or None
        The stages, in this order; at least one.
    data : DataOptions or None
        How the file becomes a data set; None for data sets with a name.
    extensions : tuple of int
        Steps by which the run was extended after the end of its schedule, each time that it was:
        more steps of the last stage at its ``final_step_size``. That is another run than the one
        whose schedule had so many steps from the start.
    """

    dataset: str
    seed: int = 1
    batch: int = 32
    evaluate_every: int = 50
    hold_out_validation: bool = False
    initial: str = ""
    rge: RgeStage | None = None
    cge: CgeStage | None = None
    data: DataOptions | None = None
    extensions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if is_file(self.dataset):
            object.__setattr__(self, "data", self.data or DataOptions())
        elif self.data is not None:
            raise ValueError(
                f"data says how a file becomes a data set, and {self.dataset!r} is the name of one:"
                " leave the table [training.data] out, or name a file"
            )
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed is 0 to 2**32 - 1, not {self.seed!r}")
        if not 1 <= self.batch <= 1 << 16:
            raise ValueError(f"batch is 1 to 65536 samples, not {self.batch!r}")
        if self.evaluate_every < 1:
            raise ValueError(f"evaluate_every is at least 1, not {self.evaluate_every!r}")
        if self.rge is None and self.cge is None:
            raise ValueError(
                "Training has a stage [training.rge], [training.cge] or both, got none"
            )
        if any(steps < 1 for steps in self.extensions):
            raise ValueError(
                f"extensions are of at least 1 step each, not {list(self.extensions)!r}"
            )

    @property
    def watched(self) -> str:
        """The part of the data that is measured during the run, and is the run's result."""
        return "validation" if self.hold_out_validation else "test"

    @property
    def max_steps(self) -> int:
        """Steps taken if no plateau ends the RGE stage early."""
        stages = sum(stage.steps for stage in (self.rge, self.cge) if stage is not None)
        return stages + sum(self.extensions)

    def anchored(self, folder: Path) -> Self:
        """The same with absolute paths of data files, relative ones being in a folder."""
        if self.data is None:
            return self
        return replace(
            self, dataset=anchored(self.dataset, folder), data=self.data.anchored(folder)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON; without stages and extensions that are not there."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["extensions"] = list(self.extensions) or None
        return {
            k: v.to_dict() if isinstance(v, _Stage | DataOptions) else v
            for k, v in values.items()
            if v not in (None, "")
        }
