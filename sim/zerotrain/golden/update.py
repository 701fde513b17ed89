"""Perturbations, zeroth-order gradients and the parameter update (docs/numerics.md, section 6)."""

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Baseline, Saturation, UpdateRule
from zerotrain.spec.step import StepSettings

__all__ = ["cge_gradient", "differences", "perturb", "rge_gradient", "update"]

Ints = NDArray[np.int64]


def perturb(theta: Ints, bits: NDArray[np.uint8], mu: int, formats: Formats, flags: Flags) -> Ints:
    """Perturbed copies: ``theta + mu`` where the bit is 1, ``theta - mu`` where it is 0.

    Parameters
    ----------
    theta : int64[d]
        Parameters, raw in ``weight``.
    bits : uint8[..., d]
        One fresh bit per parameter.
    mu : int
        Smoothing radius in weight LSB.

    Returns
    -------
    int64[..., d]
        Raw in ``weight``, saturated.
    """
    moved = theta + mu * (2 * bits.astype(np.int64) - 1)
    return flags.saturate(moved, formats.weight.width, Saturation.PERTURB)


def differences(losses: Ints, baseline: Baseline) -> Ints:
    """Loss differences of the queries, exact.

    Parameters
    ----------
    losses : int64[N + 1] (base, the loss at theta first) or int64[N] (mean)

    Returns
    -------
    int64[N]
        In units of the loss; with the mean baseline N times as large.
    """
    if baseline == Baseline.BASE:
        return losses[1:] - losses[0]
    return losses.size * losses - losses.sum()


def rge_gradient(differences: Ints, bits: NDArray[np.uint8]) -> Ints:
    """``g_p = sum_i (+D_i if bit_ip else -D_i)``, exact.

    Parameters
    ----------
    differences : int64[N]
    bits : uint8[N, d]

    Returns
    -------
    int64[d]
    """
    return 2 * (differences @ bits.astype(np.int64)) - differences.sum()


def cge_gradient(losses: Ints) -> Ints:
    """``g_p = L_{1+p} - L_0``: int64[d] from int64[d + 1]."""
    return losses[1:] - losses[0]


def update(
    theta: Ints,
    momentum: Ints,
    gradient: Ints,
    settings: StepSettings,
    formats: Formats,
    flags: Flags,
) -> tuple[Ints, Ints]:
    """Move every parameter against its momentum word.

    Parameters
    ----------
    theta : int64[d]
        Parameters, raw in ``weight``.
    momentum : int64[d]
        Momentum words, raw in ``momentum``.
    gradient : int64[d]
        Exact gradient, in units of the loss differences.

    Returns
    -------
    theta, momentum : int64[d] each
        The new ones; the arguments are left alone.
    """
    width = formats.momentum.width
    v = flags.requantize(gradient, settings.gradient_shift, width, Saturation.GRADIENT)
    if settings.decay:
        kept = flags.requantize(momentum * settings.decay, 4, 64, Saturation.GRADIENT)
        v = flags.saturate(kept + v, width, Saturation.GRADIENT)
    if settings.update_rule == UpdateRule.SIGN:
        delta = settings.step_mantissa * np.sign(v)
    else:
        scaled = v * settings.step_mantissa
        delta = flags.requantize(scaled, settings.step_shift, 64, Saturation.GRADIENT)
    moved = flags.saturate(theta - delta, formats.weight.width, Saturation.PARAMETER)
    return np.array(moved, np.int64), np.array(v, np.int64)
