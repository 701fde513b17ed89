"""Twin of whole forward passes: losses of many parameter vectors, and evaluation."""

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fast.layer import layer_forward
from zerotrain.golden.fast.losses import evaluation_losses
from zerotrain.golden.fast.threads import run_tasks
from zerotrain.golden.fixed import Flags
from zerotrain.golden.loss import correct
from zerotrain.golden.steps import Model
from zerotrain.golden.tt import activate, unpack
from zerotrain.spec.network import Loss

__all__ = ["evaluate", "forward_losses"]

Ints = NDArray[np.int64]
Words = NDArray[np.int32]

#: Samples that a task handles together: rows long enough to amortise a loop over them.
_TASK_SAMPLES = 64


def logits(model: Model, theta: Ints, x: Ints, flags: Flags) -> Words:
    """Logits of evaluations ``theta [E, d]``: int32[E, n_outputs, batch], raw in ``logit``."""
    network, formats = model.network, model.formats
    samples = np.ascontiguousarray(x.T, np.int32)
    out = np.empty((len(theta), network.n_outputs, len(x)), np.int32)
    parts = [
        [
            replace(
                part,
                cores=[np.ascontiguousarray(core, np.int32) for core in part.cores],
                bias=None if part.bias is None else part.bias.astype(np.int32),
            )
            for part in unpack(network, formats, row)
        ]
        for row in theta
    ]
    tasks = list(product(range(len(theta)), range(0, len(x), _TASK_SAMPLES)))
    found = [Flags() for _ in tasks]

    def run(k: int) -> None:
        e, first = tasks[k]
        y = samples[:, first : first + _TASK_SAMPLES]
        for part, groups in zip(parts[e], model.groups, strict=True):
            y = layer_forward(part, groups, y, formats, found[k])
            y = activate(y, part.layer.activation)
        out[e, :, first : first + _TASK_SAMPLES] = y

    run_tasks(len(tasks), run)
    for task in found:
        flags.value |= task.value
    return out


def _loss(model: Model, z: Words, targets: Ints, flags: Flags) -> int:
    """Loss of one evaluation with logits ``[n_outputs, batch]``."""
    out = np.empty((1, 1), np.int64)
    flags.value |= evaluation_losses(
        model.network.loss, model.formats, model.lanes, z, np.zeros_like(z)[None, :, None],
        np.ascontiguousarray(targets, np.int64), out,
    )  # fmt: skip
    return int(out[0, 0])


def forward_losses(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Losses of evaluations ``theta [E, d]`` by whole forward passes: int64[E]."""
    found = logits(model, theta, x, flags)
    return np.array([_loss(model, z, targets, flags) for z in found])


def evaluate(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> tuple[int, int]:
    """Loss of the batch and number of correct predictions at ``theta [d]``."""
    z = logits(model, theta[None], x, flags)[0]
    loss = _loss(model, z, targets, flags)
    if model.network.loss == Loss.MEAN_SQUARED_ERROR:
        return loss, 0
    return loss, correct(z.T, targets)
