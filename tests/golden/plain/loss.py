"""Section 5: losses of samples and of batches."""

from collections.abc import Sequence
from math import isqrt

from .fixed import LOSS, Arithmetic

LOG2E, LN2 = 5909, 45426


def _exp2(k: int) -> int:
    x = 1 << (64 * 21 + k)
    for _ in range(6):
        x = isqrt(x)
    return (x + 1) >> 1


def _log2(k: int) -> int:
    x, y = (64 + k) << 58, 0
    for _ in range(21):
        x = x * x >> 64
        bit = x >> 65
        x, y = x >> bit, 2 * y + bit
    return (y + 1) >> 1


EXP2, LOG2 = [_exp2(k) for k in range(65)], [_log2(k) for k in range(65)]


def _between(table: list[int], k: int, r: int) -> int:
    return table[k] + (((table[k + 1] - table[k]) * r) >> 12)


def _fine(z: Sequence[int], dz: Sequence[int] | None, fixed: Arithmetic, bits: int) -> list[int]:
    left, right = bits - fixed.frac["logit"], bits - fixed.frac["dlogit"]
    pairs = zip(z, dz or [0] * len(z), strict=True)
    return [(a << left) + (b << right) for a, b in pairs]


def softmax_loss(
    z: Sequence[int], label: int, fixed: Arithmetic, dz: Sequence[int] | None = None
) -> int:
    """Of logits z, and of z and dz with the reference of z alone."""
    u, ref, total = _fine(z, dz, fixed, 20), max(_fine(z, None, fixed, 20)), 0
    for value in u:
        t = ((value - ref) * LOG2E) >> 14
        i, fraction = t >> 18, t & (2**18 - 1)
        m = _between(EXP2, fraction >> 12, fraction & 4095)
        total += m << i if i >= 0 else m >> -i
    if total > 2**32 - 1:
        total = 2**32 - 1
        fixed.flags |= LOSS
    n = total.bit_length() - 1
    q = (total << (31 - n)) & (2**31 - 1)
    lg = ((n - 20) << 20) + _between(LOG2, q >> 25, (q >> 13) & 4095)
    return ref - u[label] + ((lg * LN2) >> 16)


def squared_error(
    z: Sequence[int], targets: Sequence[int], fixed: Arithmetic, dz: Sequence[int] | None = None
) -> int:
    errors = [a - b for a, b in zip(z, targets, strict=True)]
    return sum((d * d) >> 14 for d in _fine(errors, dz, fixed, 17))


def batch_loss(losses: Sequence[int], lanes: int, fixed: Arithmetic) -> int:
    total = 0
    for start in range(0, len(losses), lanes):
        total += sum(losses[start : start + lanes])
        total = fixed.saturate(total, "loss", LOSS)
    return total
