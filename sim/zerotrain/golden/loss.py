"""Losses of samples and of batches (docs/numerics.md, section 5).

All arrays are int64. Outputs are the last axis; every other axis broadcasts, so that the samples of
a batch and the evaluations of a step go through in one call. (Short last axes are slow in
C order: callers with many losses hand in views whose *memory* has the outputs before the samples.)
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.spec.formats import Formats
from zerotrain.spec.losses import Loss
from zerotrain.spec.registers import Saturation
from zerotrain.spec.tables import EXP2, FINE_BITS, LN2, LN2_BITS, LOG2, LOG2E

__all__ = [
    "SAMPLE_LOSSES", "accumulate", "correct", "exp2", "fine_logits", "log2",
    "reference", "softmax_loss", "squared_error_loss",
]  # fmt: skip

Ints = NDArray[np.int64]

#: Fraction bits of the base-2 exponent; those below the table index interpolate.
_EXP_BITS = 18
_SUM_MAX = (1 << 32) - 1
#: An exponential this many doublings above 1.0 saturates the sum already.
_EXP_TOP = 12
#: A squared-error term of this root saturates every loss already (and squares within 63 bits).
_ROOT_MAX = 1 << 31


def exp2_fraction(f: Ints) -> Ints:
    """``m = 2**f`` by linear interpolation in the table; 18 fraction bits in, 20 out."""
    table = np.array(EXP2, np.int64)
    k, r = f >> 12, f & 4095
    return table[k] + (((table[k + 1] - table[k]) * r) >> 12)


@lru_cache(maxsize=1)
def _all_fractions() -> NDArray[np.int64]:
    """:func:`exp2_fraction` of every argument it can have: one look-up instead of two."""
    return exp2_fraction(np.arange(1 << _EXP_BITS))


def exp2(t: Ints) -> Ints:
    """``e = 2**t``: exponents with 18 fraction bits, results with 20.

    Results of 2**12 and above are held between 2**12 and 2**13, where the sum of
    :func:`softmax_loss` has saturated whatever else is added to it.
    """
    t = np.asarray(t, np.int64)
    m = _all_fractions()[t & ((1 << _EXP_BITS) - 1)]
    i = t >> _EXP_BITS
    if i.size and i.max() > 0:
        return (m << np.clip(i, 0, _EXP_TOP)) >> np.clip(-i, 0, 31)
    return m >> np.minimum(-i, 31)


def log2(s: Ints) -> Ints:
    """``lg = log2(s)`` of sums ``0 <= s < 2**32`` with 20 fraction bits; 20 fraction bits out."""
    s = np.asarray(s, np.int64)
    # frexp is exact for integers below 2**53: s = mantissa * 2**(n + 1), bit_length(s) = n + 1.
    n = np.frexp(s.astype(np.float64))[1].astype(np.int64) - 1
    q = (s << (31 - n)) & ((1 << 31) - 1)
    k, r = q >> 25, (q >> 13) & 4095
    table = np.array(LOG2, np.int64)
    return ((n - FINE_BITS) << FINE_BITS) + table[k] + (((table[k + 1] - table[k]) * r) >> 12)


def fine_logits(z: Ints, formats: Formats, dz: Ints | None = None) -> Ints:
    """Logits ``z`` (in ``logit``) plus differences ``dz`` (in ``dlogit``), 20 fraction bits.

    ``dz`` is zero for outputs that a CGE entry does not touch.
    """
    u = np.asarray(z, np.int64) << (FINE_BITS - formats.logit.frac_bits)
    if dz is None:
        return u
    return u + (np.asarray(dz, np.int64) << (FINE_BITS - formats.dlogit.frac_bits))


def reference(z: Ints, formats: Formats) -> Ints:
    """``ref``: the largest fine logit of each sample at evaluation 0."""
    return fine_logits(z, formats).max(axis=-1)


def softmax_loss(
    z: Ints,
    labels: Ints,
    formats: Formats,
    flags: Flags,
    dz: Ints | None = None,
    ref: Ints | None = None,
) -> Ints:
    """Softmax cross-entropy of each sample.

    Parameters
    ----------
    z : int64[..., C]
        Logits, raw in ``logit``.
    labels : int64[...]
        Index of the true class.
    dz : int64[..., C], optional
        CGE's differences, raw in ``dlogit``; zero where an entry does not touch an output.
    ref : int64[...], optional
        :func:`reference` of evaluation 0. By default that of ``z`` and ``dz``.

    Returns
    -------
    int64[...]
        Losses with 20 fraction bits.
    """
    # Outputs first, in memory too: sums over them are then sums of long rows.
    if dz is not None:
        z = z.reshape((1,) * (dz.ndim - z.ndim) + z.shape)
        dz = np.moveaxis(dz, -1, 0)
    u = fine_logits(np.ascontiguousarray(np.moveaxis(z, -1, 0)), formats, dz)
    if ref is None:
        ref = u.max(axis=0)
    total = exp2(((u - ref) * LOG2E) >> 14).sum(axis=0)
    if total.size and total.max() > _SUM_MAX:
        flags.value |= Saturation.LOSS
        total = np.minimum(total, _SUM_MAX)
    where = np.broadcast_to(labels, u.shape[1:])[None].astype(np.int64)
    true = np.take_along_axis(u, where, axis=0)[0]
    return ref - true + ((log2(total) * LN2) >> LN2_BITS)


def squared_error_loss(z: Ints, targets: Ints, formats: Formats, dz: Ints | None = None) -> Ints:
    """Sum over the outputs of squared errors, of each sample.

    Parameters
    ----------
    z, targets : int64[..., C]
        Outputs and targets, raw in ``logit``.
    dz : int64[..., C], optional
        CGE's differences, raw in ``dlogit``.

    Returns
    -------
    int64[...]
        Losses with 20 fraction bits, each term ``(d * d) >> 14`` exact up to 2**48. A term beyond
        is held there, which saturates the loss of any evaluation (at most 40 bits) just the same.

    Raises
    ------
    ValueError
        If ``logit`` or ``dlogit`` has more than 17 fraction bits.
    """
    Loss.MEAN_SQUARED_ERROR.record.check(formats)
    d = (z.astype(np.int64) - targets) << (17 - formats.logit.frac_bits)
    if dz is not None:
        d = d + (dz.astype(np.int64) << (17 - formats.dlogit.frac_bits))
    d = np.clip(d, -_ROOT_MAX, _ROOT_MAX)
    return ((d * d) >> 14).sum(axis=-1)


#: Losses ``[..., batch]`` of samples: of ``z``, targets, formats, flags, ``dz`` and ``ref``.
SAMPLE_LOSSES: dict[
    Loss, Callable[[Ints, Ints, Formats, Flags, Ints | None, Ints | None], Ints]
] = {
    Loss.SOFTMAX_CROSS_ENTROPY: softmax_loss,
    Loss.MEAN_SQUARED_ERROR: lambda z, targets, formats, flags, dz, ref: squared_error_loss(
        z, targets, formats, dz
    ),
}


def accumulate(losses: Ints, lanes: int, formats: Formats, flags: Flags) -> Ints:
    """Losses of whole evaluations from those of their samples.

    Parameters
    ----------
    losses : int64[..., batch]
        Sample losses. Consecutive ``lanes`` samples are one pass.

    Returns
    -------
    int64[...]
        Sums, saturated to the loss format after each pass.
    """
    starts = np.arange(0, losses.shape[-1], lanes)
    passes = np.add.reduceat(losses, starts, axis=-1)
    sums = np.cumsum(passes, axis=-1)
    fmt = formats.loss
    if sums.min() >= fmt.raw_min and sums.max() <= fmt.raw_max:
        return sums[..., -1]
    total = np.zeros(losses.shape[:-1], np.int64)
    for k in range(starts.size):
        total = flags.saturate(total + passes[..., k], fmt.width, Saturation.LOSS)
    return np.asarray(total)


def correct(z: Ints, labels: Ints) -> int:
    """How many predictions (first index of the largest logit) equal their labels."""
    return int((z.argmax(axis=-1) == labels).sum())
