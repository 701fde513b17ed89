"""Twin of :func:`zerotrain.golden.fixed.requantize`, one row at a time, and when int32 will do."""

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel

__all__ = ["fits_int32", "requantize_row"]


def fits_int32(bound: int) -> bool:
    """Whether sums whose terms have magnitudes of ``bound`` in all can be made in int32."""
    return bound < 1 << 31


@kernel
def requantize_row(
    acc: NDArray[np.int32] | NDArray[np.float64], scale: float, low: float, high: float,
    out: NDArray[np.int32],
) -> bool:  # fmt: skip
    """Round ``acc * scale`` half up and clamp it into ``out``; whether anything was clamped.

    ``scale`` is ``2**-shift``. Accumulators have magnitudes of at most 2**52: float64 is exact.
    """
    clamped = False
    for s in range(len(acc)):
        rounded = np.floor(acc[s] * scale + 0.5)
        held = min(max(rounded, low), high)
        clamped |= held != rounded
        out[s] = np.int32(held)
    return clamped
