"""How a training's real numbers become the chip's integers, and what these stand for.

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

from zerotrain.config.training import CgeStage, RgeStage, Rule, Training
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Baseline, UpdateRule, register
from zerotrain.spec.step import StepSettings

__all__ = ["LOSS_ONE", "chip_values", "real_step_size", "rounding", "step_settings"]

#: Raw loss of one.
LOSS_ONE = 1 << 20
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
        return batch * LOSS_ONE * 2.0**-formats.cge_mu_shift
    n = stage.queries
    gain = n * (n - 1 if stage.baseline == "mean" else 1)
    return batch * LOSS_ONE * mu / (1 << formats.weight.frac_bits) * gain


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
            if key == "final_step_size" and stage.steps == 1:
                continue  # the only step has the first size
            if abs(real - asked) > _NOISE * asked:
                texts.append(f"{key} {asked:g} is {real:.4g}")
        if texts:
            yield f"Rounded to what the chip has, [training.{name}]: {', '.join(texts)}."
