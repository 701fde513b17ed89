"""Sections 6 and 7: whole steps, and the perturbation generator."""

from collections.abc import Mapping, Sequence
from typing import Any

from .environments import output_differences
from .fixed import GRADIENT, PARAMETER, PERTURB, Rounding, round_half_up
from .layer import Formats, Layer
from .loss import batch_loss, softmax_loss, squared_error

TAPS = {32: (22, 2, 1), 33: (20,), 40: (38, 21, 19), 48: (47, 21, 20), 64: (63, 61, 60)}

Words = list[int]
Settings = Mapping[str, int]


def next_bit(state: int, degree: int) -> tuple[int, int]:
    """A bit of the stream, and the state after it."""
    state = 1 if state == 0 else state
    fresh = state & 1
    for tap in TAPS[degree]:
        fresh ^= state >> tap & 1
    return state & 1, state >> 1 | fresh << (degree - 1)


def first_state(seed: int, degree: int) -> int:
    """Of a run with that seed."""
    top = 2**64
    z = (seed + 0x9E3779B97F4A7C15) % top
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % top
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % top
    return (z ^ (z >> 31)) % 2**degree or 1


class Plain:
    """Steps of one network.

    Parameters
    ----------
    network : mapping
        ``loss``, and ``layers`` with ``in_modes``, ``out_modes``, ``ranks``, ``bias`` and
        ``activation``.
    formats : mapping
        Width and fraction bits by role.
    mu_shift : int
        ``cge_mu_shift``.
    groups : sequence of sequences of int
        Sizes of the groups of TT-cores of each layer.
    lanes, degree : int
        Samples of a pass; of the generator.
    """

    def __init__(
        self, network: Mapping[str, Any], formats: Formats, mu_shift: int,
        groups: Sequence[Sequence[int]], lanes: int, degree: int,
    ) -> None:  # fmt: skip
        self.network, self.f, self.mu_shift = network, formats, mu_shift
        self.groups, self.lanes, self.degree = groups, lanes, degree
        self.softmax = network["loss"] == "softmax_cross_entropy"
        self.rounding = Rounding()

    @property
    def flags(self) -> int:
        return self.rounding.flags

    def layers(self, theta: Words) -> list[Layer]:
        words, last = iter(theta), len(self.groups) - 1
        return [
            Layer(shape, groups, words, self.f, self.rounding, first=n == 0, last=n == last)
            for n, (shape, groups) in enumerate(
                zip(self.network["layers"], self.groups, strict=True)
            )
        ]

    @staticmethod
    def forward(layers: Sequence[Layer], x: Words) -> tuple[list[Words], list[Words]]:
        """Inputs and pre-activations of all layers; the last of those are the logits."""
        xs, ys = [], []
        for layer in layers:
            xs.append(x)
            ys.append(layer.forward(x))
            x = [layer.activate(y) for y in ys[-1]]
        return xs, ys

    def sample_loss(self, z: Words, target: Any, dz: Words | None = None) -> int:
        if self.softmax:
            return softmax_loss(z, target, self.f, self.rounding, dz)
        return squared_error(z, target, self.f, dz)

    def batch_loss(self, losses: Sequence[int]) -> int:
        return batch_loss(losses, self.lanes, self.f, self.rounding)

    def evaluate(self, theta: Words, xs: list[Words], targets: list[Any]) -> tuple[int, int]:
        """The loss, and the number of correct predictions."""
        layers = self.layers(theta)
        logits = [self.forward(layers, x)[1][-1] for x in xs]
        pairs = list(zip(logits, targets, strict=True))
        correct = sum(z.index(max(z)) == t for z, t in pairs) if self.softmax else 0
        return self.batch_loss([self.sample_loss(z, t) for z, t in pairs]), correct

    def rge_step(
        self, s: Settings, theta: Words, momentum: Words, state: int, xs: list[Words],
        targets: list[Any],
    ) -> tuple[Words, Words, int, Words]:  # fmt: skip
        """New theta, momentum and generator state; losses."""
        base, n, width = s["baseline"] == 0, s["queries"], self.f["weight"].width
        losses = [self.evaluate(theta, xs, targets)[0]] if base else []
        bits: list[Words] = []
        for _ in range(n):
            row, copy = [], []
            for value in theta:
                bit, state = next_bit(state, self.degree)
                moved = value + s["mu"] if bit else value - s["mu"]
                row.append(bit)
                copy.append(self.rounding.saturate(moved, width, PERTURB))
            bits.append(row)
            losses.append(self.evaluate(copy, xs, targets)[0])
        if base:
            differences = [loss - losses[0] for loss in losses[1:]]
        else:
            differences = [n * loss - sum(losses) for loss in losses]
        gradient = [
            sum(d if bit else -d for d, bit in zip(differences, column, strict=True))
            for column in zip(*bits, strict=True)
        ]
        return *self.update(s, theta, momentum, gradient), state, losses

    def environment_losses(self, theta: Words, xs: list[Words], targets: list[Any]) -> Words:
        layers, by_sample = self.layers(theta), []
        for x, target in zip(xs, targets, strict=True):
            inputs, ys = self.forward(layers, x)
            dzs = output_differences(layers, inputs, ys, self.mu_shift, softmax=self.softmax)
            by_sample.append([self.sample_loss(ys[-1], target, dz) for dz in (None, *dzs)])
        return [self.batch_loss(losses) for losses in zip(*by_sample, strict=True)]

    def raised_losses(self, theta: Words, xs: list[Words], targets: list[Any]) -> Words:
        weight = self.f["weight"]
        losses = [self.evaluate(theta, xs, targets)[0]]
        for p, value in enumerate(theta):
            raised = value + (1 << (weight.frac - self.mu_shift))
            raised = self.rounding.saturate(raised, weight.width, PERTURB)
            losses.append(self.evaluate([*theta[:p], raised, *theta[p + 1 :]], xs, targets)[0])
        return losses

    def cge_step(
        self, s: Settings, theta: Words, momentum: Words, xs: list[Words], targets: list[Any], *,
        environments: bool = True,
    ) -> tuple[Words, Words, Words]:  # fmt: skip
        """New theta and momentum; losses."""
        found = self.environment_losses if environments else self.raised_losses
        losses = found(theta, xs, targets)
        gradient = [loss - losses[0] for loss in losses[1:]]
        return *self.update(s, theta, momentum, gradient), losses

    def update(
        self, s: Settings, theta: Words, momentum: Words, gradient: Words
    ) -> tuple[Words, Words]:
        width, rounding = self.f["momentum"].width, self.rounding
        new_theta, new_momentum = [], []
        for value, old, g in zip(theta, momentum, gradient, strict=True):
            v = rounding.requantize(g, s["gradient_shift"], width, GRADIENT)
            if s["decay"]:
                v = rounding.saturate(round_half_up(old * s["decay"], 4) + v, width, GRADIENT)
            if s["update_rule"] == 0:
                delta = round_half_up(v * s["step_mantissa"], s["step_shift"])
            else:
                delta = s["step_mantissa"] * ((v > 0) - (v < 0))
            new_momentum.append(v)
            new_theta.append(rounding.saturate(value - delta, self.f["weight"].width, PARAMETER))
        return new_theta, new_momentum
