"""Twin of :mod:`zerotrain.golden.loss`: losses of whole evaluations, one after the other.

Rows hold one word per sample, so that the inner loops run over samples. Nothing is kept but the
sums of the samples: memory does not grow with the evaluations.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.words import Words
from zerotrain.golden.fixed import Flags
from zerotrain.spec.formats import Formats
from zerotrain.spec.losses import Loss
from zerotrain.spec.registers import Saturation
from zerotrain.spec.tables import EXP2, FINE_BITS, LN2, LN2_BITS, LOG2, LOG2E

__all__ = ["evaluation_losses"]

Ints = NDArray[np.int64]

Naturals = NDArray[np.uint64]

_LOG2 = np.array(LOG2, np.int64)
#: Values of the table and their distances to the next ones in one word each, for one look-up.
_SLOPE_BITS, _SLOPE_MASK = np.uint64(16), np.uint64(0xFFFF)
_EXP2 = np.array([y << 16 | y1 - y for y, y1 in pairwise(EXP2)], np.uint64)
#: As in the readable functions: beyond these the loss has saturated, whatever else is added.
_EXP_TOP = 12
_SUM_MAX = (1 << 32) - 1
_ROOT_MAX = 1 << 31
_FINE_MAX = (1 << 31) - 1


def evaluation_losses(
    loss: Loss, formats: Formats, lanes: int, z: Words, dz: Words, targets: Ints, flags: Flags
) -> Ints:
    """Losses ``int64[i, n]`` of the evaluations with outputs ``z + dz[i, e]``.

    Parameters
    ----------
    lanes : int
        Samples per pass.
    z : ``[n_outputs, batch]``
        Logits of evaluation 0, raw in ``logit``. Their largest is the reference of all.
    dz : ``[i, n, n_outputs, batch]``
        Differences, raw in ``dlogit``.
    targets : int64[batch] (labels) or int64[batch, n_outputs] (raw in ``logit``)
    """
    out = np.empty(dz.shape[:2], np.int64)
    if _EVALUATIONS[loss](formats, lanes, z, dz, targets, out):
        flags.value |= Saturation.LOSS
    return out


def _softmax_losses(
    formats: Formats, lanes: int, z: Words, dz: Words, targets: Ints, out: Ints
) -> bool:
    fine, fine_delta = (FINE_BITS - f.frac_bits for f in (formats.logit, formats.dlogit))
    low, high = formats.loss.raw_min, formats.loss.raw_max
    return _cross_entropies(z, dz, targets, fine, fine_delta, lanes, low, high, _EXP2, _LOG2, out)


def _squared_error_losses(
    formats: Formats, lanes: int, z: Words, dz: Words, targets: Ints, out: Ints
) -> bool:
    Loss.MEAN_SQUARED_ERROR.record.check(formats)
    fine, fine_delta = (17 - f.frac_bits for f in (formats.logit, formats.dlogit))
    low, high = formats.loss.raw_min, formats.loss.raw_max
    return _squared_errors(z, dz, targets.T, fine, fine_delta, lanes, low, high, out)


#: Fill ``out`` with the losses of evaluations, and say whether one was clamped.
_EVALUATIONS: dict[Loss, Callable[[Formats, int, Words, Words, Ints, Ints], bool]] = {
    Loss.SOFTMAX_CROSS_ENTROPY: _softmax_losses,
    Loss.MEAN_SQUARED_ERROR: _squared_error_losses,
}


@kernel
def _interpolate(table: Ints, k: int, r: int) -> int:
    return table[k] + (((table[k + 1] - table[k]) * r) >> 12)


@kernel
def _exponents(relative: Ints, dz: Words, shift: int, out: Words) -> None:
    """Base-2 exponents with 18 fraction bits of a row of fine logits, relative to the reference.

    Fine logits are held in 32 bits: their exponentials are 0 or saturate the sum long before.
    """
    for s in range(len(out)):
        fine = relative[s] + (np.int64(dz[s]) << shift)
        held = np.int32(min(max(fine, -_FINE_MAX), _FINE_MAX))
        out[s] = (np.int64(held) * LOG2E) >> 14


@kernel
def _add_exp2(exponents: Words, table: Naturals, lines: Naturals, total: Ints) -> None:
    """Add ``2**t``, with 20 fraction bits, to the sums of a row. ``lines`` is scratch memory."""
    for s in range(len(total)):  # apart from what follows, which then runs in vectors
        lines[s] = table[(exponents[s] >> 12) & 63]
    for s in range(len(total)):
        t, line = int(exponents[s]), lines[s]
        rise = ((line & _SLOPE_MASK) * np.uint64(t & 4095)) >> np.uint64(12)
        m = (line >> _SLOPE_BITS) + rise
        # m << i or m >> -i; at 44 bits to the right nothing is left.
        right = np.uint64(min(max(_EXP_TOP - (t >> 18), 0), 44))
        total[s] += np.int64((m << np.uint64(_EXP_TOP)) >> right)


@kernel
def _log2(s: int, table: Ints) -> int:
    """Of a sum ``0 <= s < 2**32``."""
    # n = bit_length(s) - 1, by halves
    n, t = 0 if s else -1, s
    for bits in (16, 8, 4, 2, 1):
        step = bits if t >= 1 << bits else 0
        n, t = n + step, t >> step
    q = (s << (31 - n)) & ((1 << 31) - 1)
    return ((n - FINE_BITS) << FINE_BITS) + _interpolate(table, q >> 25, (q >> 13) & 4095)


@kernel
def _accumulate(losses: Ints, lanes: int, low: int, high: int) -> tuple[int, bool]:
    """Sum over the passes, saturated after each."""
    total, clamped = 0, False
    for first in range(0, len(losses), lanes):
        for s in range(first, min(first + lanes, len(losses))):
            total += losses[s]
        clamped |= total < low or total > high
        total = min(max(total, low), high)
    return total, clamped


@kernel
def _cross_entropies(
    z: Words, dz: Words, labels: Ints, z_shift: int, dz_shift: int, lanes: int, low: int,
    high: int, exp2_table: Naturals, log2_table: Ints, out: Ints,
) -> bool:  # fmt: skip
    outputs, batch = z.shape
    relative, total = np.empty((outputs, batch), np.int64), np.empty(batch, np.int64)
    losses = np.empty(batch, np.int64)
    exponents, lines = np.empty(batch, np.int32), np.empty(batch, np.uint64)
    for s in range(batch):
        for c in range(outputs):
            relative[c, s] = np.int64(z[c, s]) << z_shift
        relative[:, s] -= relative[:, s].max()
    clamped = False
    for i, e in np.ndindex(out.shape):
        total[:] = 0
        for c in range(outputs):
            _exponents(relative[c], dz[i, e, c], dz_shift, exponents)
            _add_exp2(exponents, exp2_table, lines, total)
        for s in range(batch):
            clamped |= total[s] > _SUM_MAX
            lg = _log2(min(total[s], _SUM_MAX), log2_table)
            true = relative[labels[s], s] + (np.int64(dz[i, e, labels[s], s]) << dz_shift)
            losses[s] = ((lg * LN2) >> LN2_BITS) - true
        out[i, e], saturated = _accumulate(losses, lanes, low, high)
        clamped |= saturated
    return clamped


@kernel
def _squared_errors(
    z: Words, dz: Words, targets: Ints, z_shift: int, dz_shift: int, lanes: int, low: int,
    high: int, out: Ints,
) -> bool:  # fmt: skip
    outputs, batch = z.shape
    losses, clamped = np.empty(batch, np.int64), False
    for i, e in np.ndindex(out.shape):
        losses[:] = 0
        for c in range(outputs):
            for s in range(batch):
                d = (z[c, s] - targets[c, s]) << z_shift
                d += np.int64(dz[i, e, c, s]) << dz_shift
                d = min(max(d, -_ROOT_MAX), _ROOT_MAX)
                losses[s] += (d * d) >> 14
        out[i, e], saturated = _accumulate(losses, lanes, low, high)
        clamped |= saturated
    return clamped
