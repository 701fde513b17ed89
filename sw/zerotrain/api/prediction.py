"""What a network says of samples: the integers of its chip, and what they mean."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.data.dataset import TargetScale, quantize
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import forward
from zerotrain.host.session import Session
from zerotrain.spec.registers import Saturation

__all__ = ["Prediction", "predict"]

#: Samples that go through the network together: what they take of memory is bounded.
_PIECE = 1024


@dataclass(frozen=True, eq=False)
class Prediction:
    """Outputs of a network for n samples.

    Attributes
    ----------
    raw : int64[n, n_outputs]
        The chip's own integers, format ``logit``.
    logits : float64[n, n_outputs]
        What they stand for.
    classes : int64[n] or None
        The first of the largest logits, as the chip counts; None where the loss has no labels.
    values : float64[n, n_outputs] or None
        In the unit of the target values; None where the targets are labels.
    clamped : Saturation
        Kinds of values that the chip clamps on the way.
    """

    raw: NDArray[np.int64]
    logits: NDArray[np.float64]
    classes: NDArray[np.int64] | None
    values: NDArray[np.float64] | None
    clamped: Saturation


def predict(
    session: Session, theta: NDArray[np.int64], x: NDArray[np.float64], scale: TargetScale
) -> Prediction:
    """The forward pass of docs/numerics.md for real inputs ``[n, n_inputs]``."""
    network, formats = session.config.network, session.chip.formats
    if x.ndim != 2 or x.shape[1] != network.n_inputs:
        raise ValueError(
            f"Samples are an array [n, {network.n_inputs}] for network {network.name}, got shape "
            f"{x.shape}"
        )
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(
            f"Samples are finite numbers: got {x[row, column]} as input {column + 1} of sample "
            f"{row + 1}"
        )
    samples, flags = quantize(x, formats.input), Flags()
    pieces = [
        forward(network, formats, session.plan.groups, theta, samples[k : k + _PIECE], flags)
        for k in range(0, len(samples), _PIECE)
    ]
    raw = np.concatenate([np.zeros((0, network.n_outputs), np.int64), *pieces])
    logits, labels = raw * formats.logit.resolution, network.loss.record.labels
    values = None
    if not labels:
        values = logits * scale.factor + (np.array(scale.offset) if scale.offset else 0.0)
    return Prediction(
        raw, logits, raw.argmax(axis=1) if labels else None, values, Saturation(flags.value)
    )
