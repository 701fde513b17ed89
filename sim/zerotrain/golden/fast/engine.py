"""The fast engine of whole steps, and when it is used."""

from dataclasses import replace

import numpy as np

from zerotrain.golden.fast.cge import cge_losses
from zerotrain.golden.fast.forward import evaluate, forward_losses, residuals
from zerotrain.golden.fixed import carrier
from zerotrain.golden.steps import READABLE, Engine, Model

__all__ = ["FAST", "engine_of"]

#: For models whose sums fit float64 (:func:`zerotrain.golden.fixed.carrier`).
FAST = Engine(evaluate, forward_losses, cge_losses, residuals)
#: Small forward passes go through NumPy, many evaluations at once, sooner than through tasks.
_SMALL = replace(READABLE, cge_losses=cge_losses)
#: Words of the largest intermediate of a sample, below which a network is small.
_SMALL_WORDS = 2048


def engine_of(model: Model) -> Engine:
    """The engine that suits a model: the numbers are the same."""
    if carrier(model.network, model.formats) is not np.float64:
        return READABLE
    words = max(
        max(layer.n_inputs, layer.n_outputs) * max(layer.all_ranks)
        for layer in model.network.layers
    )
    return FAST if words >= _SMALL_WORDS else _SMALL
