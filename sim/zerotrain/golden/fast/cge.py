"""Twin of :func:`zerotrain.golden.steps.cge_losses`: all losses of a coordinate-wise step."""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.cge import ForwardLayer, cge_forward
from zerotrain.golden.fast.lift import Lift
from zerotrain.golden.fast.losses import evaluation_losses
from zerotrain.golden.fast.threads import run_tasks
from zerotrain.golden.fixed import Flags, Raw, requantize
from zerotrain.golden.steps import Model
from zerotrain.golden.tt import environments, merge
from zerotrain.spec.registers import Saturation

__all__ = ["cge_losses"]

Ints = NDArray[np.int64]
Words = NDArray[np.int32]

#: Differences of one output that a task handles together: their rows share the first cache.
_TASK_WORDS = 512


def cge_losses(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Losses of all CGE evaluations, from environments: int64[d + 1]."""
    layers = cge_forward(model.network, model.formats, model.groups, theta, x, flags)
    step = _Step(model, layers, targets, flags)
    out = np.empty(theta.size + 1, np.int64)
    nothing = np.zeros((1, *step.z[:, None].shape), np.int32)
    flags.value |= step.losses(nothing, out[:1, None])
    tasks: list[Callable[[], Saturation]] = []
    for n, layer in enumerate(layers):
        tasks += step.layer_tasks(n, layer, out[1:], flags)
    found = [Saturation(0)] * len(tasks)

    def run(k: int) -> None:
        found[k] = tasks[k]()

    run_tasks(len(tasks), run)
    for kinds in found:
        flags.value |= kinds
    return out


class _Step:
    """What the tasks of one step share."""

    def __init__(
        self, model: Model, layers: list[ForwardLayer], targets: Ints, flags: Flags
    ) -> None:
        self.model = model
        self.targets = np.ascontiguousarray(targets, np.int64)
        self.z = np.ascontiguousarray(layers[-1].y, np.int32)
        self.last = len(layers) - 1
        self.lifts = []
        for n in range(self.last):
            above = layers[n + 1].part
            count, formats = above.layer.n_tt_cores, model.formats
            w = merge(above.cores, 0, count, formats, flags)[0, :, :, 0]
            y, activation = (
                np.ascontiguousarray(layers[n].y, np.int32),
                layers[n].part.layer.activation,
            )
            self.lifts.append(Lift(y, activation, w, formats, to_logits=n + 1 == self.last))

    def losses(self, dz: Words, out: Ints) -> Saturation:
        """Losses ``[i, n]`` at differences ``[i, n_outputs, n, batch]``."""
        m = self.model
        return evaluation_losses(m.network.loss, m.formats, m.lanes, self.z, dz, self.targets, out)

    def layer_tasks(
        self, n: int, layer: ForwardLayer, out: Ints, flags: Flags
    ) -> list[Callable[[], Saturation]]:
        """Tasks of some entries each: those of a TT-core that share ``a`` and neighbour in j."""
        network, formats = self.model.network, self.model.formats
        spec, batch = layer.part.layer, layer.x.shape[-1]
        tasks: list[Callable[[], Saturation]] = []
        found = environments(layer.part, layer.x, formats, flags)
        for k, environment in enumerate(found):
            outer, inner, n_a, n_j, b, _ = environment.shape
            indices: Ints = network.block(n, k).natural(np.arange(network.n_parameters))
            outputs: Ints = np.arange(spec.n_outputs).reshape(outer, -1, inner)
            outputs = outputs.swapaxes(0, 1).reshape(-1, outer * inner)  # [i, (I_<k, I_>k)]
            step = max(1, _TASK_WORDS // (b * batch))
            for a, j in product(range(n_a), range(0, n_j, step)):
                some = slice(j, j + step)
                dy, entries = environment[:, :, a, some], indices[a, :, some]
                entries = entries.reshape(len(outputs), -1)
                tasks.append(partial(self.evaluate, n, entries, outputs, dy, out))
        if layer.part.bias is not None:
            offset = network.block(n, None).offset
            mu = 1 << (formats.delta.frac_bits - formats.cge_mu_shift)
            dy = np.full((1, 1, batch), mu, np.int32)
            for first in range(0, spec.n_outputs, 64):
                outputs = np.arange(first, min(first + 64, spec.n_outputs))[:, None]
                tasks.append(partial(self.evaluate, n, offset + outputs, outputs, dy, out))
        return tasks

    def evaluate(
        self, n: int, indices: Ints, outputs: Ints, environment: Raw, out: Ints
    ) -> Saturation:
        """Losses of entries of layer ``n``.

        Parameters
        ----------
        indices : int64[i, n]
            Where the losses go.
        outputs : int64[i, outputs]
            Which of the layer's outputs the entries touch.
        environment : ``[..., batch]``, as many words as ``[outputs, n, batch]``
            By how much, raw in ``delta``: for every i the same.
        """
        shape = (outputs.shape[1], indices.shape[1], environment.shape[-1])
        dy = np.ascontiguousarray(environment.reshape(shape), np.int32)
        if n == self.last:
            dz, kinds = self.to_logits(dy, outputs)
        else:
            dz, kinds = self.lifts[n](dy, outputs)
        for lift in self.lifts[n + 1 :]:
            everything = np.arange(dz.shape[1])[None]
            above = [lift(rows, everything) for rows in dz]
            dz = np.concatenate([found for found, _ in above])
            for _, more in above:
                kinds |= more
        losses = np.empty(indices.shape, np.int64)
        kinds |= self.losses(dz, losses)
        out[indices] = losses
        return kinds

    def to_logits(self, dy: Words, outputs: Ints) -> tuple[Words, Saturation]:
        """Last layer: pre-activation differences are those of the outputs, in ``dlogit``."""
        formats = self.model.formats
        shift = formats.lane_shift(formats.delta, formats.dlogit)
        acc = dy.astype(np.int64) << formats.weight.frac_bits
        scaled, clamped = requantize(acc, shift, formats.logit.width)
        dz = np.zeros((len(outputs), len(self.z), *dy.shape[1:]), np.int32)
        dz[np.arange(len(dz))[:, None], outputs] = scaled
        return dz, Saturation.LOGIT if clamped else Saturation(0)
