"""The hybrid schedule (paper, section 3.2).

Coarse RGE steps run until their loss no longer falls, then fine CGE steps with momentum. Either
stage may stand alone. An extension adds steps of the last stage at its final step size, with the
momentum that there is. A schedule is a function of the losses it is shown; its whole state is a few
integers, so a run can be resumed to the last bit.
"""

from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.training import CgeStage, RgeStage, Rule, Training
from zerotrain.host.settings import LOSS_ONE, chip_values, real_step_size, step_settings
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Baseline, Command
from zerotrain.spec.step import StepSettings

__all__ = ["PlannedStep", "Schedule", "ScheduleState"]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The next step of a schedule.

    Attributes
    ----------
    phase : str
        Name for people: ``"sign-rge"``, ``"rge"`` or ``"cge"``.
    step_size : float
        What the chip takes: the configuration's, rounded to ``settings``.
    clear_momentum : bool
        Whether momentum starts from zero: its unit differs from stage to stage.
    shift : int
        Pixels by which the batch's images are moved at most, in each direction.
    """

    command: Command
    settings: StepSettings
    phase: str
    step_size: float
    clear_momentum: bool
    shift: int


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
    extra : int
        Steps of extensions, which count for no stage.
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
    extra: int = 0


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
        rge, cge = self.training.rge, self.training.cge
        coarse = self.state.rge_steps if self.state.rge_over or rge is None else rge.steps
        return coarse + (cge.steps if cge else 0) + sum(self.training.extensions)

    @property
    def cge_steps(self) -> int:
        """CGE steps taken, without extensions."""
        return self.state.step - self.state.rge_steps - self.state.extra

    @property
    def _stages_over(self) -> bool:
        cge = self.training.cge
        return self.state.rge_over and (cge is None or self.cge_steps == cge.steps)

    @property
    def at_end(self) -> bool:
        """Whether all steps were taken, or all that there were before an extension: an extended run
        has measured and noted there what a run does at its end."""
        ends = accumulate(self.training.extensions, initial=0)
        return self._stages_over and self.state.extra in ends

    def next(self) -> PlannedStep | None:
        """The next step, or None at the end."""
        state, rge, cge = self.state, self.training.rge, self.training.cge
        extra = self._stages_over
        if extra and state.extra == sum(self.training.extensions):
            return None
        coarse = rge is not None and (cge is None if extra else not state.rge_over)
        stage: RgeStage | CgeStage | None = rge if coarse else cge
        assert stage is not None
        if isinstance(stage, RgeStage):
            index, command = state.rge_steps, Command.RGE
            phase = "sign-rge" if stage.rule == Rule.SIGN else "rge"
        else:
            index, command, phase = self.cge_steps, Command.CGE, "cge"
        size = stage.final_step_size if extra else stage.size_at(index)
        batch = self.training.batch
        settings = step_settings(stage, self.formats, batch, size)
        real = real_step_size(stage, self.formats, batch, settings)
        return PlannedStep(command, settings, phase, real, index == 0, stage.shift)

    def record(self, losses: NDArray[np.int64], planned: PlannedStep) -> None:
        """Take note of the losses of the step that :meth:`next` planned."""
        state, rge, extra = self.state, self.training.rge, self._stages_over
        state.step += 1
        if extra:
            state.extra += 1
            return
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
        return total / (self.training.batch * LOSS_ONE)

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
        if set(values) | {"extra"} != set(types):  # earlier versions had no extensions
            raise ValueError(
                f"A schedule's state has {', '.join(sorted(types))}, "
                f"got {', '.join(sorted(values))[:200]}"
            )
        state, rge, cge = ScheduleState(**values), self.training.rge, self.training.cge
        values = asdict(state)
        coarse, fine = rge.steps if rge else 0, cge.steps if cge else 0
        extra = sum(self.training.extensions)
        if not (
            all(type(values[name]) is kind for name, kind in types.items())
            and 0 <= state.rge_steps <= coarse
            and 0 <= state.extra <= extra
            and 0 <= state.step - state.rge_steps - state.extra <= (fine if state.rge_over else 0)
            and (not state.extra or state.step == state.rge_steps + fine + state.extra)
            and state.rge_over >= (state.rge_steps == coarse)
            and 0 <= state.window_sum and -1 <= state.last_sum
            and 0 <= state.window_count <= max(0, rge.plateau_window - 1 if rge else 0)
        ):  # fmt: skip
            raise ValueError(
                f"A schedule of up to {coarse} RGE and {fine} CGE steps"
                f"{f', extended by {extra},' if extra else ''} is never in the state "
                + ", ".join(f"{name} = {str(value)[:40]}" for name, value in values.items())
            )
        self.state = state
