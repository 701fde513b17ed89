"""Whole steps of the golden model against the numerics in plain Python integers."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, evaluate, rge_step
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import Formats
from zerotrain.spec.lfsr import TAPS, mix_seed
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense
from zerotrain.spec.step import StepSettings

from . import draw
from .as_plain import plain_model, plain_settings
from .plain.steps import Plain

Ints = NDArray[np.int64]

CASES = 120


def case(seed: int, *, sine: bool = False) -> tuple[Model, Plain, StepSettings, State, Ints, Ints]:
    """A step of a drawn network; with ``sine``, of one that has some, without environments."""
    rng = np.random.default_rng([26 if sine else 20, seed])
    network, formats = draw.network(rng), draw.formats(rng, sine=sine)
    while sine and not network.sines:
        network = draw.with_sines(rng, draw.network(rng))
    groups, lanes = draw.groups(rng, network), draw.pick(rng, 1, 4)
    degree = int(rng.choice(sorted(TAPS)))
    model = Model(network, formats, groups, lanes, degree, environments=not sine)
    plain = plain_model(network, formats, groups, lanes, degree)
    x, targets = draw.batch(rng, network, formats, draw.pick(rng, 1, 5))
    d = network.n_parameters
    state = State(
        draw.words(rng, formats.weight, d),
        draw.words(rng, formats.momentum, d),
        mix_seed(seed, degree),
    )
    return model, plain, draw.settings(rng), state, x, targets


@pytest.mark.parametrize("seed", range(CASES))
def test_evaluate(seed: int) -> None:
    model, plain, _, state, x, targets = case(seed)
    flags = Flags()
    got = evaluate(model, state.theta, x, targets, flags)
    assert got == plain.evaluate(state.theta.tolist(), x.tolist(), targets.tolist())
    assert flags.value == plain.flags


@pytest.mark.parametrize("seed", range(CASES))
def test_rge_step(seed: int) -> None:
    model, plain, settings, state, x, targets = case(seed)
    flags = Flags()
    after, losses = rge_step(model, settings, state, x, targets, flags)
    theta, momentum, lfsr, expected = plain.rge_step(
        plain_settings(settings), state.theta.tolist(), state.momentum.tolist(), state.lfsr_state,
        x.tolist(), targets.tolist(),
    )  # fmt: skip
    assert losses.tolist() == expected
    assert after.theta.tolist() == theta
    assert after.momentum.tolist() == momentum
    assert after.lfsr_state == lfsr
    assert flags.value == plain.flags


@pytest.mark.parametrize("seed", range(CASES))
def test_cge_step(seed: int) -> None:
    model, plain, settings, state, x, targets = case(seed)
    flags = Flags()
    after, losses = cge_step(model, settings, state, x, targets, flags)
    theta, momentum, expected = plain.cge_step(
        plain_settings(settings),
        state.theta.tolist(),
        state.momentum.tolist(),
        x.tolist(),
        targets.tolist(),
    )
    assert losses.tolist() == expected
    assert after.theta.tolist() == theta
    assert after.momentum.tolist() == momentum
    assert after.lfsr_state == state.lfsr_state
    assert flags.value == plain.flags


@pytest.mark.parametrize("seed", [seed for seed in range(CASES) if case(seed)[0].formats.cge_mu])
def test_cge_step_by_forward_passes(seed: int) -> None:
    model, plain, settings, state, x, targets = case(seed)
    model = replace(model, environments=False)
    flags = Flags()
    after, losses = cge_step(model, settings, state, x, targets, flags)
    theta, momentum, expected = plain.cge_step(
        plain_settings(settings), state.theta.tolist(), state.momentum.tolist(), x.tolist(),
        targets.tolist(), environments=False,
    )  # fmt: skip
    assert losses.tolist() == expected
    assert after.theta.tolist() == theta
    assert after.momentum.tolist() == momentum
    assert after.lfsr_state == state.lfsr_state
    assert flags.value == plain.flags


@pytest.mark.parametrize("seed", range(40))
def test_steps_with_sines(seed: int) -> None:
    """Every kind of step. Activations have a format of their own, which sums and biases meet."""
    model, plain, settings, state, x, targets = case(seed, sine=True)
    state_0, x_0, targets_0 = state.theta.tolist(), x.tolist(), targets.tolist()
    flags = Flags()
    assert evaluate(model, state.theta, x, targets, flags) == plain.evaluate(
        state_0, x_0, targets_0
    )
    after, losses = rge_step(model, settings, state, x, targets, flags)
    given = plain_settings(settings), state_0, state.momentum.tolist()
    expected = plain.rge_step(*given, state.lfsr_state, x_0, targets_0)
    assert (losses.tolist(), after.theta.tolist()) == (expected[3], expected[0])
    if model.formats.cge_mu:
        after, losses = cge_step(model, settings, state, x, targets, flags)
        theta, _, raised = plain.cge_step(*given, x_0, targets_0, environments=False)
        assert (losses.tolist(), after.theta.tolist()) == (raised, theta)
    assert flags.value == plain.flags


def test_cases_cover() -> None:
    """The drawn cases reach what they are meant to reach, saturation and its absence included."""
    seen: Counter[str] = Counter()
    for seed in range(CASES):
        model, _, settings, state, x, targets = case(seed)
        network, flags = model.network, Flags()
        rge_step(model, settings, state, x, targets, flags)
        _, losses = cge_step(model, settings, state, x, targets, flags)
        seen.update(str(bit.name) for bit in flags.value)
        seen["no flag"] += not flags.value
        seen["moving losses"] += len(set(losses.tolist())) > 2
        seen["three layers"] += len(network.layers) == 3
        seen["five TT-cores"] += any(spec.n_tt_cores == 5 for spec in network.layers)
        seen["mode of size 1"] += any(1 in spec.in_modes for spec in network.layers)
        seen["squared error"] += network.loss == Loss.MEAN_SQUARED_ERROR
        seen["several passes"] += len(x) > model.lanes
    wanted = (
        "PERTURB MERGE SCRATCH PREACT LOGIT LOSS GRADIENT PARAMETER".split()
        + ["no flag", "moving losses", "three layers", "five TT-cores", "mode of size 1"]
        + ["squared error", "several passes"]
    )
    assert {name: seen[name] for name in wanted if seen[name] < 3} == {}


def test_int64_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums too long for float64 go through int64, with the same results."""
    for seed in range(20):
        model, _, settings, state, x, targets = case(seed)
        results = []
        for dtype in (np.float64, np.int64):
            monkeypatch.setattr("zerotrain.golden.tt.carrier", lambda *_, dtype=dtype: dtype)
            monkeypatch.setattr("zerotrain.golden.cge.carrier", lambda *_, dtype=dtype: dtype)
            flags = Flags()
            _, rge = rge_step(model, settings, state, x, targets, flags)
            _, cge = cge_step(model, settings, state, x, targets, flags)
            results.append((rge.tolist(), cge.tolist(), flags.value))
        assert results[0] == results[1]


def test_one_flipped_bit() -> None:
    """A flipped bit of theta never goes unnoticed.

    Every one shows in the state and losses after a step; those that rounding to the coarser
    intermediate formats cannot hide show in the losses alone.
    """
    network = Network((Layer((2, 3), (3, 2), (2,), True, Activation.RELU), dense(6, 3)))
    model = Model(network, Formats(), ((2,), (1,)), 4)
    rng = np.random.default_rng(21)
    theta = rng.integers(2000, 6000, network.n_parameters)
    x, labels = rng.integers(500, 2000, (4, 6)), rng.integers(0, 3, 4)

    def step(values: Ints) -> tuple[bytes, bytes]:
        flags = Flags()
        state = State(values, np.zeros_like(values), 1)
        after, losses = cge_step(model, StepSettings(), state, x, labels, flags)
        assert not flags.value
        return after.theta.tobytes(), losses.tobytes()

    expected = step(theta)
    for p in range(theta.size):
        for bit in range(12):
            flipped = theta.copy()
            flipped[p] ^= 1 << bit
            got = step(flipped)
            assert got != expected
            assert bit < 6 or got[1] != expected[1]


def test_model_refuses_groups() -> None:
    network = Network((dense(4, 2),))
    message = r"^Groups are positive and sum to the TT-cores of each layer \(1,\), got \(\(2,\),\)$"
    with pytest.raises(ValueError, match=message):
        Model(network, Formats(), ((2,),), 1)


def test_model_refuses_loss() -> None:
    network = Network((dense(4, 2),), Loss.MEAN_SQUARED_ERROR)
    with pytest.raises(ValueError, match=r"^The chip computes the loss softmax_cross_entropy, but"):
        Model.of(Chip(2), network, ((1,),))
