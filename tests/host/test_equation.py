"""Training on an equation: fresh points, steps in two halves, resume, and sign steps too."""

import numpy as np
import pytest

from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import READABLE, Model, State, query_copies
from zerotrain.host.metric import metrics_of
from zerotrain.host.run import remarks
from zerotrain.host.session import Session
from zerotrain.host.settings import subspace_settings
from zerotrain.host.subspace import coefficients
from zerotrain.spec.network import Loss

from .equation import TOML, config, trainer


def test_it_learns() -> None:
    """In 12 steps of 9 losses the error falls by far."""
    with trainer() as made:
        start = made.begin()
        while (row := made.advance()) is not None:
            last = row
        assert start.metric is not None and last.metric is not None
        assert start.metric > 3 * last.metric
        assert (start.phase, last.phase, last.step) == ("start", "subspace", 12)
        assert last.step_size == 0.3


def test_a_step_is_what_the_model_says() -> None:
    """Losses and residuals at the copies, the solve, and the linear rule with its coefficients."""
    with trainer() as made:
        made.begin()
        driver, training = made.driver, made.training
        assert training.subspace is not None and made.dataset.points is not None
        theta, lfsr_state = driver.parameters, driver.lfsr_state
        made.advance()
        chip, network = driver.chip, driver.network
        model = Model.of(chip, network, Session.of(config()).plan.groups)
        settings = subspace_settings(training.subspace, chip.formats, 0)
        x, data = made.dataset.points.batch(training.seed, 1, 0)
        state = State(theta, np.zeros_like(theta), lfsr_state)
        copies = query_copies(model, settings, state, Flags())
        vectors = READABLE.residuals(model, copies, x, data, Flags())
        found = coefficients(
            vectors, damping=0.003, step=0.3 * settings.mu, limit=4.0 * settings.mu
        )
        signs = np.sign(copies[1:] - theta)
        moved = (np.array(found.values) @ signs + (1 << found.shift >> 1)) >> found.shift
        assert driver.parameters.tolist() == (theta - moved).tolist()


def test_resumed_runs_end_the_same() -> None:
    with trainer() as whole:
        whole.begin()
        while whole.advance() is not None:
            pass
        wanted = whole.checkpoint()
    with trainer() as first:
        first.begin()
        for _ in range(5):
            first.advance()
        kept = first.checkpoint()
    with trainer() as second:
        second.restore(kept)
        while second.advance() is not None:
            pass
        found = second.checkpoint()
    assert found.digest == wanted.digest
    assert found.theta.tolist() == wanted.theta.tolist()


def test_sign_steps_train_it_as_well() -> None:
    text = TOML[: TOML.index("[training.subspace]")]
    sign = Config.parse(text + """
[training.rge]
steps = 20
queries = 8
mu = 0.00390625
step_size = 0.004
final_step_size = 0.002
momentum = 0.875
gradient_limit = 4096.0
""")  # fmt: skip
    with trainer(sign) as made:
        start = made.begin()
        assert start.loss is None
        while (row := made.advance()) is not None:
            last = row
        assert last.loss is not None
        assert start.metric is not None and last.metric is not None
        assert last.metric < start.metric


def test_points_are_fresh_and_where_they_belong() -> None:
    data = load_for(config())
    assert data.points is not None
    x, words = data.points.batch(1, 1, 0)
    assert x.shape == (16, 2) and words.shape == (16, 1)
    again, other = data.points.batch(1, 1, 0), data.points.batch(1, 1, 1)
    assert (again[0] == x).all() and (other[0] != x).any()
    assert x.min() >= 0 and x.max() <= 4096
    faces = (x[10:, 1] == 0) | (x[10:, 0] == 0) | (x[10:, 0] == 4096)
    assert faces.all()
    exact = np.exp(-(np.pi**2) * x[:, 1] / 40960) * np.sin(np.pi * x[:, 0] / 4096)
    assert abs(words[:, 0] / 2**20 - exact).max() < 2**-20
    many = np.concatenate([data.points.batch(1, 1, k)[0][:10] for k in range(400)])
    assert np.bincount(many[:, 0] >> 10, minlength=5)[:4] / 4000 == pytest.approx(0.25, abs=0.04)


def test_figures() -> None:
    mse, relative = metrics_of(Loss.RESIDUAL)
    assert (mse.name, mse.key, relative.key) == ("MSE", "mse", "relative_l2")
    with trainer() as made:
        made.begin()
        found = made.measure(made.dataset.test)
        exact = made.dataset.test.targets[:, 0]
        size = (exact**2).mean() ** 0.5  # of u - b, and b is 0
        assert found.by_key["relative_l2"] == pytest.approx(found.main**0.5 / size)


def test_an_equation_without_boundary_data() -> None:
    text = TOML[: TOML.index("[[equation.conditions]]")] + TOML[TOML.index("[chip]") :]
    lone = Config.parse(text)
    session = Session.of(lone)
    assert list(remarks(session, load_for(lone), None)) == [
        "Neither the ansatz nor a condition says what the solution is at the boundary: it may not "
        "be unique."
    ]
    assert list(remarks(Session.of(config()), load_for(config()), None)) == []


def test_formulas_that_are_not_finite() -> None:
    with pytest.raises(ValueError) as caught:
        load_for(config(equation__exact="1 / x"))
    assert str(caught.value) == "'1 / x' is not finite everywhere in the domain"
    with pytest.raises(ValueError) as caught:
        load_for(config(equation__data__h="1000 * x"))
    assert str(caught.value).startswith("Data of the equation reach from ")
