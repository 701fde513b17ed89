"""Twin of the lift of :mod:`zerotrain.golden.cge`: differences carried up by one hidden layer.

For every entry of a TT-core: activate the pre-activations that it moves, and multiply what moved by
the merged layer above. That product is nearly all the work of a CGE step.
"""

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.contract import Carried, add_products, largest
from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.rounding import fits_int32, requantize_row
from zerotrain.golden.fixed import Flags
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Activation
from zerotrain.spec.registers import Saturation

__all__ = ["Lift"]

Ints = NDArray[np.int64]
Words = NDArray[np.int32]


class Lift:
    """Carries differences of one hidden layer's pre-activation to those of the layer above.

    Parameters
    ----------
    y : int32[n_outputs, batch]
        The hidden layer's pre-activation, raw in ``preact``.
    activation : Activation
        Its activation.
    w : int32[n_outputs above, n_outputs]
        Full merge of the layer above.
    to_logits : bool
        Whether that is the last layer.
    """

    def __init__(
        self, y: Words, activation: Activation, w: Words, formats: Formats, to_logits: bool
    ) -> None:
        self.relu = activation == Activation.RELU
        # Beyond the largest |dy|, Y acts like it: clipped, it needs no more bits than dy.
        limit = 1 << (formats.delta.width - 1)
        s = formats.delta.frac_bits - formats.preact.frac_bits
        clipped = np.clip(y.astype(np.int64), -(limit >> s) - 1, (limit >> s) + 1) << s
        self.minus_y = np.clip(-clipped, -limit, limit).astype(np.int32)
        self.w = w
        self.target = formats.logit if to_logits else formats.delta
        self.kind = Saturation.LOGIT if to_logits else Saturation.SCRATCH
        source = formats.dlogit if to_logits else formats.delta
        self.shift = formats.lane_shift(formats.delta, source)

    def __call__(self, dy: Words, outputs: Ints, flags: Flags) -> Words:
        """Differences above.

        Parameters
        ----------
        dy : int32[o, n, p, batch]
            Differences of outputs (o, p), raw in ``delta``; the
        outputs : int64[i, (o, p)]
            Which of this layer's outputs these are, for every i.

        Returns
        -------
        int32[i, n_outputs above, n, batch]
        """
        dy = np.ascontiguousarray(dy)
        _, n, _, batch = dy.shape
        count, n_above = outputs.shape[1], len(self.w)
        # |dh| <= |dy|, whatever the activation.
        bound = int(np.abs(self.w[:, outputs]).sum(axis=-1, dtype=np.int64).max()) * largest(
            dy.reshape(-1)
        )
        carrier = np.int32 if fits_int32(bound) else np.float64
        # Rows are taken by twos, outputs by fours: zeros make up the numbers.
        w = np.zeros((len(outputs), n_above + n_above % 2, count + -count % 4), carrier)
        w[:, :n_above, :count] = self.w[:, outputs].swapaxes(0, 1)
        dh = np.zeros((4, n * batch), carrier)
        acc = np.empty((w.shape[1], n * batch), carrier)
        out = np.empty((len(outputs), n_above, n * batch), np.int32)
        low, high = float(self.target.raw_min), float(self.target.raw_max)
        clamped = _lift(
            dy, outputs, self.minus_y, self.relu, w, 0.5**self.shift,
            low, high, dh, acc, out,
        )  # fmt: skip
        if clamped:
            flags.value |= self.kind
        return out.reshape(*out.shape[:2], n, batch)


@kernel
def _moved(dy: Words, o: int, p: int, minus_y: Words, relu: bool, out: Carried) -> None:
    """``max(Y + dy, 0) - max(Y, 0)`` of one output, without the addition; ``dy`` if not ReLU."""
    batch = len(minus_y)
    for e in range(dy.shape[1]):
        change, dh = dy[o, e, p], out[e * batch : (e + 1) * batch]
        if relu:
            for s in range(batch):
                dh[s] = max(change[s], minus_y[s]) - max(minus_y[s], np.int32(0))
        else:
            dh[:] = change


@kernel
def _lift(
    dy: Words, outputs: Ints, minus_y: Words, relu: bool, w: Carried, scale: float, low: float,
    high: float, dh: Carried, acc: Carried, out: Words,
) -> bool:  # fmt: skip
    """Whether any result was clamped. ``dh`` and ``acc`` are scratch memory."""
    clamped, inner = False, dy.shape[2]
    for i in range(len(outputs)):
        acc[:] = 0
        for first in range(0, outputs.shape[1], 4):
            for k in range(min(4, outputs.shape[1] - first)):
                o, p = (first + k) // inner, (first + k) % inner
                _moved(dy, o, p, minus_y[outputs[i, first + k]], relu, dh[k])
            for c in range(0, len(acc), 2):
                add_products(w[i], c, first, dh, 0, acc[c], acc[c + 1])
        for c in range(out.shape[1]):
            clamped |= requantize_row(acc[c], scale, low, high, out[i, c])
    return clamped
