"""Trained parameters for other programs: TT-cores, or the dense network that they stand for.

docs/exchange.md says what the keys mean.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.exchange.files import check_suffix, pack
from zerotrain.exchange.parameters import real
from zerotrain.spec.activations import Activation
from zerotrain.spec.files import make_folder, write_atomic
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network

__all__ = ["dense_arrays", "describe", "export_parameters", "tt_arrays", "write_export"]

Arrays = dict[str, NDArray[Any]]


def tt_arrays(network: Network, formats: Formats, theta: NDArray[np.int64]) -> Arrays:
    """``layers.K.tt_cores.J`` and ``layers.K.bias`` float64, exactly what the chip holds; ``theta``
    int64[d], its raw parameters."""
    arrays: Arrays = {}
    for n, part in enumerate(real(network, formats, theta).layers):
        for k, tt_core in enumerate(part.tt_cores):
            arrays[f"layers.{n}.tt_cores.{k}"] = tt_core
        if part.bias is not None:
            arrays[f"layers.{n}.bias"] = part.bias
    return arrays | {"theta": theta}


def dense_arrays(network: Network, formats: Formats, theta: NDArray[np.int64]) -> Arrays:
    """``K.weight`` float32[outputs, inputs] and ``K.bias``: the state dict of a ``Sequential`` in
    PyTorch, in which activations count as modules."""
    arrays: Arrays = {}
    module = 0
    for layer, part in zip(network.layers, real(network, formats, theta).layers, strict=True):
        arrays[f"{module}.weight"] = np.ascontiguousarray(part.matrix, np.float32)
        if part.bias is not None:
            arrays[f"{module}.bias"] = part.bias.astype(np.float32)
        module += 1 if layer.activation == Activation.NONE else 2
    return arrays


def describe(
    network: Network, formats: Formats, identity: Mapping[str, Any], step: int
) -> dict[str, Any]:
    """What an export is of: network, formats, and from a run's identity the groups of TT-cores,
    data, seed and, if there were any, given weights that it began with."""
    training = identity.get("config", {}).get("training", {})
    known = {key: identity.get(key) for key in ("groups", "data", "initial_weights")}
    return {
        **network.to_dict(),
        "formats": formats.to_dict(),
        **{key: value for key, value in known.items() if value is not None},
        "seed": training.get("seed"),
        "step": step,
    }


def export_parameters(
    path: Path,
    network: Network,
    formats: Formats,
    theta: NDArray[np.int64],
    *,
    identity: Mapping[str, Any],
    step: int,
    dense: bool = False,
    force: bool = False,
) -> int:
    """Write a run's parameters, ``dense`` or as TT-cores; return the number of arrays.

    Raises what :func:`write_export` does.
    """
    arrays = (dense_arrays if dense else tt_arrays)(network, formats, theta)
    write_export(path, arrays, describe(network, formats, identity, step), force=force)
    return len(arrays)


def write_export(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    description: Mapping[str, Any],
    *,
    force: bool = False,
) -> None:
    """Write an export, whole or not at all.

    Raises
    ------
    FileExistsError
        If there is a file with another content, unless ``force`` says that it may go.
    """
    check_suffix(path)
    content = pack(path.suffix, arrays, json.dumps(description))
    if path.exists() and not force and not (path.is_file() and path.read_bytes() == content):
        raise FileExistsError(
            f"{path} is there already: name another file with --output, or overwrite it with "
            "--force"
        )
    make_folder(path.parent, "the folder", "name another file with --output")
    write_atomic(path, content)
