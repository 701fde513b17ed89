"""Twin of :func:`zerotrain.golden.steps.cge_losses`: all losses of a coordinate-wise step."""

from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.cge import ForwardLayer, lifting_weights
from zerotrain.golden.fast.activations import activate
from zerotrain.golden.fast.environments import left_half, right_half
from zerotrain.golden.fast.layer import layer_forward, layers_of, merge_groups
from zerotrain.golden.fast.lift import Lift
from zerotrain.golden.fast.losses import evaluation_losses
from zerotrain.golden.fast.memory import borrowed_memory
from zerotrain.golden.fast.threads import Task, run_tasks
from zerotrain.golden.fast.words import Words, word_type
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model
from zerotrain.spec.registers import Saturation

__all__ = ["cge_losses"]

Ints = NDArray[np.int64]

#: Differences of one output that a task handles together: their rows share the first cache.
_TASK_WORDS = 512


def cge_losses(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Losses of all CGE evaluations, from environments: int64[d + 1]."""
    with borrowed_memory() as memory:
        layers = _forward(model, theta, x, flags)
        step = _Step(model, layers, targets, theta.size, flags)
        halves: dict[tuple[int, bool], list[Words]] = {}

        def environments(n: int, right: bool, flags: Flags) -> None:
            half = right_half if right else left_half
            halves[n, right] = half(layers[n].part, layers[n].x, model.formats, memory, flags)

        order = list(product(range(len(layers)), (False, True)))
        run_tasks([partial(environments, n, right) for n, right in order], flags)
        tasks: list[Task] = [step.evaluate_base]
        for n, layer in enumerate(layers):
            for k, environment in enumerate(halves[n, False] + halves[n, True]):
                tasks += step.core_tasks(n, k, environment)
            if layer.part.bias is not None:
                tasks += step.bias_tasks(n)
        run_tasks(tasks, flags)
    return step.out


def _forward(model: Model, theta: Ints, x: Ints, flags: Flags) -> list[ForwardLayer]:
    """The unperturbed forward pass; all arrays of words."""
    v: Words = np.ascontiguousarray(x.T, word_type(model.formats.input))
    out = []
    for part, groups in zip(layers_of(model, theta[None])[0], model.groups, strict=True):
        merged = merge_groups(part, groups, model.formats, flags)
        y = layer_forward(part, merged, v, model.formats, flags)
        out.append(ForwardLayer(part, v, y))
        v = activate(y, part.layer.activation, model.formats)
    return out


class _Step:
    """What the tasks of one step share, and the losses ``out`` that they fill in."""

    def __init__(
        self, model: Model, layers: list[ForwardLayer], targets: Ints, d: int, flags: Flags
    ) -> None:
        self.model = model
        self.targets = np.ascontiguousarray(targets, np.int64)
        self.layers = layers
        self.last = len(layers) - 1
        self.out = np.empty(d + 1, np.int64)
        self.lifts: list[Lift] = []
        for n in range(self.last):
            formats = model.formats
            cores = [core.astype(np.float64) for core in layers[n + 1].part.cores]
            w = lifting_weights(model.network, n + 1, cores, formats, flags)
            w = w.astype(word_type(formats.weight))
            activation = layers[n].part.layer.activation
            self.lifts.append(Lift(layers[n].y, activation, w, formats, n + 1 == self.last))

    def core_tasks(self, n: int, k: int, environment: Words) -> list[Task]:
        """Tasks of some entries of a TT-core each, neighbours in (a, j, b).

        Parameters
        ----------
        environment : ``[a, j_k, b, I_<k, I_>k, batch]``
        """
        network = self.model.network
        outer, inner, batch = environment.shape[3:]
        outputs: Ints = np.arange(network.layers[n].n_outputs).reshape(outer, -1, inner)
        outputs = outputs.swapaxes(0, 1).reshape(-1, outer * inner)  # [i, (I_<k, I_>k)]
        indices: Ints = network.block(n, k).natural(np.arange(network.n_parameters))
        indices = 1 + indices.swapaxes(0, 1).reshape(len(outputs), -1)  # [i, (a, j, b)]
        dy = environment.reshape(indices.shape[1], outer * inner, batch)
        step = max(1, _TASK_WORDS // batch)
        return [
            partial(self.evaluate, n, indices[:, e : e + step], outputs, dy[e : e + step])
            for e in range(0, len(dy), step)
        ]

    def bias_tasks(self, n: int) -> list[Task]:
        """Tasks of some outputs each."""
        network, formats = self.model.network, self.model.formats
        size, batch = network.layers[n].n_outputs, len(self.targets)
        mu = 1 << (formats.delta.frac_bits - formats.cge_mu_shift)
        dy = np.full((1, 1, batch), mu, word_type(formats.delta))
        outputs = np.arange(size)[:, None]
        indices = 1 + network.block(n, None).offset + outputs
        step = max(1, _TASK_WORDS // batch) * 8
        return [
            partial(self.evaluate, n, indices[i : i + step], outputs[i : i + step], dy)
            for i in range(0, size, step)
        ]

    def evaluate_base(self, flags: Flags) -> None:
        """Evaluation 0."""
        z = self.layers[-1].y
        self.losses(np.zeros_like(z)[None, None], np.zeros((1, 1), np.int64), flags)

    def evaluate(self, n: int, indices: Ints, outputs: Ints, dy: Words, flags: Flags) -> None:
        """Losses of entries of layer ``n``.

        Parameters
        ----------
        indices : int64[i, n]
            Evaluations.
        outputs : int64[i, (I_<k, I_>k)]
            Which of the layer's outputs the entries touch.
        dy : ``[n, (I_<k, I_>k), batch]``
            By how much, raw in ``delta``: for every i the same.
        """
        if n == self.last:
            dz = self.to_logits(dy, outputs, flags)
        else:
            dz = self.lifts[n](dy, outputs, flags)
        for lift in self.lifts[n + 1 :]:
            everything = np.arange(dz.shape[2])[None]
            dz = np.concatenate([lift(one, everything, flags) for one in dz])
        self.losses(dz, indices, flags)

    def losses(self, dz: Words, indices: Ints, flags: Flags) -> None:
        """Losses of evaluations ``[i, n]`` at differences ``[i, n, n_outputs, batch]``."""
        m = self.model
        self.out[indices] = evaluation_losses(
            m.network.loss, m.formats, m.lanes, self.layers[-1].y, dz, self.targets, flags
        )

    def to_logits(self, dy: Words, outputs: Ints, flags: Flags) -> Words:
        """Last layer: pre-activation differences are those of the outputs, in ``dlogit``."""
        formats = self.model.formats
        shift = formats.lane_shift(formats.delta, formats.dlogit)
        acc = dy.astype(np.int64) << formats.weight.frac_bits
        scaled = flags.requantize(acc, shift, formats.logit.width, Saturation.LOGIT)
        n, _, batch = dy.shape
        shape = len(outputs), n, len(self.layers[-1].y), batch
        dz = np.zeros(shape, word_type(formats.logit))
        for one, at in zip(dz, outputs, strict=True):
            one[:, at] = scaled
        return dz
