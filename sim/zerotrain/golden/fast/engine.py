"""The fast engine of whole steps."""

import numpy as np

from zerotrain.golden.fast.cge import cge_losses
from zerotrain.golden.fast.forward import evaluate, forward_losses
from zerotrain.golden.fixed import carrier
from zerotrain.golden.steps import READABLE, Engine, Model

__all__ = ["engine_of"]

_FAST = Engine(evaluate, forward_losses, cge_losses)


def engine_of(model: Model) -> Engine:
    """The fast engine, or the readable one where sums of the model do not fit float64."""
    return _FAST if carrier(model.network, model.formats) is np.float64 else READABLE
