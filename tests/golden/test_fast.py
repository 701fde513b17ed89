"""The fast engine against the readable functions: losses, state and flags must be equal."""

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest

from zerotrain.config.config import Config
from zerotrain.golden.fast import contract, lift
from zerotrain.golden.fast.contract import prepare as prepared
from zerotrain.golden.fast.engine import FAST, engine_of
from zerotrain.golden.fast.threads import run_tasks, thread_count
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import READABLE, Engine, Model, State, cge_step, evaluate, rge_step
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Network, dense
from zerotrain.spec.registers import Saturation
from zerotrain.spec.step import StepSettings

from . import draw
from .test_steps import CASES, Ints, case

#: Everything that steps leave behind, as plain values.
Outcome = tuple[object, ...]


def outcome(
    engine: Engine, model: Model, settings: StepSettings, state: State, x: Ints, targets: Ints
) -> Outcome:
    """An evaluation, an RGE step and a CGE step."""
    out: list[object] = []
    flags = Flags()
    out += [engine.evaluate(model, state.theta, x, targets, flags), flags.value]
    for step in (rge_step, cge_step):
        flags = Flags()
        state, losses = step(model, settings, state, x, targets, flags, engine)
        out += [losses.tolist(), state.theta.tolist(), state.momentum.tolist(), flags.value]
    return (*out, state.lfsr_state)


@pytest.mark.parametrize("seed", range(CASES))
def test_drawn_networks(seed: int) -> None:
    model, _, settings, state, x, targets = case(seed)
    assert engine_of(model) is not READABLE
    expected = outcome(READABLE, model, settings, state, x, targets)
    assert outcome(FAST, model, settings, state, x, targets) == expected
    assert outcome(engine_of(model), model, settings, state, x, targets) == expected


@pytest.mark.parametrize("seed", range(0, CASES, 2))
def test_drawn_networks_by_tiles(seed: int) -> None:
    """Batches that fill vectors, most of them with some samples on top."""
    model, _, settings, state, _, _ = case(seed)
    rng = np.random.default_rng([24, seed])
    x, targets = draw.batch(rng, model.network, model.formats, draw.pick(rng, 16, 40))
    expected = outcome(READABLE, model, settings, state, x, targets)
    assert outcome(FAST, model, settings, state, x, targets) == expected


@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_drawn_networks_with_sines(seed: int) -> None:
    model, _, settings, state, x, targets = case(seed, sine=True)
    if model.formats.cge_mu:
        expected = outcome(READABLE, model, settings, state, x, targets)
        assert outcome(FAST, model, settings, state, x, targets) == expected


def larger(seed: int) -> tuple[Model, StepSettings, State, Ints, Ints]:
    """A network of thousands of words per sample, and more samples than a task takes."""
    rng = np.random.default_rng([22, seed])
    network = Network((
        Layer((7, 3, 4), (5, 4, 5), (5, 4), True, Activation.RELU),
        Layer((10, 10), (9, 7), (6,), True, [Activation.RELU, Activation.NONE][seed % 2]),
        dense(63, 5),
    ))  # fmt: skip
    formats = Formats()
    model = Model(network, formats, draw.groups(rng, network), 32)
    x, targets = draw.batch(rng, network, formats, 75)
    d, scale = network.n_parameters, 1 << 9 + 2 * seed
    theta = rng.integers(-scale, scale, d)
    state = State(theta, draw.words(rng, formats.momentum, d), 77)
    return model, draw.settings(rng), state, x, targets


@pytest.mark.parametrize("seed", range(4))
def test_larger_networks(seed: int) -> None:
    given = larger(seed)
    assert outcome(FAST, *given) == outcome(READABLE, *given)


def test_both_carriers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks above have sums that fit 32 bits and sums that do not, of both kinds."""
    seen: Counter[tuple[str, str]] = Counter()
    for module in (contract, lift):

        def prepare(*given: Any, name: str = module.__name__, **named: Any) -> Any:
            found = prepared(*given, **named)
            seen[name, found[0].dtype.name] += 1
            return found

        monkeypatch.setattr(module, "prepare", prepare)
    for seed in range(4):
        model, settings, state, x, targets = larger(seed)
        outcome(FAST, model, settings, state, x, targets)
    assert len(seen) == 4 and min(seen.values()) > 10


def test_paper_network() -> None:
    network = Config.preset("mnist-3962").network
    model = Model(network, Formats(), ((1, 1, 2), (2, 2)), 32)
    rng = np.random.default_rng(23)
    x = rng.integers(0, 2048, (40, 784)) * (rng.random((40, 784)) < 0.2)
    targets, theta = rng.integers(0, 10, 40), rng.integers(-4000, 4000, network.n_parameters)
    settings = StepSettings(queries=3, gradient_shift=12, decay=14, step_mantissa=16)
    given = model, settings, State(theta, np.zeros_like(theta), 5), x, targets
    assert engine_of(model) is FAST
    assert outcome(FAST, *given) == outcome(READABLE, *given)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = larger(1)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("ZEROTRAIN_THREADS", str(threads))
        assert thread_count() == threads
        found.append(outcome(FAST, *given))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("threads", [1, 3])
def test_tasks_run_once(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROTRAIN_THREADS", str(threads))
    ran: list[int] = []

    def task(k: int, flags: Flags) -> None:
        ran.append(k)
        flags.value |= Saturation.LOSS if k == 7 else Saturation.MERGE

    flags = Flags()
    flags.value = Saturation.PREACT
    run_tasks([partial(task, k) for k in range(50)], flags)
    assert sorted(ran) == list(range(50))
    assert flags.value == Saturation.PREACT | Saturation.LOSS | Saturation.MERGE
    run_tasks([], flags)


@pytest.mark.parametrize("threads", [1, 3])
def test_task_that_fails(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROTRAIN_THREADS", str(threads))
    ran: list[int] = []

    def task(k: int, flags: Flags) -> None:
        ran.append(k)
        if k >= 5:
            raise ArithmeticError("out of luck")

    with pytest.raises(ArithmeticError, match=r"^out of luck$"):
        run_tasks([partial(task, k) for k in range(1000)], Flags())
    assert len(ran) < 20


@pytest.mark.parametrize("value", ["0", "-1", "two", ""])
def test_refuses_threads(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROTRAIN_THREADS", value)
    message = f"ZEROTRAIN_THREADS is a number of threads, 1 or more, not {value!r}"
    with pytest.raises(ValueError) as caught:
        thread_count()
    assert str(caught.value) == message


def test_wide_sums_stay_readable() -> None:
    """Beyond float64 the readable functions take over, with their int64 sums."""
    wide = QFormat(24, 11)
    formats = Formats(
        weight=QFormat(24, 20), input=wide, tt=wide, preact=wide, delta=QFormat(24, 17)
    )
    assert engine_of(Model(Network((dense(4000, 2),)), formats, ((1,),), 1)) is READABLE
    small, large = (Network((dense(size, 2),)) for size in (4, 2048))
    assert engine_of(Model(large, Formats(), ((1,),), 1)) is FAST
    assert engine_of(Model(small, Formats(), ((1,),), 1)).evaluate is evaluate
