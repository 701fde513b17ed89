"""Random small networks, formats, settings and data, from a seeded generator."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.activations import ACTIVATIONS
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Loss, Network
from zerotrain.spec.registers import Baseline, UpdateRule
from zerotrain.spec.step import StepSettings

Ints = NDArray[np.int64]
Name = TypeVar("Name", Loss, Activation)

#: Activations that every chip has.
COMMON = tuple(a for a in Activation if not ACTIVATIONS[a].on_write)


def pick(rng: np.random.Generator, low: int, high: int) -> int:
    """An integer of ``low..high``, both included."""
    return int(rng.integers(low, high + 1))


def modes(rng: np.random.Generator, d: int, limit: int) -> tuple[int, ...]:
    """d modes of 1 to 3 with a product of at most ``limit``."""
    while True:
        out = tuple(pick(rng, 1, 3) for _ in range(d))
        if prod(out) <= limit:
            return out


def other(rng: np.random.Generator, usual: Name, among: Sequence[Name] = ()) -> Name:
    """A loss or activation, by default any, but the usual one."""
    others = [member for member in among or type(usual) if member != usual]
    return others[pick(rng, 0, len(others) - 1)]


def refactor(rng: np.random.Generator, size: int, d: int) -> tuple[int, ...]:
    """``size`` as a product of d modes."""
    out = [1] * d
    for prime in (2, 3, 5, 7, 11, 13):
        while size % prime == 0:
            out[pick(rng, 0, d - 1)] *= prime
            size //= prime
    return tuple(out)


def layer(
    rng: np.random.Generator,
    in_modes: tuple[int, ...],
    out_modes: tuple[int, ...],
    activation: Activation,
) -> Layer:
    ranks = []
    for k in range(1, len(in_modes)):
        left = prod(in_modes[:k]) * prod(out_modes[:k])
        right = prod(in_modes[k:]) * prod(out_modes[k:])
        ranks.append(min(pick(rng, 1, 3), left, right))
    bias = bool(rng.random() < 0.6)
    return Layer(tuple(in_modes), tuple(out_modes), tuple(ranks), bias, activation)


def network(rng: np.random.Generator) -> Network:
    """1 to 3 layers of 1 to 5 TT-cores; modes of size 1 included."""
    loss = Loss.SOFTMAX_CROSS_ENTROPY
    if rng.random() >= 0.7:
        loss = other(rng, loss)
    n_layers, layers = pick(rng, 1, 3), []
    size = 0
    for n in range(n_layers):
        last, d = n == n_layers - 1, pick(rng, 1, 5)
        in_modes = refactor(rng, size, d) if n else modes(rng, d, 18)
        out_modes = modes(rng, d, 12)
        while last and prod(out_modes) < loss.record.least_outputs:
            out_modes = modes(rng, d, 12)
        kind = Activation.NONE
        if not last and rng.random() < 0.7:
            kind = other(rng, kind, COMMON)
        layers.append(layer(rng, in_modes, out_modes, kind))
        size = prod(out_modes)
    return Network(tuple(layers), loss)


def with_sines(rng: np.random.Generator, net: Network) -> Network:
    """The same with the sine in two thirds of the hidden layers."""
    *hidden, last = net.layers
    layers = [
        replace(spec, activation=Activation.SINE) if rng.random() < 2 / 3 else spec
        for spec in hidden
    ]
    return replace(net, layers=(*layers, last))


def groups(rng: np.random.Generator, net: Network) -> tuple[tuple[int, ...], ...]:
    """Any split of every layer's TT-cores."""
    out = []
    for spec in net.layers:
        left, sizes = spec.n_tt_cores, []
        while left:
            sizes.append(pick(rng, 1, left))
            left -= sizes[-1]
        out.append(tuple(sizes))
    return tuple(out)


def formats(rng: np.random.Generator, *, alike: bool = False, sine: bool = False) -> Formats:
    """Any formats that their own check accepts, the default ones now and then; or some whose inputs
    and pre-activations are alike in width, or that a chip with sines can have."""
    if sine:
        while True:
            found = formats(rng, alike=alike)
            try:
                Chip(lanes=2, formats=found, cge=Cge.NONE, sine=True)
            except ValueError:
                continue
            return found
    if not alike and rng.random() < 0.2:
        return Formats()
    while True:
        lane, out = pick(rng, 4, 24), pick(rng, 8, 24)

        def lane_format(lane: int = lane) -> QFormat:
            return QFormat(lane, pick(rng, 0, lane - 2))

        try:
            weight = pick(rng, 4, lane)
            narrow = pick(rng, 4, lane)
            return Formats(
                weight=QFormat(weight, pick(rng, max(0, weight - 6), weight - 2)),
                input=lane_format(narrow),
                tt=lane_format(),
                preact=lane_format(narrow if alike else pick(rng, 4, lane)),
                delta=QFormat(lane, pick(rng, 0, min(40, lane + 10))),
                logit=QFormat(out, pick(rng, 0, 17)),
                dlogit=QFormat(out, pick(rng, 0, 17)),
                loss=QFormat(pick(rng, 24, 40), 20),
                momentum=QFormat(pick(rng, 8, 32), 10),
                cge_mu_shift=pick(rng, 1, 12),
            )
        except ValueError:
            continue


def words(rng: np.random.Generator, fmt: QFormat, shape: Any) -> Ints:
    """Raw values of a random magnitude, a corner now and then."""
    bits = pick(rng, 2, fmt.width)
    out = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)
    corners = rng.choice([fmt.raw_min, fmt.raw_max, 0], shape)
    return np.where(rng.random(shape) < 0.03, corners, out).astype(np.int64)


def settings(rng: np.random.Generator, most_queries: int = 5) -> StepSettings:
    """Any settings, of 2 to 5 queries; the most there are now and then."""
    queries = pick(rng, 2, min(5, most_queries))
    if most_queries > 5 and rng.random() < 0.3:
        queries = most_queries
    return StepSettings(
        queries=queries,
        baseline=Baseline(pick(rng, 0, 1)),
        update_rule=UpdateRule(pick(rng, 0, 1)),
        mu=1 << pick(rng, 0, 12),
        gradient_shift=pick(rng, 0, 24),
        decay=pick(rng, 0, 15),
        step_mantissa=pick(rng, 0, 255),
        step_shift=pick(rng, 0, 31),
    )


def batch(rng: np.random.Generator, net: Network, fmt: Formats, size: int) -> tuple[Ints, Ints]:
    """Samples and targets."""
    x = words(rng, fmt.input, (size, net.n_inputs))
    if not net.loss.record.labels:
        return x, words(rng, fmt.logit, (size, net.n_outputs))
    return x, rng.integers(0, net.n_outputs, size)
