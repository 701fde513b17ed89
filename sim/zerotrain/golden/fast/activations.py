"""Twin of :mod:`zerotrain.golden.activations`: differences, without a wider word than theirs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.spec.activations import ACTIVATIONS, Activation
from zerotrain.spec.formats import Formats

__all__ = ["NONE", "move", "prepared"]

Ints = NDArray[np.int64]

#: Codes, as constants of the kernel.
NONE = ACTIVATIONS[Activation.NONE].code
_RELU = ACTIVATIONS[Activation.RELU].code


def prepared(y: Words, activation: Activation, formats: Formats) -> NDArray[Any]:
    """What :func:`move` needs of pre-activations ``y``, raw in ``preact``."""
    s = formats.delta.frac_bits - formats.preact.frac_bits
    if activation != Activation.RELU:
        return y.astype(np.int64) << s
    # -Y. Beyond the largest |dy|, Y acts like it: clipped, it needs no more bits than dy. The inner
    # clip keeps the shift itself within the carrier.
    limit = 1 << (formats.delta.width - 1)
    clipped = np.clip(y.astype(np.int64), -(limit >> s) - 1, (limit >> s) + 1) << s
    return np.clip(-clipped, -limit, limit - 1).astype(word_type(formats.delta))


@kernel
def move(code: int, dy: Words, known: NDArray[Any], outputs: Ints, out: Words) -> None:
    """``act(Y + dy) - act(Y)``.

    Parameters
    ----------
    code : int
        The activation; not none.
    dy, out : ``[n, outputs, batch]``
    known : ``[n_outputs, batch]``
        :func:`prepared`.
    """
    for e in range(len(dy)):
        for o in range(len(outputs)):
            change, y, moved = dy[e, o], known[outputs[o]], out[e, o]
            if code == _RELU:  # without the addition
                for s in range(len(moved)):
                    moved[s] = max(change[s], y[s]) - max(y[s], 0)
