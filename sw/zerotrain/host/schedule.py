"""The hybrid schedule (paper, section 3.2), and how its real numbers become the chip's integers.

Coarse RGE steps run until their loss no longer falls, then fine CGE steps with momentum. Either
stage may stand alone. A schedule is a function of the losses it is shown; its whole state is a few
integers, so a run can be resumed to the last bit.

Units (docs/numerics.md, section 6). A raw loss is ``2**-20``, summed over the batch; a raw weight
is ``2**-f`` with ``f = formats.weight.frac_bits``. For a gradient component ``G`` of the batch's
mean loss the chip's raw gradient is, on average::

    CGE             g = G * batch * 2**20 * mu_cge
    RGE, base       g = G * batch * 2**20 * mu * N
    RGE, mean       g = G * batch * 2**20 * mu * N * (N - 1)

The momentum word is ``v = g / 2**gradient_shift``, plus what momentum adds. The linear rule moves
theta by
``v * step_mantissa / 2**step_shift`` raw weights, which must be ``step_size * G * 2**f``; the sign
rule moves it by ``step_mantissa`` raw weights, ``step_size * 2**f``.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.training import CgeStage, RgeStage, Rule, Training
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Baseline, Command, UpdateRule, register
from zerotrain.spec.step import StepSettings

__all__ = ["PlannedStep", "Schedule", "ScheduleState", "chip_values", "rounding", "step_settings"]

_LOSS_ONE = 1 << 20
#: Momentum factors are sixteenths.
_DECAY_ONE = 16
#: Share of a value by which it is rounded without a word.
_NOISE = 0.01


def _stages(training: Training) -> dict[str, RgeStage | CgeStage]:
    """The stages of a training, by name, in their order."""
    both = {"rge": training.rge, "cge": training.cge}
    return {name: stage for name, stage in both.items() if stage is not None}


def _top(name: str) -> int:
    """Largest value of a register."""
    return (1 << register(name).width) - 1


def _nearest(name: str, real: float, scale: float, low: int, unit: str) -> int:
    """The register value nearest to ``real * scale``."""
    raw, top = round(real * scale), _top(name)
    if not low <= raw <= top:
        raise ValueError(
            f"{unit} {real:g} is not representable on this chip: expected {low / scale:g} to "
            f"{top / scale:g}"
        )
    return raw


def _linear_step(real: float, per_word: float) -> tuple[int, int]:
    """Mantissa and shift nearest to ``real * per_word``, mantissa as large as possible."""
    target, top, shift = real * per_word, _top("step_mantissa"), _top("step_shift")
    while shift > 0 and round(target * 2**shift) > top:
        shift -= 1
    mantissa = round(target * 2**shift)
    if not 1 <= mantissa <= top:
        smallest, largest = 0.5 ** _top("step_shift") / per_word, top / per_word
        raise ValueError(
            f"step_size {real:g} is not representable on this chip: expected {smallest:.3g} to "
            f"{largest:.3g} (a larger or smaller gradient_limit moves this range)"
        )
    return mantissa, shift


def _per_gradient(stage: RgeStage | CgeStage, formats: Formats, batch: int, mu: int) -> float:
    """Raw gradient of G = 1."""
    if isinstance(stage, CgeStage):
        return batch * _LOSS_ONE * 2.0**-formats.cge_mu_shift
    n = stage.queries
    gain = n * (n - 1 if stage.baseline == "mean" else 1)
    return batch * _LOSS_ONE * mu / (1 << formats.weight.frac_bits) * gain


def step_settings(
    stage: RgeStage | CgeStage, formats: Formats, batch: int, step_size: float
) -> StepSettings:
    """The chip's integers for one step: the nearest ones to the stage's real values.

    Raises
    ------
    ValueError
        If a value is out of the registers' reach.
    """
    one = 1 << formats.weight.frac_bits
    decay = _nearest("decay", stage.momentum, _DECAY_ONE, 0, "momentum")
    if stage.momentum and not decay:
        raise ValueError(
            f"momentum {stage.momentum:g} would be 0 on this chip, which has sixteenths: expected "
            "0 or 0.0625 to 0.9375"
        )
    mu = _nearest("mu", stage.mu, one, 1, "mu") if isinstance(stage, RgeStage) else 1
    per_gradient = _per_gradient(stage, formats, batch, mu)
    top = formats.momentum.raw_max
    shift = 0
    while stage.gradient_limit * per_gradient / 2**shift > top:
        shift += 1
    if shift > _top("gradient_shift"):
        raise ValueError(
            f"gradient_limit {stage.gradient_limit:g} is not representable on this chip: expected "
            f"at most {top * 2.0 ** _top('gradient_shift') / per_gradient:g}"
        )
    sign = isinstance(stage, RgeStage) and stage.rule == Rule.SIGN
    if sign:
        mantissa, step_shift = _nearest("step_mantissa", step_size, one, 1, "step_size"), 0
    else:
        mantissa, step_shift = _linear_step(step_size, one / (per_gradient / 2**shift))
    common = {
        "gradient_shift": shift,
        "decay": decay,
        "step_mantissa": mantissa,
        "step_shift": step_shift,
    }
    rule = UpdateRule.SIGN if sign else UpdateRule.LINEAR
    if isinstance(stage, CgeStage):
        return StepSettings(queries=1, baseline=Baseline.BASE, update_rule=rule, mu=1, **common)
    baseline = Baseline.MEAN if stage.baseline == "mean" else Baseline.BASE
    return StepSettings(queries=stage.queries, baseline=baseline, update_rule=rule, mu=mu, **common)


def real_step_size(
    stage: RgeStage | CgeStage, formats: Formats, batch: int, settings: StepSettings
) -> float:
    """The step size that settings of a stage stand for: what the chip takes."""
    one = 1 << formats.weight.frac_bits
    if settings.update_rule == UpdateRule.SIGN:
        return settings.step_mantissa / one
    per_word = one * 2.0**settings.gradient_shift
    per_word /= _per_gradient(stage, formats, batch, settings.mu)
    return settings.step_mantissa / 2.0**settings.step_shift / per_word


def _ends(
    name: str, stage: RgeStage | CgeStage, formats: Formats, batch: int
) -> tuple[StepSettings, StepSettings]:
    """Settings of the first and last step of a stage of that name."""
    first, last = stage.size_at(0), stage.size_at(stage.steps - 1)
    try:
        return (
            step_settings(stage, formats, batch, first),
            step_settings(stage, formats, batch, last),
        )
    except ValueError as error:
        raise ValueError(f"[training.{name}] {error}") from None


def chip_values(training: Training, formats: Formats) -> dict[str, dict[str, float]]:
    """For each stage the real values that the chip has in place of the configuration's."""
    found = {}
    for name, stage in _stages(training).items():
        first, last = _ends(name, stage, formats, training.batch)
        mu = first.mu if isinstance(stage, RgeStage) else formats.cge_mu
        found[name] = {
            "step_size": real_step_size(stage, formats, training.batch, first),
            "final_step_size": real_step_size(stage, formats, training.batch, last),
            "momentum": first.decay / _DECAY_ONE,
            "mu": mu * formats.weight.resolution,
        }
    return found


def rounding(training: Training, formats: Formats) -> Iterator[str]:
    """A sentence for each stage of which the chip rounds a value by more than a hundredth."""
    for name, values in chip_values(training, formats).items():
        stage, texts = _stages(training)[name], []
        for key, real in values.items():
            asked = getattr(stage, key, real)
            if abs(real - asked) > _NOISE * asked:
                texts.append(f"{key} {asked:g} is {real:.4g}")
        if texts:
            yield f"Rounded to what the chip has, [training.{name}]: {', '.join(texts)}."


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
        for name, stage in _stages(training).items():
            _ends(name, stage, formats, training.batch)

    @property
    def max_steps(self) -> int:
        """Steps in all, as far as known now: a plateau ends the RGE stage early."""
        rge, cge = self.training.rge, self.training.cge
        coarse = self.state.rge_steps if self.state.rge_over or rge is None else rge.steps
        return coarse + (cge.steps if cge else 0)

    def next(self) -> PlannedStep | None:
        """The next step, or None at the end."""
        state, training = self.state, self.training
        if not state.rge_over and training.rge is not None:
            stage: RgeStage | CgeStage = training.rge
            index, command = state.rge_steps, Command.RGE
            phase = "sign-rge" if training.rge.rule == Rule.SIGN else "rge"
        elif training.cge is not None and state.step - state.rge_steps < training.cge.steps:
            stage, index, command = training.cge, state.step - state.rge_steps, Command.CGE
            phase = "cge"
        else:
            return None
        size = stage.size_at(index)
        settings = step_settings(stage, self.formats, training.batch, size)
        real = real_step_size(stage, self.formats, training.batch, settings)
        return PlannedStep(command, settings, phase, real, index == 0, stage.shift)

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
        return total / (self.training.batch * _LOSS_ONE)

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
        state, rge, cge = ScheduleState(**values), self.training.rge, self.training.cge
        coarse, fine = rge.steps if rge else 0, cge.steps if cge else 0
        if not (
            all(type(values[name]) is kind for name, kind in types.items())
            and 0 <= state.rge_steps <= coarse
            and state.rge_steps <= state.step <= state.rge_steps + (fine if state.rge_over else 0)
            and state.rge_over >= (state.rge_steps == coarse)
            and 0 <= state.window_sum and -1 <= state.last_sum
            and 0 <= state.window_count <= max(0, rge.plateau_window - 1 if rge else 0)
        ):  # fmt: skip
            raise ValueError(
                f"A schedule of up to {coarse} RGE and {fine} CGE steps is never in the state "
                + ", ".join(f"{name} = {str(value)[:40]}" for name, value in values.items())
            )
        self.state = state
