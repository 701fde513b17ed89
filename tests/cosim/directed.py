"""Cases whose operands make results land where a lane clamps and rounds.

A sum is chosen first, then operands that have it: weights that descend like the digits of a number,
and digits. Where the formats of a chip cannot reach a limit, there is no such case.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.compiler.planner import plan
from zerotrain.golden.tt import forward
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import QFormat
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense
from zerotrain.spec.registers import Baseline, Saturation, UpdateRule
from zerotrain.spec.step import StepSettings

from .cases import Case
from .observed import Event, Observed, event

__all__ = ["directed_cases", "sums_at_limits"]

Ints = NDArray[np.int64]

#: Operands of a sample, and what happens to it.
Sample = tuple[Sequence[int], Collection[Event]]

#: Most products of a sum: no chip of the table has accumulators for more than 31.
_MOST_TERMS = 24


def sums_at_limits(shift: int, width: int) -> list[int]:
    """Sums on both sides of the rounding boundaries at the limits of a result, and about zero."""
    high = (1 << (width - 1)) - 1
    results = (high, high + 1, -high - 1, -high, 0, 1)
    ties = [(result << shift) - (1 << shift >> 1) for result in results]
    return sorted({tie - below for tie in ties for below in (0, 1)})


def _weights(weight: QFormat, operand: QFormat, largest: int) -> list[int]:
    """Weights with which operands make up any sum of at most ``largest``, if 24 are enough."""
    top = weight.width - 2
    tail = list(range(top, 0, -(operand.width - 1))) + [0]
    tops = largest // (operand.raw_max << top) + 1
    return [1 << bits for bits in [top] * min(tops, _MOST_TERMS - len(tail)) + tail]


def _digits(total: int, weights: Sequence[int], operand: QFormat) -> list[int] | None:
    """Operands whose products with the weights sum to ``total``, or None."""
    out = []
    for w in weights:
        out.append(min(max((2 * total + w) // (2 * w), operand.raw_min), operand.raw_max))
        total -= w * out[-1]
    return None if total else out


class _Director:
    """Makes the cases of one chip."""

    def __init__(self, chip: Chip, seed: int) -> None:
        self.chip, self.f = chip, chip.formats
        self.seeds = count(seed)
        self.n_outputs = chip.loss.record.least_outputs

    def cases(
        self, name: str, network: Network, samples: Sequence[Sample], theta: Ints,
        groups: Any = None, aims: Iterable[Event] = (), **fixed: Any,
    ) -> Iterator[Case]:  # fmt: skip
        """Cases for all samples, as many at once as the chip's memories hold; ``aims`` are those
        of each. Labels are the least likely ones, so that losses follow the logits."""
        x, chip = np.array([sample for sample, _ in samples], np.int64), self.chip
        if not x.size:
            return
        rows = -(-chip.lanes // chip.loss_ways) * network.n_targets
        most = min(chip.sample_depth // network.n_inputs, chip.target_depth // rows) * chip.lanes
        for k, start in enumerate(range(0, len(x), most)):
            part = x[start : start + most]
            found = plan(network, chip, batch=len(part), groups=groups)
            values = {"theta": theta, "x": part, **fixed}
            if network.loss.record.labels and "targets" not in fixed:
                z = forward(network, self.f, found.groups, theta, part, Observed())
                values["targets"] = z.argmin(axis=-1)
            hit = frozenset(aims).union(*(events for _, events in samples[start : start + most]))
            yield Case(found, next(self.seeds), len(part), f"{name}-{k}", hit, values)

    def sums(
        self, weights: Sequence[int], operand: QFormat, *goals: tuple[Saturation, int, int]
    ) -> list[Sample]:
        """Operands for the sums at the limits of results that can be reached, and what they are.

        Parameters
        ----------
        goals : tuple of Saturation, int, int
            Kind, shift and width of the results that each sum becomes.
        """
        out: list[Sample] = []
        for kind, shift, width in goals:
            for total in sums_at_limits(shift, width):
                digits = _digits(total, weights, operand)
                if digits is not None:
                    out.append((digits, {event(kind, total, shift, width)}))
        return out

    def network(self, *layers: Layer) -> Network:
        return Network(layers, self.chip.loss)

    def theta(self, network: Network, *blocks: Any) -> Ints:
        """Parameters from the natural arrays of all blocks, in order."""
        theta = np.zeros(network.n_parameters, np.int64)
        for block, values in zip(network.blocks(), blocks, strict=True):
            block.natural(theta)[:] = np.broadcast_to(values, block.shape)
        return theta

    def shown(self, source: QFormat) -> Ints:
        """Weights of a TT-core of one input, with which output 0 is the input as a logit, to the
        last bit if the formats can."""
        weight = min(self.f.weight.raw_max, 1 << self.f.lane_shift(source, self.f.logit))
        return np.array([weight, 0])[: self.n_outputs, None, None]

    def logits(self) -> Iterator[Case]:
        f = self.f
        goal = (Saturation.LOGIT, f.lane_shift(f.input, f.logit), f.logit.width)
        w = _weights(f.weight, f.input, max(sums_at_limits(*goal[1:])))
        net = self.network(dense(len(w), self.n_outputs, bias=False))
        rows = np.array([w, [-v for v in w]])[: self.n_outputs, :, None]
        yield from self.cases("logit", net, self.sums(w, f.input, goal), self.theta(net, rows))

    def preactivations(self) -> Iterator[Case]:
        """Of a dense layer; or, where that cannot be, of one that takes its input over to
        intermediates first, if a weight can do so without a change."""
        f, common = self.f, self.chip.common
        one = 1 << f.lane_shift(f.input, f.tt)
        if common and one > f.weight.raw_max:
            return
        goal = (
            Saturation.PREACT,
            f.lane_shift(f.tt if common else f.input, f.preact),
            f.preact.width,
        )
        w = _weights(f.weight, f.input, max(sums_at_limits(*goal[1:])))
        n, relu = len(w), Activation.RELU
        first = dense(n, 1, bias=False, activation=relu)
        if common:
            first = Layer((n, 1), (1, 1), (1,), False, relu)
        net = self.network(first, dense(1, self.n_outputs, bias=False))
        cores = (np.array(w)[:, None], *([one] if common else []), self.shown(f.preact))
        groups = ((1, 1) if common else (1,), (1,))
        samples = self.sums(w, f.input, goal)
        yield from self.cases("preact", net, samples, self.theta(net, *cores), groups)

    def intermediates(self) -> Iterator[Case]:
        """Also environments, which are the same sums on another scale."""
        f = self.f
        goals = [(Saturation.SCRATCH, f.lane_shift(f.input, f.tt), f.tt.width)]
        if self.chip.has_environments:
            goals.append((Saturation.SCRATCH, f.delta_shift(f.input), f.delta.width))
        w = _weights(f.weight, f.input, max(max(sums_at_limits(*goal[1:])) for goal in goals))
        net = self.network(Layer((1, len(w)), (self.n_outputs, 1), (1,), False))
        theta = self.theta(net, self.shown(f.tt), np.array(w)[:, None])
        yield from self.cases("scratch", net, self.sums(w, f.input, *goals), theta, ((1, 1),))

    def merged(self) -> Iterator[Case]:
        f = self.f
        goal = (Saturation.MERGE, f.weight.frac_bits, f.weight.width)
        w = _weights(f.weight, f.weight, max(sums_at_limits(*goal[1:])))
        columns = self.sums(w, f.weight, goal)
        inputs = -(-len(columns) // self.n_outputs)
        net = self.network(Layer((1, inputs), (1, self.n_outputs), (len(w),), False))
        flat = np.zeros((len(w), self.n_outputs * inputs), np.int64)
        flat[:, : len(columns)] = np.transpose([digits for digits, _ in columns])
        right = flat.reshape(len(w), self.n_outputs, inputs, 1)
        aims = frozenset[Event]().union(*(events for _, events in columns))
        size = min(f.input.raw_max, 1 << f.lane_shift(f.input, f.logit))
        samples: list[Sample] = [(row, aims) for row in (size * np.eye(inputs, dtype=int)).tolist()]
        yield from self.cases("merge", net, samples, self.theta(net, w, right), ((2,),))

    def accumulators(self) -> Iterator[Case]:
        """The largest sums that the planner admits."""
        f = self.f
        terms = (1 << min(5, self.chip.acc_width - f.weight.width - f.lane_width + 1)) - 1
        net = self.network(dense(terms, self.n_outputs, bias=False))
        theta = np.full(net.n_parameters, f.weight.raw_min)
        rows: list[Sample] = [([f.input.raw_min] * terms, ())] * self.chip.lanes
        yield from self.cases("accumulator", net, rows, theta)

    def parameters(self) -> Iterator[Case]:
        """Within one of where a perturbation, a raise, or an update clamps."""
        f, step = self.f, min(100, 1 << self.f.weight.width - 3)
        near = [distance + e for distance in {step, f.cge_mu} for e in (-1, 0, 1)]
        values = [v for d in near for v in (f.weight.raw_max - d, f.weight.raw_min + d)]
        kinds = (Saturation.PERTURB, Saturation.PARAMETER)
        aims = [
            Event(kind.name or "", f"{limit}{off:+d}")
            for kind in kinds for limit in ("high", "low") for off in (-1, 0, 1)
        ]  # fmt: skip
        net = self.network(dense(2, 12, bias=False))
        theta = np.resize(values, net.n_parameters)
        rng = np.random.default_rng(1)
        x = rng.integers(-2, 3, (self.chip.lanes, 2)) * max(1, f.input.raw_max // 4)
        settings = StepSettings(
            queries=self.chip.query_depth, baseline=Baseline.MEAN, update_rule=UpdateRule.SIGN,
            mu=step, step_mantissa=step, gradient_shift=31, decay=15,
        )  # fmt: skip
        # Momentum outweighs the gradient, and drives parameters out of range.
        momentum = np.where(theta > 0, f.momentum.raw_min, f.momentum.raw_max)
        samples: list[Sample] = [(row, ()) for row in x.tolist()]
        yield from self.cases(
            "parameter", net, samples, theta, aims=aims, settings=settings, momentum=momentum
        )

    def _inputs(self) -> Ints:
        """Input values to search: all, or those of every magnitude."""
        fmt = self.f.input
        if fmt.width <= 16:
            return np.arange(fmt.raw_min, fmt.raw_max + 1)
        near = [s * (1 << b) + e for b in range(fmt.width) for s in (-1, 1) for e in range(-4, 5)]
        inside = [v for v in near if fmt.raw_min <= v <= fmt.raw_max]
        return np.unique([*inside, *range(-(1 << 14), 1 << 14)])

    def _differences(self, x: Ints) -> Ints:
        """``dy`` of the entries of a dense first layer that meet these inputs."""
        f, acc = self.f, x << self.f.weight.frac_bits
        return Observed().requantize(acc, f.delta_shift(f.input), f.delta.width, Saturation.SCRATCH)

    def output_differences(self) -> Iterator[Case]:
        """Inputs, one for each event that an entry of a dense last layer can make."""
        f = self.f
        x = self._inputs()
        shift = f.lane_shift(f.delta, f.dlogit)
        acc = self._differences(x) << f.weight.frac_bits
        found: list[Sample] = [([int(x[0])], ()), ([int(x[-1])], ())]
        for total in sums_at_limits(shift, f.logit.width):
            aims = {event(Saturation.LOGIT, total, shift, f.logit.width)}
            found += [([int(v)], aims) for v in x[acc == total][:1]]
        net = self.network(dense(1, self.n_outputs, bias=False))
        yield from self.cases("dlogit", net, found, self.theta(net, 1))

    def crossings(self) -> Iterator[Case]:
        """Pre-activations that a difference moves to zero, or by one beside it."""
        f = self.f
        shift, s = f.lane_shift(f.input, f.preact), f.delta.frac_bits - f.preact.frac_bits
        x = self._inputs()
        of = dict(zip(self._differences(x).tolist(), x.tolist(), strict=True))
        limit = min(64, f.preact.raw_max)
        w = _weights(f.weight, f.input, limit << shift)
        samples: list[Sample] = []
        for sign in (-1, 1):
            for end in (-1, 0, 1):
                for y in (sign * k for k in range(1, limit + 1)):
                    digits = _digits(y << shift, w, f.input)
                    if digits and end - (y << s) in of:
                        aims = {Event("ReLU", f"{sign:+d} to {end:+d}")}
                        samples.append(([of[end - (y << s)], *digits], aims))
                        break
        net = self.network(
            dense(1 + len(w), 1, bias=False, activation=Activation.RELU),
            dense(1, self.n_outputs, bias=False),
        )
        theta = self.theta(net, np.array([0, *w])[:, None], self.shown(f.delta))
        yield from self.cases("relu", net, samples, theta)

    def losses(self) -> Iterator[Case]:
        """Squared errors that sum to the largest loss, one less or one more; labels that are as
        wrong as can be."""
        f, chip, high = self.f, self.chip, self.f.loss.raw_max
        net = self.network(dense(1, chip.output_depth, bias=False))
        rows = np.resize([f.weight.raw_max, f.weight.raw_min], chip.output_depth)[:, None]
        theta = self.theta(net, rows[..., None])
        if chip.loss == Loss.SOFTMAX_CROSS_ENTROPY:
            passes = chip.target_depth // -(-chip.lanes // chip.loss_ways)
            samples: list[Sample] = [([f.input.raw_max], ())] * (passes * chip.lanes)
            targets = np.ones(len(samples), np.int64)
            yield from self.cases("loss", net, samples, theta, targets=targets)
            return
        samples = [([1], ())] * chip.lanes
        z = forward(net, f, ((1,),), theta, np.ones((chip.lanes, 1), np.int64), Observed())
        for name, off in (("below", -1), ("at", 0), ("above", 1)):
            targets, total = z.copy(), high + off
            for where in np.ndindex(*z.shape):
                room = f.logit.raw_max - abs(int(z[where]))
                error = min(_root(total, 17 - f.logit.frac_bits), room)
                targets[where] += error
                total -= _term(error, 17 - f.logit.frac_bits)
            if not total:
                aims = {Event("LOSS", f"high{off:+d}")}
                yield from self.cases(
                    f"loss-{name}", net, samples, theta, aims=aims, targets=targets
                )


def _term(error: int, shift: int) -> int:
    """The loss of one squared error."""
    return (error << shift) ** 2 >> 14


def _root(total: int, shift: int) -> int:
    """The largest error whose term is at most ``total``."""
    low, high = 0, 1 << 25
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _term(middle, shift) <= total else (low, middle)
    return low


def directed_cases(chip: Chip, seed: int) -> Iterator[Case]:
    """All that there are for a chip."""
    director = _Director(chip, seed)
    yield from director.logits()
    yield from director.preactivations()
    yield from director.intermediates()
    yield from director.merged()
    yield from director.accumulators()
    yield from director.parameters()
    yield from director.losses()
    if chip.has_environments:
        yield from director.output_differences()
        yield from director.crossings()
