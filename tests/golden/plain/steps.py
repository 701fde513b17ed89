"""Sections 6 and 7: whole steps, and the perturbation generator."""

from collections.abc import Mapping, Sequence
from typing import Any

from .environments import output_differences
from .fixed import GRADIENT, PARAMETER, PERTURB, Arithmetic, round_half_up
from .layer import Layer
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


class Plain(Arithmetic):
    """Steps of one network.

    ``network`` has ``loss``, and ``layers`` with ``in_modes``, ``out_modes``, ``ranks``, ``bias``
    and ``activation``; ``formats`` has width and fraction bits of each role; ``mu_shift`` is
    ``cge_mu_shift``, ``lanes`` the samples of a pass, ``degree`` that of the generator.
    """

    def __init__(
        self, network: Mapping[str, Any], formats: Mapping[str, tuple[int, int]], mu_shift: int,
        groups: Sequence[Sequence[int]], lanes: int, degree: int,
    ) -> None:  # fmt: skip
        super().__init__(formats)
        self.shapes, self.groups, self.mu_shift = network["layers"], groups, mu_shift
        self.softmax = network["loss"] == "softmax_cross_entropy"
        self.lanes, self.degree = lanes, degree

    def layers(self, theta: Words) -> list[Layer]:
        words, last = iter(theta), len(self.groups) - 1
        below = [None, *(shape["activation"] for shape in self.shapes)]
        return [
            Layer(shape, self.groups[n], words, self, below=below[n], last=n == last)
            for n, shape in enumerate(self.shapes)
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
        found = softmax_loss if self.softmax else squared_error
        return found(z, target, self, dz)

    def evaluate(self, theta: Words, xs: list[Words], targets: list[Any]) -> tuple[int, int]:
        """The loss, and the number of correct predictions."""
        layers = self.layers(theta)
        logits = [self.forward(layers, x)[1][-1] for x in xs]
        pairs = list(zip(logits, targets, strict=True))
        correct = sum(z.index(max(z)) == t for z, t in pairs) if self.softmax else 0
        losses = [self.sample_loss(z, t) for z, t in pairs]
        return batch_loss(losses, self.lanes, self), correct

    def rge_step(
        self, s: Settings, theta: Words, momentum: Words, state: int, xs: list[Words],
        targets: list[Any],
    ) -> tuple[Words, Words, int, Words]:  # fmt: skip
        """New theta, momentum and generator state; losses."""
        base, n = s["baseline"] == 0, s["queries"]
        losses = [self.evaluate(theta, xs, targets)[0]] if base else []
        bits: list[Words] = []
        for _ in range(n):
            row, copy = [], []
            for value in theta:
                bit, state = next_bit(state, self.degree)
                moved = value + s["mu"] if bit else value - s["mu"]
                row.append(bit)
                copy.append(self.saturate(moved, "weight", PERTURB))
            bits.append(row)
            losses.append(self.evaluate(copy, xs, targets)[0])
        means = [n * loss - sum(losses) for loss in losses]
        differences = [loss - losses[0] for loss in losses[1:]] if base else means
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
        return [batch_loss(row, self.lanes, self) for row in zip(*by_sample, strict=True)]

    def raised_losses(self, theta: Words, xs: list[Words], targets: list[Any]) -> Words:
        mu = 1 << (self.frac["weight"] - self.mu_shift)
        losses = [self.evaluate(theta, xs, targets)[0]]
        for p, value in enumerate(theta):
            raised = self.saturate(value + mu, "weight", PERTURB)
            losses.append(self.evaluate([*theta[:p], raised, *theta[p + 1 :]], xs, targets)[0])
        return losses

    def cge_step(
        self, s: Settings, theta: Words, momentum: Words, xs: list[Words], targets: list[Any], *,
        environments: bool = True,
    ) -> tuple[Words, Words, Words]:  # fmt: skip
        """New theta and momentum; losses."""
        find = self.environment_losses if environments else self.raised_losses
        losses = find(theta, xs, targets)
        gradient = [loss - losses[0] for loss in losses[1:]]
        return *self.update(s, theta, momentum, gradient), losses

    def update(
        self, s: Settings, theta: Words, momentum: Words, gradient: Words
    ) -> tuple[Words, Words]:
        new_theta, new_momentum = [], []
        for value, old, g in zip(theta, momentum, gradient, strict=True):
            v = self.requantize(g, s["gradient_shift"], "momentum", GRADIENT)
            if s["decay"]:
                kept = round_half_up(old * s["decay"], 4)
                v = self.saturate(kept + v, "momentum", GRADIENT)
            if s["update_rule"] == 0:
                delta = round_half_up(v * s["step_mantissa"], s["step_shift"])
            else:
                delta = s["step_mantissa"] * ((v > 0) - (v < 0))
            new_momentum.append(v)
            new_theta.append(self.saturate(value - delta, "weight", PARAMETER))
        return new_theta, new_momentum
