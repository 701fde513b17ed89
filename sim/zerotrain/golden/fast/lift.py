"""Twin of the lift of :mod:`zerotrain.golden.cge`: differences carried up by one hidden layer.

For every entry of a TT-core: activate the pre-activations that it moves, and multiply what moved by
the merged layer above. That product is nearly all the work of a CGE step.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.activations import NONE, move, prepared
from zerotrain.golden.fast.contract import Source, Target, multiply, prepare
from zerotrain.golden.fast.kernel import kernel
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.golden.fixed import Flags
from zerotrain.spec.activations import ACTIVATIONS, Activation, check_differences
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Saturation

__all__ = ["Lift"]

Ints = NDArray[np.int64]


class Lift:
    """Carries differences of one hidden layer's pre-activation to those of the layer above.

    Parameters
    ----------
    y : ``[n_outputs, batch]``
        The hidden layer's pre-activation, raw in ``preact``.
    activation : Activation
        Its activation.
    w : ``[n_outputs above, n_outputs]``
        :func:`~zerotrain.golden.cge.lifting_weights` of the layer above.
    to_logits : bool
        Whether that is the last layer.
    """

    def __init__(
        self, y: Words, activation: Activation, w: Words, formats: Formats, to_logits: bool
    ) -> None:
        check_differences(activation)
        self.code = ACTIVATIONS[activation].code
        self.known = prepared(y, activation, formats)
        self.w = w
        self.target = formats.logit if to_logits else formats.delta
        self.kind = Saturation.LOGIT if to_logits else Saturation.SCRATCH
        source = formats.dlogit if to_logits else formats.delta
        self.shift = formats.lane_shift(formats.delta, source)

    def __call__(self, dy: Words, outputs: Ints, flags: Flags) -> Words:
        """Differences above.

        Parameters
        ----------
        dy : ``[n, outputs, batch]``
            Differences of some outputs, raw in ``delta``.
        outputs : int64[i, outputs]
            Which of this layer's outputs these are, for every i.

        Returns
        -------
        ``[i, n, n_outputs above, batch]``
        """
        # |dh| <= |dy|: that was checked.
        source = Source.of(dy)
        w = np.ascontiguousarray(self.w[:, outputs].swapaxes(0, 1))
        matrices, start = prepare(w, source, self.shift)
        out = np.empty((len(outputs), len(dy), len(self.w), dy.shape[2]), word_type(self.target))
        target = Target.of(out[0], len(self.w), self.target)
        if _lift(
            matrices, start, source, dy, outputs, self.known, self.code, self.shift, target, out
        ):
            flags.value |= self.kind
        return out


@kernel
def _lift(
    w: NDArray[Any], start: NDArray[Any], source: Source, dy: Words, outputs: Ints,
    known: NDArray[Any], code: int, shift: int, target: Target, out: Words,
) -> bool:  # fmt: skip
    """Whether any result was clamped."""
    clamped, dh = False, dy
    if code != NONE:
        dh = np.empty_like(dy)
    x = Source(dh.reshape(-1), source.places, source.stride, source.terms, source.columns)
    for i in range(len(outputs)):
        if code != NONE:
            move(code, dy, known, outputs[i], dh)
        to = Target(out[i].reshape(-1), target.places, target.low, target.high)
        clamped |= multiply(w[i], start, x, shift, to)
    return clamped
