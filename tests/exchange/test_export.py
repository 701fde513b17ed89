"""Exports, read as another program would."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.golden.draw import network as drawn

from zerotrain.compiler.planner import chip_for, plan
from zerotrain.exchange.export import dense_arrays, describe, tt_arrays, write_export
from zerotrain.exchange.files import unpack
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import Groups, forward
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Activation, Layer, Network

Ints = NDArray[np.int64]
Reals = NDArray[np.floating]
FORMATS = Formats()
LSB = FORMATS.weight.resolution
DIGITS = Network(
    (
        Layer((2, 4, 4, 2), (2, 4, 2, 2), (3, 3, 3), True, Activation.RELU),
        Layer((2, 4, 2, 2), (1, 5, 2, 1), (3, 3, 3)),
    ),
    name="digits",
)


def case(seed: int) -> tuple[Network, Groups, Ints, Ints]:
    """A network, the planner's groups, parameters, and samples of values below 1."""
    rng = np.random.default_rng(seed)
    network = DIGITS if seed == 0 else drawn(rng)
    theta = np.zeros(network.n_parameters, np.int64)
    for block in network.blocks():
        layer = network.layers[block.layer]
        spread = 0.9 * (1 / layer.n_inputs / np.prod(layer.ranks)) ** (0.5 / layer.n_tt_cores)
        values = (
            rng.uniform(-1.7, 1.7, block.size) * (0.3 if block.tt_core is None else spread) / LSB
        )
        theta[block.slice] = np.clip(np.rint(values), -(1 << 15), (1 << 15) - 1)
    x = rng.integers(-2000, 2001, (12, network.n_inputs))
    chip = chip_for(network, lanes=4, batch=12)
    return network, plan(network, chip, batch=12).groups, theta, x


def merged(cores: list[Reals]) -> tuple[Reals, float]:
    """Several TT-cores as one ``[a, i, j, b]``, and by how much the chip's is off at most."""
    if len(cores) == 1:
        return cores[0], 0.0
    mid = len(cores) // 2
    (left, e), (right, f) = merged(cores[:mid]), merged(cores[mid:])
    out = np.einsum("aijb,bklc->aikjlc", left, right)
    out = out.reshape(left.shape[0], -1, left.shape[2] * right.shape[2], right.shape[3])
    rows, columns = abs(left).sum(axis=3).max(), abs(right).sum(axis=0).max()
    return out, float(f * rows + e * columns + e * f * left.shape[3] + LSB / 2)


def outputs_and_bound(file: dict[str, Any], groups: Groups, x: Reals) -> tuple[Reals, float]:
    """Outputs from the arrays of an export, and how far the chip's may be from them.

    A stage multiplies the error of its input by at most the largest absolute row sum of its
    TT-core, adds the TT-core's own error times the largest absolute sum of its input, and half a
    bit of its result.
    """
    layers, error = json.loads(str(file["description"]))["layers"], 0.0
    for k, layer in enumerate(layers):
        v, hi = x[:, :, None, None], len(layer["in_modes"])  # [n, J, b, I]
        for size in reversed(groups[k]):
            names = [f"layers.{k}.tt_cores.{j}" for j in range(hi - size, hi)]
            core, off = merged([file[name] for name in names])
            hi -= size
            _, _, columns, rank = core.shape
            v = v.reshape(len(v), -1, columns, rank, v.shape[-1])
            most = abs(v).sum(axis=(2, 3)).max()
            error = error * (abs(core).sum(axis=(2, 3)).max() + off * columns * rank) + off * most
            v = np.einsum("aijb,nJjbI->nJaiI", core, v)
            v = v.reshape(*v.shape[:3], -1)
            last = FORMATS.logit if k == len(layers) - 1 else FORMATS.preact
            error += (FORMATS.tt if hi else last).resolution / 2
        x = v.reshape(len(v), -1) + (file[f"layers.{k}.bias"] if layer["bias"] else 0.0)
        if layer["activation"] == "relu":
            x = np.maximum(x, 0)
    return x, error


@pytest.mark.parametrize("seed", range(25))
def test_the_chip_is_as_near_as_its_rounding(seed: int, tmp_path: Path) -> None:
    network, groups, theta, x = case(seed)
    path = tmp_path / "x.npz"
    write_export(path, tt_arrays(network, FORMATS, theta), describe(network, FORMATS, {}, 3))
    with np.load(path) as opened:
        file = {name: opened[name] for name in opened.files}
    flags = Flags()
    on_chip = forward(network, FORMATS, groups, theta, x, flags) * FORMATS.logit.resolution
    found, bound = outputs_and_bound(file, groups, x * FORMATS.input.resolution)
    assert not flags.value and abs(found).max() > 20 * LSB
    assert abs(found - on_chip).max() <= bound


def test_values_are_exactly_the_chips(tmp_path: Path) -> None:
    network, _, theta, _ = case(0)
    path = tmp_path / "x.npz"
    identity = {
        "config": {"training": {"seed": 5}}, "groups": [[2, 2], [4]], "data": {"name": "digits"},
        "initial_weights": "hash 12",
    }  # fmt: skip
    write_export(path, tt_arrays(network, FORMATS, theta), describe(network, FORMATS, identity, 9))
    arrays = unpack(path)
    assert arrays["theta"].dtype == np.int64 and (arrays["theta"] == theta).all()
    for block in network.blocks():
        kind = "bias" if block.tt_core is None else f"tt_cores.{block.tt_core}"
        values = arrays.pop(f"layers.{block.layer}.{kind}")
        assert values.dtype == np.float64 and values.shape == block.shape
        assert (values / LSB == block.natural(theta)).all()
    assert set(arrays) == {"theta"}
    with np.load(path) as file:
        about = json.loads(str(file["description"]))
    assert about["name"] == "digits" and about["layers"] == network.to_dict()["layers"]
    assert (about["seed"], about["step"], about["groups"]) == (5, 9, [[2, 2], [4]])
    assert (about["data"], about["initial_weights"]) == ({"name": "digits"}, "hash 12")
    assert Formats(**{**about["formats"], **_parsed(about["formats"])}) == FORMATS


def _parsed(formats: dict[str, Any]) -> dict[str, Any]:
    kind = type(FORMATS.weight)
    return {k: kind.parse(v) for k, v in formats.items() if isinstance(v, str)}


def test_dense_keys_count_activations() -> None:
    network, _, theta, _ = case(0)
    arrays = dense_arrays(network, FORMATS, theta)
    assert {k: v.shape for k, v in arrays.items()} == {
        "0.weight": (32, 64), "0.bias": (32,), "2.weight": (10, 32), "2.bias": (10,)
    }  # fmt: skip
    assert all(v.dtype == np.float32 for v in arrays.values())
    plain = Network((Layer((4,), (3,)), Layer((3,), (2,), bias=False)))
    keys = dense_arrays(plain, FORMATS, np.zeros(plain.n_parameters, np.int64))
    assert list(keys) == ["0.weight", "0.bias", "1.weight"]


def test_pytorch_loads_the_dense_export(tmp_path: Path) -> None:
    """The lines of docs/exchange.md."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network, groups, theta, x = case(0)
    path = tmp_path / "digits-dense.npz"
    write_export(path, dense_arrays(network, FORMATS, theta), describe(network, FORMATS, {}, 0))
    page = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text(encoding="utf-8")
    lines = page.partition("```python notest\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(lines.replace("digits-dense.npz", str(path)), names)
    found = names["net"](torch.from_numpy(x * FORMATS.input.resolution).float())
    on_chip = forward(network, FORMATS, groups, theta, x, Flags()) * FORMATS.logit.resolution
    assert abs(found.detach().numpy() - on_chip).max() < 0.05


def test_another_file_is_kept(tmp_path: Path) -> None:
    network, _, theta, _ = case(0)
    path, about = tmp_path / "new" / "x.npz", describe(network, FORMATS, {}, 0)
    write_export(path, tt_arrays(network, FORMATS, theta), about)
    before = path.read_bytes()
    write_export(path, tt_arrays(network, FORMATS, theta), about)
    assert path.read_bytes() == before
    with pytest.raises(FileExistsError) as caught:
        write_export(path, tt_arrays(network, FORMATS, theta + 1), about)
    assert str(caught.value) == (
        f"{path} is there already: name another file with --output, or overwrite it with --force"
    )
    assert path.read_bytes() == before
    write_export(path, tt_arrays(network, FORMATS, theta + 1), about, force=True)
    assert (unpack(path)["theta"] == theta + 1).all()
    assert [entry.name for entry in path.parent.iterdir()] == ["x.npz"]
    below = path / "y.npz"
    with pytest.raises(OSError) as failed:
        write_export(below, {}, about)
    assert str(failed.value) == (
        f"Cannot make the folder {path}: {path} is no folder; name another file with --output"
    )
