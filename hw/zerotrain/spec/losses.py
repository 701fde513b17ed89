"""The losses that a chip can be made for, each with what everyone but its unit must know of it.

What a loss computes is in docs/numerics.md, section 5. A new one is a record here and three
implementations: readable (``golden/loss.py``), fast (``golden/fast/losses.py``), and a loss unit of
the gateware.
"""

from dataclasses import dataclass
from enum import StrEnum

from zerotrain.spec.formats import Formats

__all__ = ["OUTPUT_LOSSES", "Loss", "LossRecord"]

#: Bits of a data word of a residual.
_DATA_WIDTH = 28
#: Fraction bits of format ``loss``, but of sums of residuals.
_LOSS_BITS = 20


@dataclass(frozen=True, slots=True)
class LossRecord:
    """Properties of a loss.

    Attributes
    ----------
    title : str
        What people call it.
    labels : bool
        Whether a sample's target is a label: the number of the true output, in one unsigned word.
        Otherwise every output has a target value: a signed word in format ``logit``.
    error_power : int
        The loss of a sample is the sum over the outputs of ``|error| ** error_power``; 0 where it
        is no such sum.
    shift_invariant : bool
        Whether it stays the same when all outputs move together. CGE then takes what hidden layers
        change of the outputs relative to the first of them.
    counts_correct : bool
        Whether the unit counts correct predictions in evaluate steps.
    exponentials : bool
        Whether it takes an exponential of every output and a logarithm of their sum, which loss
        units share among lanes. Otherwise a way of the unit takes one output per cycle.
    frac_bits : int
        Most fraction bits of the outputs and their differences, formats ``logit`` and ``dlogit``.
    least_outputs : int
        Fewest outputs for which it makes sense.
    residuals : bool
        Whether it is made of residuals of a differential equation. Each is computed from several
        evaluations of the network, at nodes around a point (docs/physics-numerics.md); the targets
        are data words of the point.
    metric : str
        What a network trained with it is judged by. For a sum over errors: the ``error_power``-th
        root of the mean loss of an output, in the unit of the targets.
    """

    title: str
    labels: bool
    error_power: int
    shift_invariant: bool
    counts_correct: bool
    exponentials: bool
    frac_bits: int
    least_outputs: int
    residuals: bool
    metric: str

    def n_targets(self, n_outputs: int) -> int:
        """Target words per sample."""
        return 1 if self.labels else n_outputs

    def target_width(self, formats: Formats, output_depth: int) -> int:
        """Bits of a target word on a chip for up to ``output_depth`` outputs."""
        if self.residuals:
            return _DATA_WIDTH
        return max(1, (output_depth - 1).bit_length()) if self.labels else formats.logit.width

    def check(self, formats: Formats) -> None:
        """Raise ``ValueError`` if ``logit`` or ``dlogit`` has too many fraction bits, or ``loss``
        others than it should."""
        if not self.residuals and formats.loss.frac_bits != _LOSS_BITS:
            raise ValueError(
                f"{self.title} needs format loss to have {_LOSS_BITS} fraction bits, got "
                f"{formats.loss}"
            )
        for name, fmt in (("logit", formats.logit), ("dlogit", formats.dlogit)):
            if fmt.frac_bits > self.frac_bits:
                raise ValueError(
                    f"{self.title} needs format {name} to have at most {self.frac_bits} fraction "
                    f"bits, got {fmt}"
                )


class Loss(StrEnum):
    """Loss of one sample, from the outputs and the target."""

    SOFTMAX_CROSS_ENTROPY = "softmax_cross_entropy"
    MEAN_SQUARED_ERROR = "mean_squared_error"
    RESIDUAL = "residual"

    @property
    def record(self) -> LossRecord:
        """The properties of this loss."""
        return _RECORDS[self]


_RECORDS = {
    Loss.SOFTMAX_CROSS_ENTROPY: LossRecord(
        title="Softmax cross-entropy", labels=True, error_power=0, shift_invariant=True,
        counts_correct=True, exponentials=True, frac_bits=20, least_outputs=2, residuals=False,
        metric="accuracy",
    ),
    Loss.MEAN_SQUARED_ERROR: LossRecord(
        title="Mean squared error", labels=False, error_power=2, shift_invariant=False,
        counts_correct=False, exponentials=False, frac_bits=17, least_outputs=1, residuals=False,
        metric="RMSE",
    ),
    Loss.RESIDUAL: LossRecord(
        title="Residual of an equation", labels=False, error_power=0, shift_invariant=False,
        counts_correct=False, exponentials=False, frac_bits=20, least_outputs=1, residuals=True,
        metric="MSE",
    ),
}  # fmt: skip

#: Losses of one sample's outputs and its target.
OUTPUT_LOSSES = tuple(loss for loss in Loss if not loss.record.residuals)
