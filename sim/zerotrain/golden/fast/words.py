"""How tasks carry raw words: 16 bits where the format has no more, 32 otherwise."""

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.formats import QFormat

__all__ = ["Words", "word_type"]

Words = NDArray[np.int16 | np.int32]


def word_type(fmt: QFormat) -> type[np.int16] | type[np.int32]:
    """What holds every word of a format of up to 32 bits."""
    return np.int16 if fmt.width <= 16 else np.int32
