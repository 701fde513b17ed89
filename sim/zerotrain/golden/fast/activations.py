"""Twin of :mod:`zerotrain.golden.activations`: sines of words, and differences
without a wider word than theirs."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden import activations
from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.spec.activations import ACTIVATIONS, Activation
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.sine import INTERVAL_BITS, argument, sine_lines, value

__all__ = ["NONE", "activate", "move", "prepared"]

Ints = NDArray[np.int64]

#: Codes, as constants of the kernel.
NONE = ACTIVATIONS[Activation.NONE].code
_RELU = ACTIVATIONS[Activation.RELU].code


def activate(y: Words, activation: Activation, formats: Formats) -> Words:
    """The activation of pre-activations."""
    if activation != Activation.SINE:
        return activations.activate(y, activation, formats)
    preact = formats.preact
    out = np.empty(y.shape, word_type(value(preact)))
    starts, slopes = _lines(preact)
    fine, highest = preact.frac_bits - INTERVAL_BITS, argument(preact).raw_max
    _sines(np.ascontiguousarray(y).reshape(-1), starts, slopes, fine, highest, out.reshape(-1))
    return out


@lru_cache(maxsize=16)
def _lines(preact: QFormat) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The sine at the beginning of every interval, and by how much it grows there."""
    begins, growths = sine_lines(preact)
    return np.array(begins, np.int32), np.array(growths, np.int32)


@kernel
def _sines(
    y: Words, starts: NDArray[np.int32], slopes: NDArray[np.int32], fine: int, highest: int,
    out: Words,
) -> None:  # fmt: skip
    """The sine of words on one axis."""
    rest, half = (1 << fine) - 1, 1 << fine >> 1
    for n in range(len(y)):
        a: Any = min(abs(np.int64(y[n])), highest)
        found = starts[a >> fine] + ((slopes[a >> fine] * (a & rest) + half) >> fine)
        out[n] = -found if y[n] < 0 else found


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
