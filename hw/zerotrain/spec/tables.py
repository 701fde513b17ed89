"""Constants of the base-2 log-sum-exp (docs/numerics.md, section 5)."""

from math import log2

__all__ = ["EXP2", "FINE_BITS", "LN2", "LN2_BITS", "LOG2", "LOG2E", "LOG2E_BITS", "TABLE_BITS"]

#: Fraction bits of losses, fine logits and table entries.
FINE_BITS = 20
#: Index bits of both interpolation tables.
TABLE_BITS = 6
#: log2(e) and ln(2) in fixed point.
LOG2E_BITS, LN2_BITS = 12, 16
LOG2E = round(log2(2.718281828459045) * 2**LOG2E_BITS)
LN2 = round(0.6931471805599453 * 2**LN2_BITS)

#: ``2**(k/64)`` and ``log2(1 + k/64)`` for k = 0..64, 20 fraction bits.
EXP2 = tuple(round(2 ** (k / 64) * 2**FINE_BITS) for k in range(65))
LOG2 = tuple(round(log2(1 + k / 64) * 2**FINE_BITS) for k in range(65))
