"""Twin of whole forward passes: losses of many parameter vectors, and evaluation."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.activations import activate
from zerotrain.golden.fast.layer import layer_forward, layers_of, merge_groups
from zerotrain.golden.fast.losses import evaluation_losses
from zerotrain.golden.fast.threads import run_tasks
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.golden.fixed import Flags
from zerotrain.golden.loss import correct
from zerotrain.golden.residual_losses import residual_losses, residual_vectors, squared_errors
from zerotrain.golden.steps import Model

__all__ = ["evaluate", "forward_losses", "residuals"]

Ints = NDArray[np.int64]

#: Samples that go through the layers together: few enough for the first cache to hold the terms of
#: a row of sums, enough to fill vectors.
_PIECE = 64
#: The same of an equation, which has many nodes and sums of few terms.
_NODES = 256


def logits(model: Model, theta: Ints, x: Ints, flags: Flags) -> Words:
    """Logits of evaluations ``theta [E, d]``: ``[E, n_outputs, batch]``, raw in ``logit``."""
    formats = model.formats
    size = _PIECE if model.network.problem is None else _NODES
    samples, count = x.T.astype(word_type(formats.input)), -(-len(x) // size)
    pieces = [np.ascontiguousarray(piece) for piece in np.array_split(samples, count, axis=1)]
    out = np.empty((len(theta), model.network.n_outputs, len(x)), word_type(formats.logit))

    evaluations = layers_of(model, theta)

    def run(e: int, flags: Flags) -> None:
        layers = evaluations[e]
        merged = [
            merge_groups(part, groups, formats, flags)
            for part, groups in zip(layers, model.groups, strict=True)
        ]

        def through(y: Words) -> Words:
            for part, arrays in zip(layers, merged, strict=True):
                y = layer_forward(part, arrays, y, formats, flags)
                y = activate(y, part.layer.activation, formats)
            return y

        out[e] = np.concatenate([through(piece) for piece in pieces], axis=1)

    run_tasks([partial(run, e) for e in range(len(theta))], flags)
    return out


def outputs(model: Model, theta: Ints, x: Ints, flags: Flags) -> Ints:
    """As of :mod:`zerotrain.golden.steps`."""
    return logits(model, theta, x, flags).swapaxes(1, 2).astype(np.int64)


def residuals(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Residuals of evaluations ``theta [E, d]``: int64[E, n_residuals]."""
    return residual_vectors(model, theta, x, targets, flags, outputs)


def _loss(model: Model, z: Words, targets: Ints, flags: Flags) -> int:
    """Loss of one evaluation with logits ``[n_outputs, batch]``."""
    found = evaluation_losses(
        model.network.loss, model.formats, model.lanes, z, np.zeros_like(z)[None, None],
        np.ascontiguousarray(targets, np.int64), flags,
    )  # fmt: skip
    return int(found[0, 0])


def forward_losses(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Losses of evaluations ``theta [E, d]`` by whole forward passes: int64[E]."""
    if model.network.problem is not None:
        return residual_losses(model, residuals(model, theta, x, targets, flags), flags)
    found = logits(model, theta, x, flags)
    return np.array([_loss(model, z, targets, flags) for z in found])


def evaluate(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> tuple[int, int]:
    """Loss of the batch and number of correct predictions at ``theta [d]``."""
    if model.network.problem is not None:
        return squared_errors(model, theta, x, targets, flags, outputs), 0
    z = logits(model, theta[None], x, flags)[0]
    loss = _loss(model, z, targets, flags)
    return loss, correct(z.T, targets) if model.network.loss.record.counts_correct else 0
