"""Losses of a residual: what a model's network makes of a batch of points
(docs/physics-numerics.md, section 3)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.golden.model import Model
from zerotrain.golden.residual import moved_points, residual_loss, residuals
from zerotrain.spec.equation import Problem

__all__ = ["Outputs", "residual_losses", "residual_vectors", "squared_errors"]

Ints = NDArray[np.int64]
#: Outputs ``[E, samples, n_outputs]`` of a model for evaluations ``[E, d]``: readable or fast.
Outputs = Callable[[Model, Ints, Ints, Flags], Ints]


def _problem(model: Model) -> Problem:
    problem = model.network.problem
    if problem is None:
        raise ValueError(f"Network {model.network.name!r} has no equation, and so no residuals")
    return problem


def _vectors(
    problem: Problem, model: Model, theta: Ints, x: Ints, data: Ints, flags: Flags,
    outputs: Outputs,
) -> Ints:  # fmt: skip
    if len(x) != problem.batch:
        raise ValueError(
            f"A batch of this equation has {problem.batch} points, {problem.points} of its groups, "
            f"got {len(x)}"
        )
    moved = moved_points(problem, x)
    places = np.concatenate([part.reshape(-1, part.shape[-1]) for part in moved])
    f = outputs(model, theta, places, flags)[..., 0]
    ends = np.cumsum([part.shape[0] * part.shape[1] for part in moved])[:-1]
    shaped = [
        values.reshape(len(theta), *part.shape[:2])
        for values, part in zip(np.split(f, ends, axis=1), moved, strict=True)
    ]
    return residuals(problem, shaped, x, data, flags)


def residual_vectors(
    model: Model, theta: Ints, x: Ints, data: Ints, flags: Flags, outputs: Outputs
) -> Ints:
    """Residuals of evaluations.

    Parameters
    ----------
    theta : int64[E, d]
    x : int64[batch, n]
        Points, raw in ``input``.
    data : int64[batch, words]
        Their data words.
    outputs : callable
        How to evaluate the network.

    Returns
    -------
    int64[E, n_residuals]
        Raw in ``residual``.
    """
    return _vectors(_problem(model), model, theta, x, data, flags, outputs)


def residual_losses(model: Model, vectors: Ints, flags: Flags) -> Ints:
    """Losses int64[E] of :func:`residual_vectors`."""
    return residual_loss(_problem(model), vectors, model.formats.loss, flags)


def squared_errors(
    model: Model, theta: Ints, x: Ints, exact: Ints, flags: Flags, outputs: Outputs
) -> int:
    """The sum of the squares of what the solution misses at some points, raw in ``loss``.

    Parameters
    ----------
    theta : int64[d]
    exact : int64[batch, words]
        The exact solution less b in the first word, raw in ``word``.
    """
    problem = _problem(model).error(len(x))
    found = _vectors(problem, model, theta[None], x, exact, flags, outputs)
    return int(residual_loss(problem, found, model.formats.loss, flags)[0])
