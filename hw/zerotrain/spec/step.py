"""Settings of one training step: the run-time registers of the update, as integers."""

from dataclasses import dataclass

from zerotrain.spec.registers import Baseline, UpdateRule, register

__all__ = ["StepSettings"]


@dataclass(frozen=True, slots=True)
class StepSettings:
    """What an RGE or CGE step does with its losses (docs/numerics.md, section 6).

    Parameters
    ----------
    queries : int
        RGE queries N. Ignored by CGE.
    baseline : Baseline
        RGE baseline. Ignored by CGE.
    update_rule : UpdateRule
        Linear or sign.
    mu : int
        RGE smoothing radius in weight LSB.
    gradient_shift : int
        Right shift of the gradient into momentum units.
    decay : int
        Momentum factor in sixteenths, 0 to 15.
    step_mantissa, step_shift : int
        Step size ``mantissa / 2**shift`` (linear rule), or ``mantissa`` weight LSB (sign rule).
    """

    queries: int = 8
    baseline: Baseline = Baseline.MEAN
    update_rule: UpdateRule = UpdateRule.SIGN
    mu: int = 256
    gradient_shift: int = 0
    decay: int = 0
    step_mantissa: int = 1
    step_shift: int = 0

    def __post_init__(self) -> None:
        for name in ("queries", "mu", "gradient_shift", "decay", "step_mantissa", "step_shift"):
            value, top = getattr(self, name), (1 << register(name).width) - 1
            low = 1 if name in ("queries", "mu") else 0
            if type(value) is not int or not low <= value <= top:
                raise ValueError(f"{name} is {low} to {top}, not {value!r}")
        if self.baseline == Baseline.MEAN and self.queries < 2:
            raise ValueError(
                "The mean baseline needs at least 2 queries (with one, every difference is zero), "
                f"not {self.queries}"
            )
