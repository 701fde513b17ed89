"""What a training's rows say about it."""

from dataclasses import replace

import numpy as np
import pytest

from zerotrain.cli.options import override
from zerotrain.host.health import WINDOW, Health, guessing_loss
from zerotrain.host.session import Session
from zerotrain.host.trainer import Row
from zerotrain.spec.registers import Saturation

from . import small


def health(*changes: str) -> Health:
    session = Session.of(override(small.config(), list(changes)))
    return Health(session.chip, session.training, guessing_loss(small.dataset()))


def row(step: int, loss: float, saturation: str = "") -> Row:
    phase = "rge" if step else "start"
    return Row(step, phase, loss, None, None, saturation, 0, 0, 0, "")


def shown(watch: Health, rows: list[Row]) -> list[tuple[int, str]]:
    return [(r.step, sentence) for r in rows for sentence in watch.see(r)]


def test_a_healthy_run_has_nothing_to_say() -> None:
    watch = health()
    rows = [row(0, 1.2)] + [row(k, 1.2 / k, "preact" if k % 3 == 0 else "") for k in range(1, 400)]
    assert shown(watch, rows) == [] and watch.summary() == [] and not watch.divergence
    assert watch.counts == {Saturation.PREACT: 133} and watch.steps == 399


def test_each_kind_is_named_once_with_its_format() -> None:
    watch = health()
    rows = [row(0, 1.2)] + [row(k, 1.0, "preact+logit" if k > 30 else "") for k in range(1, 400)]
    preact = "more integer bits for chip.formats.preact (Q6.9, -64 to 64) would hold them."
    logit = (
        "more integer bits for chip.formats.logit (Q5.14, -32 to 32) or dlogit (Q2.17, -4 to 4) "
        "would hold them."
    )
    assert shown(watch, rows) == [
        (80, f"Pre-activations were clamped in 50 of the last 80 steps: {preact}"),
        (80, f"Network outputs were clamped in 50 of the last 80 steps: {logit}"),
    ]
    assert watch.summary() == [
        f"Pre-activations were clamped in 369 of 399 steps: {preact}",
        f"Network outputs were clamped in 369 of 399 steps: {logit}",
    ]


def test_without_environments_clamps_are_part_of_the_network() -> None:
    """No formats of CGE are named, and nothing is said to be wrong."""
    watch = health("chip.cge=forward")
    for k in range(WINDOW):
        watch.see(row(k + 1, 1.0, "logit"))
    assert watch.summary() == [
        "Network outputs were clamped in 100 of 100 steps: the chip trains the network with these "
        "clamps; more integer bits for chip.formats.logit (Q5.14, -32 to 32) would hold them."
    ]


@pytest.mark.parametrize("kind", list(Saturation))
def test_every_flag_has_a_sentence(kind: Saturation) -> None:
    watch = health()
    sentences = shown(watch, [row(k + 1, 1.0, str(kind.name).lower()) for k in range(60)])
    assert len(sentences) == 1 and "chip.formats." in sentences[0][1]


def test_short_runs_are_summed_up() -> None:
    watch = health()
    assert not shown(watch, [row(k + 1, 1.0, "gradient" if k < 4 else "") for k in range(8)])
    assert watch.summary() == [
        "Gradients or momentum were clamped in 4 of 8 steps: raise gradient_limit of the stage, or "
        "give chip.formats.momentum (Q3.20, -8 to 8) bits."
    ]


def test_a_loss_at_its_clamp_is_divergence() -> None:
    watch = health("chip.formats.loss=Q4.20")
    assert watch.largest_loss == pytest.approx(2.0, abs=1e-6)
    rows = [row(0, 1.2)] + [row(k + 1, 2.0 if k >= 30 else 1.0) for k in range(300)]
    ((step, sentence),) = shown(watch, rows)
    # Nine tenths of the largest loss, on average over a window, come first.
    assert step == 110 and sentence == watch.divergence
    assert sentence == (
        "The training diverges: the loss of the last 100 steps is 1.8 per sample on average, it "
        "began with 1.2; take a smaller step_size"
    )
    at_once = health("chip.formats.loss=Q4.20")
    ((step, sentence),) = shown(at_once, [row(k, 2.0) for k in range(300)])
    assert step == WINDOW and sentence == (
        "The training diverges: the loss was the largest that the chip holds, 2 per sample, in all "
        "of the last 100 steps; take a smaller step_size, or more integer bits for "
        "chip.formats.loss (Q4.20, -16 to 16)"
    )


def test_growth_counts_above_guessing_alone() -> None:
    """A run that begins with a small loss may lose some of it."""
    guess = guessing_loss(small.dataset())
    assert guess == pytest.approx(np.log(3))
    begun = [row(0, 0.1)]
    assert not shown(health(), begun + [row(k + 1, 0.95 * guess) for k in range(300)])
    assert len(shown(health(), begun + [row(k + 1, 1.05 * guess) for k in range(300)])) == 1
    # Nor does a start above guessing alone.
    assert not shown(health(), [row(0, 2.0)] + [row(k + 1, 3.9) for k in range(300)])
    assert len(shown(health(), [row(0, 2.0)] + [row(k + 1, 4.1) for k in range(300)])) == 1


def test_guessing_targets_is_their_spread() -> None:
    data = small.dataset()
    targets = np.linspace(-1, 1, 2 * len(data.training)).reshape(-1, 2)
    part = replace(data.training, targets=targets)
    expected = targets.var(axis=0).sum()
    assert guessing_loss(replace(data, training=part, n_outputs=2)) == pytest.approx(expected)
