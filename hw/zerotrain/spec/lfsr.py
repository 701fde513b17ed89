"""The perturbation generator's recurrence, shared by golden model and gateware.

A Fibonacci LFSR: the state holds the last ``degree`` output bits, bit 0 the oldest. One step emits
``state & 1`` and shifts in the parity of the tapped bits. One fresh bit per parameter; neighbouring
register bits are never used as parallel outputs, which would correlate the perturbations of
neighbouring parameters (docs/numerics.md, section 7).

Like every LFSR it fails linear-complexity tests by construction; it passes what zeroth-order
estimation needs: balance, pairwise independence and a long period.
"""

__all__ = ["TAPS", "feedback_mask", "mix_seed"]

#: Exponents of primitive polynomials over GF(2), by degree; x**0 is implied.
TAPS: dict[int, tuple[int, ...]] = {
    32: (32, 22, 2, 1),
    33: (33, 20),
    40: (40, 38, 21, 19),
    48: (48, 47, 21, 20),
    64: (64, 63, 61, 60),
}


def feedback_mask(degree: int) -> int:
    """State bits whose parity is shifted in.

    For the polynomial ``x**n + x**a + ... + 1`` the sequence obeys
    ``s[t+n] = s[t+a] ^ ... ^ s[t]``.
    """
    if degree not in TAPS:
        raise ValueError(f"LFSR degree must be one of {sorted(TAPS)}, not {degree!r}")
    return 1 | sum(1 << tap for tap in TAPS[degree] if tap != degree)


def mix_seed(seed: int, degree: int) -> int:
    """Spread a small seed over the whole state; never returns zero.

    Sequential raw seeds give correlated streams that no warm-up cures; this is the SplitMix64
    finaliser (Steele, Lea, Flood 2014).
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"A seed is 0 to 2**64 - 1, not {seed!r}")
    mask = (1 << 64) - 1
    z = (seed + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    z ^= z >> 31
    return (z & ((1 << degree) - 1)) or 1
