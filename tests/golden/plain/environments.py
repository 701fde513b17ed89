"""Section 4: what every parameter changes of the logits, from environments."""

from collections.abc import Iterator, Sequence

from .fixed import LOGIT, MERGE, SCRATCH, Tensor, contract
from .layer import Layer

Differences = dict[int, int]  # by output, where they are not zero


def environments(layer: Layer, x: Sequence[int], mu_shift: int) -> list[Tensor]:
    """``mu * E_k`` of every TT-core."""
    fixed, v, d, h = layer.fixed, layer.inputs(x), layer.d, layer.h
    sums: dict[int, tuple[Tensor, str]] = {}
    if d == 1:
        one = {index: value << fixed.frac["weight"] for index, value in v.values.items()}
        sums[0] = Tensor(v.axes, one), layer.source
    else:
        acc, source = contract(layer.merge(h, d), v), layer.source
        for k in range(h - 1, 0, -1):
            right, source = fixed.rescaled(acc, source, "tt", SCRATCH), "tt"
            sums[k] = contract(layer.merge(0, k), right), source
            acc = contract(layer.cores[k], right)
        sums[0] = acc, source
        acc, source = contract(layer.merge(0, h), v), layer.source
        for k in range(h, d - 1):
            left, source = fixed.rescaled(acc, source, "tt", SCRATCH), "tt"
            sums[k] = contract(left, layer.merge(k + 1, d)), source
            acc = contract(layer.cores[k], left)
        sums[d - 1] = acc, source
    return [fixed.rescaled(*sums[k], "delta", SCRATCH, mu_shift) for k in range(d)]


def entry_differences(layer: Layer, x: Sequence[int], mu_shift: int) -> Iterator[Differences]:
    """``dy`` of every parameter of the layer, in order."""
    for k, environment in enumerate(environments(layer, x, mu_shift)):
        core = layer.cores[k]
        ends = [axis for axis in (f"r{k}", f"j{k}", f"r{k + 1}") if axis in environment.axes]
        axes, parts = environment.split(ends)
        for entry in core.values:
            at = dict(zip(core.axes, entry, strict=True))
            dy = {}
            for rest, value in parts[tuple(at[axis] for axis in ends)]:
                where = at | dict(zip(axes, rest, strict=True))
                dy[layer.outputs.index(tuple(where[axis] for axis in layer.names("i")))] = value
            yield dy
    for i in range(len(layer.bias)):
        yield {i: 1 << (layer.fixed.frac["delta"] - mu_shift)}


def relative_weights(layer: Layer) -> Tensor:
    """``W'``."""
    sums, less = layer.merged_sums(0, layer.d), {}
    for index, acc in sums.values.items():
        first = (0 if axis[0] == "i" else k for axis, k in zip(sums.axes, index, strict=True))
        less[index] = acc - sums.values[tuple(first)]
    return layer.fixed.rescaled(Tensor(sums.axes, less), "weight", "weight", MERGE)


def lift(layer: Layer, upper: Layer, w: Tensor, y: Sequence[int], dy: Differences) -> Differences:
    """The differences of layer l+1's outputs from those of layer l's pre-activations."""
    dh, s = {}, layer.fixed.frac["delta"] - layer.fixed.frac["preact"]
    for i, value in dy.items():
        dh[upper.columns[i]] = layer.activate((y[i] << s) + value) - layer.activate(y[i] << s)
    target, flag = ("dlogit", LOGIT) if upper.last else ("delta", SCRATCH)
    lifted = layer.fixed.rescaled(contract(w, Tensor(upper.names("j"), dh)), "delta", target, flag)
    return dict(enumerate(lifted.listed(upper.names("i"))))


def output_differences(
    layers: Sequence[Layer], xs: Sequence[Sequence[int]], ys: Sequence[Sequence[int]],
    mu_shift: int, *, softmax: bool,
) -> Iterator[list[int]]:  # fmt: skip
    """``dz`` of every parameter, from the inputs and pre-activations of all layers."""
    fixed = layers[-1].fixed
    above = [
        relative_weights(layer) if softmax and layer.last and layer.d >= 2
        else layer.merge(0, layer.d)
        for layer in layers[1:]
    ]  # fmt: skip
    for n, layer in enumerate(layers):
        for dy in entry_differences(layer, xs[n], mu_shift):
            for k in range(n, len(above)):
                dy = lift(layers[k], layers[k + 1], above[k], ys[k], dy)
            if layer.last:
                sums = {c: value << fixed.frac["weight"] for c, value in dy.items()}
                dy = {c: fixed.rescale(acc, "delta", "dlogit", LOGIT) for c, acc in sums.items()}
            yield [dy.get(c, 0) for c in range(len(ys[-1]))]
