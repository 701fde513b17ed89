"""Whole steps: evaluate, RGE and CGE (docs/numerics.md, sections 5 and 6).

Functions of integers without hidden state. What a step reads from the world is its samples and
targets; what it leaves behind is a new :class:`State`, its losses and the sticky flags.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden import lfsr, loss, update
from zerotrain.golden.cge import cge_forward, output_differences
from zerotrain.golden.fixed import Flags
from zerotrain.golden.model import Model, State
from zerotrain.golden.residual_losses import residual_losses, residual_vectors, squared_errors
from zerotrain.golden.tt import forward
from zerotrain.spec.registers import Baseline, Saturation
from zerotrain.spec.step import StepSettings

__all__ = [
    "READABLE", "Engine", "Model", "State", "cge_losses", "cge_step", "evaluate", "forward_losses",
    "query_copies", "raised_losses", "rge_step", "update_step",
]  # fmt: skip

Ints = NDArray[np.int64]

#: Words of the largest intermediate of evaluations that go through one forward pass together.
_FORWARD_WORDS = 1 << 18
#: Copies of the parameters that CGE by forward passes holds at once.
_COPIES = 256


def _sample_losses(
    model: Model,
    z: Ints,
    targets: Ints,
    flags: Flags,
    dz: Ints | None = None,
    ref: Ints | None = None,
) -> Ints:
    """Losses ``[..., batch]`` of logits ``[..., batch, n_outputs]``."""
    compute = loss.SAMPLE_LOSSES[model.network.loss]
    return compute(z, targets, model.formats, flags, dz, ref)


def outputs(model: Model, theta: Ints, x: Ints, flags: Flags) -> Ints:
    """Outputs of the network for evaluations ``theta [E, d]``: int64[E, samples, n_outputs]."""
    out = np.empty((len(theta), len(x), model.network.n_outputs), np.int64)
    for part in _evaluation_blocks(model, len(theta), len(x)):
        out[part] = forward(model.network, model.formats, model.groups, theta[part], x, flags)
    return out


def residuals(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Residuals of evaluations ``theta [E, d]``: int64[E, n_residuals]."""
    return residual_vectors(model, theta, x, targets, flags, outputs)


def forward_losses(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Losses of evaluations ``theta [E, d]`` by whole forward passes: int64[E]."""
    if model.network.problem is not None:
        return residual_losses(model, residuals(model, theta, x, targets, flags), flags)
    out = np.empty(len(theta), np.int64)
    for part in _evaluation_blocks(model, len(theta), len(x)):
        z = forward(model.network, model.formats, model.groups, theta[part], x, flags)
        losses = _sample_losses(model, z, targets, flags)
        out[part] = loss.accumulate(losses, model.lanes, model.formats, flags)
    return out


def _evaluation_blocks(model: Model, count: int, batch: int) -> Iterator[slice]:
    """Evaluations in runs whose intermediates stay small."""
    words = batch * max(
        max(layer.n_inputs, layer.n_outputs) * max(layer.all_ranks)
        for layer in model.network.layers
    )
    step = max(1, _FORWARD_WORDS // words)
    for start in range(0, count, step):
        yield slice(start, start + step)


def evaluate(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> tuple[int, int]:
    """Loss of the batch and number of correct predictions at ``theta``.

    Parameters
    ----------
    theta : int64[d]
        Parameters, raw in ``weight``.
    x : int64[batch, n_inputs]
        Samples, raw in ``input``.
    targets : int64[batch] (labels) or int64[batch, n_outputs] (raw in ``logit``)

    Returns
    -------
    loss : int
        Summed over the batch, raw in ``loss``; of an equation, the squared errors of the solution,
        with its exact values less b as targets.
    correct : int
        0 where the loss counts none.
    """
    if model.network.problem is not None:
        return squared_errors(model, theta, x, targets, flags, outputs), 0
    z = forward(model.network, model.formats, model.groups, theta, x, flags)
    losses = _sample_losses(model, z, targets, flags)
    total = loss.accumulate(losses, model.lanes, model.formats, flags)
    counts = model.network.loss.record.counts_correct
    return int(total), loss.correct(z, targets) if counts else 0


def cge_losses(model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags) -> Ints:
    """Losses of all CGE evaluations, from environments: int64[d + 1]."""
    network, formats = model.network, model.formats
    layers = cge_forward(network, formats, model.groups, theta, x, flags)
    z = layers[-1].y.T.astype(np.int64)
    ref = loss.reference(z, formats)
    out = np.empty(theta.size + 1, np.int64)
    base = _sample_losses(model, z, targets, flags)
    out[0] = loss.accumulate(base, model.lanes, formats, flags)
    for block in output_differences(network, formats, layers, flags):
        dz = np.moveaxis(block.dz, 1, -1)  # [i, n, batch, n_outputs]
        losses = _sample_losses(model, z, targets, flags, dz, ref)
        out[1 + block.parameters] = loss.accumulate(losses, model.lanes, formats, flags)
    return out


def raised_losses(
    model: Model, theta: Ints, x: Ints, targets: Ints, flags: Flags,
    forward_losses: Callable[[Model, Ints, Ints, Ints, Flags], Ints] = forward_losses,
) -> Ints:  # fmt: skip
    """Losses of all CGE evaluations, by whole forward passes: int64[d + 1].

    Parameters
    ----------
    forward_losses : callable
        How to compute losses of evaluations, as the function of that name.
    """
    formats, d = model.formats, theta.size
    out = np.empty(d + 1, np.int64)
    for start in range(0, d + 1, _COPIES):
        evaluations = np.arange(start, min(start + _COPIES, d + 1))
        copies = np.repeat(theta[None], evaluations.size, axis=0)
        raised = evaluations > 0
        copies[raised, evaluations[raised] - 1] += formats.cge_mu
        copies = flags.saturate(copies, formats.weight.width, Saturation.PERTURB)
        out[evaluations] = forward_losses(model, copies, x, targets, flags)
    return out


@dataclass(frozen=True, slots=True)
class Engine:
    """How losses are computed. Every engine finds the same numbers and flags.

    Attributes
    ----------
    evaluate, forward_losses, cge_losses, residuals : callable
        As the functions of these names.
    """

    evaluate: Callable[[Model, Ints, Ints, Ints, Flags], tuple[int, int]]
    forward_losses: Callable[[Model, Ints, Ints, Ints, Flags], Ints]
    cge_losses: Callable[[Model, Ints, Ints, Ints, Flags], Ints]
    residuals: Callable[[Model, Ints, Ints, Ints, Flags], Ints]


#: The specification; :mod:`zerotrain.golden.fast` is its twin.
READABLE = Engine(evaluate, forward_losses, cge_losses, residuals)


def rge_step(
    model: Model, settings: StepSettings, state: State, x: Ints, targets: Ints, flags: Flags,
    engine: Engine = READABLE,
) -> tuple[State, Ints]:  # fmt: skip
    """One randomised gradient estimation step.

    Parameters
    ----------
    x, targets
        As for :func:`evaluate`.
    engine : Engine
        How to compute the losses.

    Returns
    -------
    state : State
    losses : int64[N + 1] (base) or int64[N] (mean)
        Of the evaluations, 20 fraction bits.
    """
    losses = engine.forward_losses(
        model, query_copies(model, settings, state, flags), x, targets, flags
    )
    differences = update.differences(losses, settings.baseline)
    return update_step(model, settings, state, differences, flags), losses


def _query_bits(
    model: Model, settings: StepSettings, state: State
) -> tuple[NDArray[np.uint8], int]:
    """Perturbations ``[queries, d]`` from the generator's state, and its state after them."""
    d = state.theta.size
    stream, lfsr_state = lfsr.bits(state.lfsr_state, settings.queries * d, model.lfsr_degree)
    return stream.reshape(settings.queries, d), lfsr_state


def query_copies(model: Model, settings: StepSettings, state: State, flags: Flags) -> Ints:
    """The copies of the parameters that an RGE step evaluates: int64[evaluations, d].

    With the baseline ``base`` theta itself comes first.
    """
    bits, _ = _query_bits(model, settings, state)
    copies = update.perturb(state.theta, bits, settings.mu, model.formats, flags)
    if settings.baseline == Baseline.BASE:
        copies = np.concatenate([state.theta[None], copies])
    return copies


def update_step(
    model: Model, settings: StepSettings, state: State, coefficients: Ints, flags: Flags
) -> State:
    """The update of an RGE step.

    Parameters
    ----------
    coefficients : int64[N]
        What takes the place of the loss differences.
    """
    bits, lfsr_state = _query_bits(model, settings, state)
    gradient = update.rge_gradient(coefficients, bits)
    formats = model.formats
    theta, momentum = update.update(state.theta, state.momentum, gradient, settings, formats, flags)
    return State(theta, momentum, lfsr_state)


def cge_step(
    model: Model, settings: StepSettings, state: State, x: Ints, targets: Ints, flags: Flags,
    engine: Engine = READABLE,
) -> tuple[State, Ints]:  # fmt: skip
    """One coordinate-wise gradient estimation step.

    Parameters
    ----------
    settings : StepSettings
        ``queries``, ``baseline`` and ``mu`` play no part: mu is the formats' ``cge_mu_shift``.
    x, targets
        As for :func:`evaluate`.
    engine : Engine
        How to compute the losses.

    Returns
    -------
    state : State
    losses : int64[d + 1]
        At theta, then with each parameter raised by mu; 20 fraction bits.
    """
    if model.environments:
        losses = engine.cge_losses(model, state.theta, x, targets, flags)
    else:
        losses = raised_losses(model, state.theta, x, targets, flags, engine.forward_losses)
    theta, momentum = update.update(
        state.theta, state.momentum, update.cge_gradient(losses), settings, model.formats, flags
    )
    return State(theta, momentum, state.lfsr_state), losses
