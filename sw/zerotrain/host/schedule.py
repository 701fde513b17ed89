"""The hybrid schedule (paper, section 3.2).

Coarse RGE steps run until their loss no longer falls, then fine CGE steps with momentum. Either
stage may stand alone. A schedule is a function of the losses it is shown; its whole state is a few
integers, so a run can be resumed to the last bit.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.training import CgeStage, RgeStage, Rule, SubspaceStage, Training
from zerotrain.host.settings import (
    chip_values,
    loss_one,
    real_step_size,
    step_settings,
    subspace_settings,
)
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Baseline, Command
from zerotrain.spec.step import StepSettings

__all__ = ["PlannedStep", "Schedule", "ScheduleState"]


@dataclass(frozen=True, slots=True)
class Solve:
    """A step in the subspace: its stage, damping, and step size times mu in units of ``weight``."""

    stage: SubspaceStage
    damping: float
    step: float


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The next step of a schedule.

    Attributes
    ----------
    phase : str
        Name for people: ``"sign-rge"``, ``"rge"``, ``"subspace"`` or ``"cge"``.
    step_size : float
        What the chip takes: the configuration's, rounded to ``settings``.
    clear_momentum : bool
        Whether momentum starts from zero: its unit differs from stage to stage.
    shift : int
        Pixels by which the batch's images are moved at most, in each direction.
    solve : Solve or None
        What the host solves between the losses and the update of a step in two halves.
    """

    command: Command
    settings: StepSettings
    phase: str
    step_size: float
    clear_momentum: bool
    shift: int
    solve: Solve | None = None


@dataclass(slots=True)
class ScheduleState:
    """Where a schedule stands, in integers.

    Attributes
    ----------
    step : int
        Steps taken.
    rge_steps : int
        Of these, RGE steps.
    rge_over : bool
        Whether the RGE stage has ended.
    window_sum, window_count : int
        Sum of the mean losses (raw, rounded down) of the current plateau window, and their number.
    last_sum : int
        The same sum of the window before; -1 if there was none.
    """

    step: int = 0
    rge_steps: int = 0
    rge_over: bool = False
    window_sum: int = 0
    window_count: int = 0
    last_sum: int = -1


class Schedule:
    """A run's steps, one after the other.

    Parameters
    ----------
    training : Training
        The stages and their hyper-parameters.
    formats : Formats
        Number formats of the chip.

    Raises
    ------
    ValueError
        If a hyper-parameter is not representable on the chip at any step.
    """

    def __init__(self, training: Training, formats: Formats) -> None:
        self.training, self.formats = training, formats
        self.state = ScheduleState(rge_over=training.rge is None)
        chip_values(training, formats)  # refuses what the chip has not

    @property
    def max_steps(self) -> int:
        """Steps in all, as far as known now: a plateau ends the RGE stage early."""
        rge, fine = self.training.rge, self.training.fine
        coarse = self.state.rge_steps if self.state.rge_over or rge is None else rge.steps
        return coarse + (fine.steps if fine else 0)

    def next(self) -> PlannedStep | None:
        """The next step, or None at the end."""
        state, training = self.state, self.training
        if not state.rge_over and training.rge is not None:
            stage: RgeStage | CgeStage = training.rge
            index, command = state.rge_steps, Command.RGE
            phase = "sign-rge" if training.rge.rule == Rule.SIGN else "rge"
        elif (subspace := training.subspace) is not None and self._fine_left(subspace.steps):
            index = state.step - state.rge_steps
            settings = subspace_settings(subspace, self.formats, 0)
            size = subspace.size_at(index)
            solve = Solve(subspace, subspace.damping_at(index), size * settings.mu)
            return PlannedStep(Command.LOSSES, settings, "subspace", size, index == 0, 0, solve)
        elif training.cge is not None and self._fine_left(training.cge.steps):
            stage, index, command = training.cge, state.step - state.rge_steps, Command.CGE
            phase = "cge"
        else:
            return None
        size = stage.size_at(index)
        settings = step_settings(stage, self.formats, training.batch, size)
        real = real_step_size(stage, self.formats, training.batch, settings)
        return PlannedStep(command, settings, phase, real, index == 0, stage.shift)

    def _fine_left(self, steps: int) -> bool:
        """Whether the stage after RGE, of so many steps, goes on."""
        return self.state.step - self.state.rge_steps < steps

    def record(self, losses: NDArray[np.int64], planned: PlannedStep) -> None:
        """Take note of the losses of the step that :meth:`next` planned."""
        state, rge = self.state, self.training.rge
        state.step += 1
        if planned.command != Command.RGE or rge is None:
            return
        state.rge_steps += 1
        if rge.plateau_window:
            state.window_sum += int(losses.sum()) // len(losses)
            state.window_count += 1
            if state.window_count == rge.plateau_window:
                limit = state.last_sum * (1.0 - rge.plateau_tolerance)
                state.rge_over = state.last_sum >= 0 and state.window_sum >= limit
                state.last_sum, state.window_sum, state.window_count = state.window_sum, 0, 0
        state.rge_over = state.rge_over or state.rge_steps >= rge.steps

    def mean_loss(self, losses: NDArray[np.int64], planned: PlannedStep) -> float:
        """Loss per sample before the update: at theta, or the queries' mean with that baseline."""
        at_theta = planned.command == Command.CGE or planned.settings.baseline == Baseline.BASE
        total = float(losses[0]) if at_theta else float(losses.sum()) / len(losses)
        return total / (self.training.batch * loss_one(self.formats))

    def save(self) -> dict[str, Any]:
        """The whole state, for JSON."""
        return asdict(self.state)

    def restore(self, values: dict[str, Any]) -> None:
        """Continue from a saved state.

        Raises
        ------
        ValueError
            If this schedule never is in that state.
        """
        types = {f.name: f.type for f in fields(ScheduleState)}
        if set(values) != set(types):
            raise ValueError(
                f"A schedule's state has {', '.join(sorted(types))}, "
                f"got {', '.join(sorted(values))[:200]}"
            )
        state, rge, last = ScheduleState(**values), self.training.rge, self.training.fine
        coarse, fine = rge.steps if rge else 0, last.steps if last else 0
        kind = "subspace" if self.training.subspace else "CGE"
        if not (
            all(type(values[name]) is kind for name, kind in types.items())
            and 0 <= state.rge_steps <= coarse
            and state.rge_steps <= state.step <= state.rge_steps + (fine if state.rge_over else 0)
            and state.rge_over >= (state.rge_steps == coarse)
            and 0 <= state.window_sum and -1 <= state.last_sum
            and 0 <= state.window_count <= max(0, rge.plateau_window - 1 if rge else 0)
        ):  # fmt: skip
            raise ValueError(
                f"A schedule of up to {coarse} RGE and {fine} {kind} steps is never in the state "
                + ", ".join(f"{name} = {str(value)[:40]}" for name, value in values.items())
            )
        self.state = state
