"""Residuals of differential equations and their loss (docs/physics-numerics.md).

All arrays are int64. What belongs to an evaluation of the network has leading axes, which
coordinates and data do not have.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.spec.equation import Problem, constant_word, offset_word
from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Kind, Monomial, Polynomial, Variable
from zerotrain.spec.registers import Saturation

__all__ = ["evaluate", "field", "functionals", "moved_points", "residual_loss", "residuals"]

Ints = NDArray[np.int64]


def evaluate(
    polynomial: Polynomial, values: Mapping[Variable, Ints], fmt: QFormat, out: QFormat,
    flags: Flags,
) -> Ints:  # fmt: skip
    """A polynomial of words in format ``fmt``, as a word of format ``out``.

    The products of a term are rounded but for the last; terms are summed exactly. The sums of terms
    that have a coefficient in common, but for its sign, are rounded, multiplied by it and rounded
    again, unless it is 1. What is left is summed exactly and rounded once.
    """
    w = fmt.frac_bits
    total = np.array(offset_word(polynomial.constant_term, fmt) << w, np.int64)
    for size, terms in polynomial.by_size():
        acc = sum(sign * _product(monomial, values, fmt, flags) for sign, monomial in terms)
        if size != 1:
            common = flags.requantize(np.asarray(acc), w, fmt.width, Saturation.LOSS)
            mantissa, shift = constant_word(size, fmt)
            scaled = flags.requantize(common * mantissa, shift, fmt.width, Saturation.LOSS)
            acc = scaled << w
        total = total + acc
    return flags.requantize(total, 2 * w - out.frac_bits, out.width, Saturation.LOSS)


def _product(
    monomial: Monomial, values: Mapping[Variable, Ints], fmt: QFormat, flags: Flags
) -> Ints:
    """The product of words, in their order, with twice the fraction bits: the last one exact."""
    *before, last = monomial
    product = np.array(1 << fmt.frac_bits, np.int64)
    for k, variable in enumerate(before):
        if k == 0:
            product = values[variable]
        else:
            exact = product * values[variable]
            product = flags.requantize(exact, fmt.frac_bits, fmt.width, Saturation.LOSS)
    return product * values[last]


def moved_points(problem: Problem, x: Ints) -> list[Ints]:
    """The points ``x [batch, n]`` moved to all nodes: of every group ``[points, nodes, n]``."""
    found = []
    for span, stencil in zip(problem.spans, problem.stencils, strict=True):
        offsets = np.zeros((len(stencil.offsets), problem.equation.n_coordinates), np.int64)
        for k, moved in enumerate(stencil.offsets):
            for coordinate, amount in moved:
                offsets[k, coordinate] = amount
        found.append(x[span, None, :] + offsets)
    return found


def field(problem: Problem, f: Ints, x: Ints, flags: Flags) -> Ints:
    """F at some places.

    Parameters
    ----------
    f : int64[..., places]
        Outputs of the network there, raw in ``output``.
    x : int64[places, n]
        Raw in ``input``.

    Returns
    -------
    int64[..., places]
        Raw in ``field``.
    """
    fmt = problem.formats.field
    values = _coordinates(problem, x, fmt, flags)
    aligned = f << (fmt.frac_bits - problem.output.frac_bits)
    values[Variable(Kind.OUTPUT)] = flags.saturate(aligned, fmt.width, Saturation.LOSS)
    return evaluate(problem.equation.field, values, fmt, fmt, flags)


def _coordinates(problem: Problem, x: Ints, fmt: QFormat, flags: Flags) -> dict[Variable, Ints]:
    aligned = x << (fmt.frac_bits - problem.input.frac_bits)
    words = flags.saturate(aligned, fmt.width, Saturation.LOSS)
    return {Variable(Kind.COORDINATE, (i,)): words[..., i] for i in range(x.shape[-1])}


def functionals(problem: Problem, group: int, field: Ints, flags: Flags) -> Ints:
    """Functionals of a group from F at its nodes.

    Parameters
    ----------
    field : int64[..., points, nodes]

    Returns
    -------
    int64[..., points, functionals]
        Raw in ``word``.
    """
    stencil, word = problem.stencils[group], problem.formats.word
    acc = field @ np.array(stencil.weights, np.int64).T
    found = [
        flags.requantize(acc[..., k], shift, word.width, Saturation.LOSS)
        for k, shift in enumerate(stencil.shifts)
    ]
    return np.stack(found, axis=-1)


def residuals(problem: Problem, f: list[Ints], x: Ints, data: Ints, flags: Flags) -> Ints:
    """Residuals of a batch: group by group, in each point by point, in each in their order.

    Parameters
    ----------
    f : list of int64[..., points, nodes]
        For each group the outputs of the network at :func:`moved_points`, raw in ``output``.
    x : int64[batch, n]
        Points, raw in ``input``.
    data : int64[batch, words]
        Data words of the points, raw in ``word``; there may be more than the equation has.

    Returns
    -------
    int64[..., residuals]
        Raw in ``residual``.
    """
    fmt, out, found = problem.formats.word, problem.formats.residual, []
    moved = moved_points(problem, x)
    for g, (group, span) in enumerate(zip(problem.equation.groups, problem.spans, strict=True)):
        places = moved[g].reshape(-1, moved[g].shape[-1])
        at_nodes = field(problem, f[g].reshape(*f[g].shape[:-2], -1), places, flags)
        taken = functionals(problem, g, at_nodes.reshape(f[g].shape), flags)
        values = _coordinates(problem, x[span], fmt, flags)
        for j in range(len(problem.equation.data)):
            values[Variable(Kind.DATA, (j,))] = data[span, j]
        for k in range(len(group.functionals)):
            values[Variable(Kind.VALUE, (k,))] = taken[..., k]
        columns = [evaluate(p, values, fmt, out, flags) for p in group.residuals]
        stacked = np.stack(np.broadcast_arrays(*columns), axis=-1)
        found.append(stacked.reshape(*stacked.shape[:-2], -1))
    return np.concatenate(found, axis=-1)


def residual_loss(problem: Problem, residuals: Ints, loss: QFormat, flags: Flags) -> Ints:
    """The sum of squares of ``residuals [..., n]``, rounded once: int64[...], raw in ``loss``."""
    exact = (residuals * residuals).sum(axis=-1)
    shift = 2 * problem.formats.residual.frac_bits - loss.frac_bits
    return flags.requantize(exact, shift, loss.width, Saturation.LOSS)
