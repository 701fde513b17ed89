"""The perturbation generator (docs/numerics.md, section 7).

The state is the next ``degree`` output bits, the oldest in bit 0. Every output bit is therefore a
fixed linear form over GF(2) of the state, and a block of the stream is the XOR of one precomputed
row per set state bit: that is what makes :func:`bits` fast. :func:`step` is the recurrence itself.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.lfsr import feedback_mask

__all__ = ["bits", "heal", "step"]

#: Fresh bits per table look-up.
_BLOCK = 1 << 14


def heal(state: int, degree: int) -> int:
    """The state as the generator uses it: ``degree`` bits, and 1 in place of zero."""
    return (state & ((1 << degree) - 1)) or 1


def step(state: int, degree: int) -> tuple[int, int]:
    """One clock: the output bit and the next state."""
    state = heal(state, degree)
    parity = (state & feedback_mask(degree)).bit_count() & 1
    return state & 1, (state >> 1) | parity << (degree - 1)


@lru_cache(maxsize=8)
def _rows(degree: int) -> NDArray[np.uint8]:
    """Streams of the one-bit states.

    Returns
    -------
    uint8[degree, (_BLOCK + 64) / 8]
        Row b is the packed stream (bit 0 of byte 0 first) that starts from ``state = 1 << b``.
        The 64 bits beyond the block hold the state after it.
    """
    taps = [a for a in range(degree) if feedback_mask(degree) >> a & 1]
    # form[t]: which bits of the initial state are XORed into output bit t.
    form = [1 << t for t in range(degree)]
    for t in range(_BLOCK + 64 - degree):
        value = 0
        for a in taps:
            value ^= form[t + a]
        form.append(value)
    packed = np.array(form, dtype="<u8").view(np.uint8).reshape(-1, 8)
    by_time = np.unpackbits(packed, axis=1, bitorder="little")  # [time, state bit]
    return np.packbits(by_time.T[:degree], axis=1, bitorder="little")


def bits(state: int, count: int, degree: int) -> tuple[NDArray[np.uint8], int]:
    """The next ``count`` output bits.

    Returns
    -------
    bits : uint8[count], 0 or 1, in the order of the stream
    state : the state after them, where the next call continues
    """
    if count < 0:
        raise ValueError(f"A number of bits is 0 or more, not {count!r}")
    state &= (1 << degree) - 1
    if count == 0:
        return np.zeros(0, np.uint8), state
    state = heal(state, degree)
    rows = _rows(degree)
    out = np.empty(count, np.uint8)
    for start in range(0, count, _BLOCK):
        n = min(_BLOCK, count - start)
        chosen = [b for b in range(degree) if state >> b & 1]
        used = (n + 64 + 7) // 8  # the block and the state after it
        packed = np.bitwise_xor.reduce(rows[chosen, :used], axis=0)
        stream = np.unpackbits(packed, bitorder="little")
        out[start : start + n] = stream[:n]
        tail = np.packbits(stream[n : n + degree], bitorder="little")
        state = int.from_bytes(tail.tobytes(), "little")
    return out, state
