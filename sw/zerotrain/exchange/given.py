"""Weights that somebody gives, by layer: matrices of a dense network, or TT-cores of an export."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.exchange.tensor_train import full_matrix

__all__ = ["Given", "GivenLayer", "given"]

Reals = NDArray[np.float64]

_TT_CORE = re.compile(r"layers\.(\d{1,4})\.tt_cores\.(\d{1,4})")
#: Entries of an export that are no weights.
BESIDES = ("description", "theta")
#: Of a weight, by far: no format holds so much.
_LARGEST = 1e9
_FORMS = (
    "expected NAME.weight [outputs, inputs] and NAME.bias [outputs] of every layer, or "
    "layers.K.tt_cores.J and layers.K.bias as zerotrain export writes them"
)


@dataclass(frozen=True, eq=False)
class GivenLayer:
    """Weights of one layer.

    Attributes
    ----------
    name : str
        What the weights are called where they come from.
    tt_cores : tuple of float64[r_k, m_k, n_k, r_{k+1}]
        Of a dense matrix: one.
    bias : float64[n_outputs] or None
    """

    name: str
    tt_cores: tuple[Reals, ...]
    bias: Reals | None

    @property
    def matrix(self) -> Reals:
        """``[n_outputs, n_inputs]``."""
        return full_matrix(self.tt_cores)


@dataclass(frozen=True, eq=False)
class Given:
    """Weights of a network.

    Attributes
    ----------
    source : str
        Where they come from.
    fingerprint : str
        Hash of all names, shapes and values.
    """

    source: str
    layers: tuple[GivenLayer, ...]
    fingerprint: str


def _natural(name: str) -> list[tuple[int, str]]:
    """Names in the order in which people count: ``2.weight`` before ``10.weight``."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d{1,9})", name)]


def _values(source: str, name: str, array: Any) -> Reals:
    """Numbers of a sensible size."""
    values = np.asarray(array)
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{source}: {name} is an array of numbers, not of {values.dtype}")
    reals = values.astype(np.float64)
    if not (abs(reals) <= _LARGEST).all():
        raise ValueError(f"{source}: {name} has values that are not finite, or above {_LARGEST:g}")
    return reals


def given(source: str, arrays: Mapping[str, Any]) -> Given:
    """Weights from arrays by name.

    Dense layers are ``NAME.weight``, ``[outputs, inputs]`` as PyTorch has them, and ``NAME.bias``;
    their names in natural order are the layers' order. Or they are TT-cores as
    :mod:`zerotrain.exchange.export` names them.

    Raises
    ------
    ValueError
        In one sentence, if they are not.
    """
    found = {n: _values(source, n, v) for n, v in arrays.items() if n not in BESIDES}
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(found):
        digest.update(f"{name} {found[name].shape} ".encode(errors="backslashreplace"))
        digest.update(np.ascontiguousarray(found[name]).data)
    owners = {n: n.rpartition(".")[0] for n in found if n.endswith((".weight", ".bias"))}
    cores: dict[str, dict[int, Reals]] = {}
    for name, values in found.items():
        match = _TT_CORE.fullmatch(name)
        if match:
            if values.ndim != 4 or 0 in values.shape:
                raise ValueError(
                    f"{source}: {name} is a TT-core [r, m, n, r'], not of shape {values.shape}"
                )
            cores.setdefault(f"layers.{match[1]}", {})[int(match[2])] = values
        elif name not in owners:
            raise ValueError(f"{source}: {name[:60]!r} is no weight of a linear layer: {_FORMS}")
        elif name.endswith(".weight"):
            if values.ndim != 2 or 0 in values.shape:
                raise ValueError(
                    f"{source}: {name} is a matrix [outputs, inputs], not of shape {values.shape}"
                )
            cores.setdefault(owners[name], {})[0] = values[None, :, :, None]
    if not cores:
        raise ValueError(f"{source} holds no weights: {_FORMS}")
    layers = []
    for owner in sorted(cores, key=_natural):
        parts = [cores[owner].get(k) for k in range(len(cores[owner]))]
        whole = tuple(part for part in parts if part is not None)
        before, after = ([part.shape[axis] for part in whole] for axis in (0, 3))
        if len(whole) < len(parts) or [*before, 1] != [1, *after]:
            shapes = ", ".join(str(cores[owner][k].shape) for k in sorted(cores[owner]))
            raise ValueError(
                f"{source}: the TT-cores of {owner} do not fit one another: expected every rank "
                f"twice and 1 at both ends, got {shapes}"
            )
        layers.append(GivenLayer(owner, whole, found.get(f"{owner}.bias")))
    for name, owner in owners.items():
        if owner not in cores:
            raise ValueError(f"{source}: {name} has no weight beside it: {_FORMS}")
    return Given(source, tuple(layers), digest.hexdigest())
