"""Matrices as tensor trains: the TT-SVD (Oseledets 2011) in the order of this project's layers.

Row ``(i_1..i_d)`` and column ``(j_1..j_d)`` of a matrix are mixed radix, the first mode most
significant; TT-core k is ``[r_{k-1}, m_k, n_k, r_k]``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.network import Layer

__all__ = ["balanced", "full_matrix", "tt_svd"]

Reals = NDArray[np.float64]

#: Sweeps of :func:`balanced`: a descent of a convex function, which converges geometrically.
_SWEEPS = 500


def full_matrix(tt_cores: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The matrix ``[n_outputs, n_inputs]`` that TT-cores stand for."""
    whole = tt_cores[0]
    for tt_core in tt_cores[1:]:
        _, rows, columns, _ = whole.shape
        _, m, n, rank = tt_core.shape
        product = np.tensordot(whole, tt_core, axes=1)  # [1, I, J, m, n, r]
        whole = product.swapaxes(2, 3).reshape(1, rows * m, columns * n, rank)
    return whole[0, :, :, 0]


def tt_svd(matrix: Reals, layer: Layer) -> tuple[list[Reals], float]:
    """TT-cores of a layer's shapes that are near a matrix.

    All but the last are orthonormal: their columns, for a rank that the matrix does not use, too,
    as far as there are so many. Such columns meet rows of zeros. Signs do not depend on the
    library that computes the singular vectors.

    Parameters
    ----------
    matrix : float64[n_outputs, n_inputs]

    Returns
    -------
    tt_cores : list of float64[r_{k-1}, m_k, n_k, r_k]
    dropped : float
        Sum of the squares of all singular values that were dropped: it is the square of the
        error's Frobenius norm.
    """
    d, rank, dropped = layer.n_tt_cores, 1, 0.0
    tensor = matrix.reshape(*layer.out_modes, *layer.in_modes)
    rest = tensor.transpose([axis for k in range(d) for axis in (k, d + k)])
    tt_cores = []
    for _, m, n, wanted in layer.core_shapes[:-1]:
        rest = rest.reshape(rank * m * n, -1)
        u, s, vt = np.linalg.svd(rest, full_matrices=False)
        signs = np.sign(u[abs(u).argmax(axis=0), np.arange(len(s))])
        # What is noise of the decomposition would only halve what a format resolves.
        s[s <= s[0] * max(rest.shape) * np.finfo(float).eps] = 0.0
        kept = min(wanted, len(s))
        dropped += float((s[kept:] ** 2).sum())
        tt_core, after = np.zeros((len(rest), wanted)), np.zeros((wanted, rest.shape[1]))
        tt_core[:, :kept] = (u * signs)[:, :kept]
        after[:kept] = (s * signs)[:kept, None] * vt[:kept]
        tt_cores.append(tt_core.reshape(rank, m, n, wanted))
        rest, rank = after, wanted
    tt_cores.append(rest.reshape(layer.core_shapes[-1]))
    return tt_cores, dropped


def balanced(tt_cores: Sequence[Reals]) -> list[Reals]:
    """The same matrix by TT-cores whose entries are of one size.

    For every component of every bond, the entries to its left have the root mean square of those to
    its right. Then no TT-core needs more range than the others, and rounding costs least: half a
    bit in each of the n entries on one side costs the product ``sqrt(n)`` times the norm of the
    other side, and the product of both norms is given. A component of which one side is zero
    contributes nothing; the largest entry of the other side gets the size of its neighbours, for
    training to go on from.
    """
    cores = [tt_core.copy() for tt_core in tt_cores]
    for _ in range(_SWEEPS):
        largest = 0.0
        for left, right in zip(cores, cores[1:], strict=False):
            a, b = _sizes(left, right)
            used = (a > 0) & (b > 0)
            size = np.sqrt((a * b)[used]).max(initial=0.0)  # of those that contribute
            factor = np.ones_like(a)
            factor[used] = np.sqrt(b[used] / a[used])
            if size:
                only_left, only_right = (a > 0) & (b == 0), (a == 0) & (b > 0)
                factor[only_left] = size / abs(left).max(axis=(0, 1, 2))[only_left]
                factor[only_right] = abs(right).max(axis=(1, 2, 3))[only_right] / size
            left *= factor
            right /= factor[:, None, None, None]
            largest = max(largest, float(abs(np.log(factor)).max()))
        if largest < 1e-9:
            break
    return cores


def _sizes(left: Reals, right: Reals) -> tuple[Reals, Reals]:
    """Root mean square to the left and to the right of every component of a bond."""
    return (
        np.sqrt((left**2).mean(axis=(0, 1, 2))),
        np.sqrt((right**2).mean(axis=(1, 2, 3))),
    )
