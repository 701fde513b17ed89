"""Losses against real arithmetic, with stated bounds, and against plain Python integers."""

import numpy as np
import pytest

from zerotrain.golden.fixed import Flags
from zerotrain.golden.loss import (
    accumulate,
    correct,
    exp2,
    exp2_fraction,
    log2,
    reference,
    softmax_loss,
    squared_error_loss,
)
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.registers import Saturation

from . import draw
from .as_plain import plain_formats
from .plain import loss as plain
from .plain.fixed import Arithmetic

ONE = 1 << 20


def test_exp2_is_close() -> None:
    """Linear interpolation over 1/64: relative error (ln 2 / 64)**2 / 8 = 1.5e-5, plus rounding."""
    f = np.arange(1 << 18)
    real = 2.0 ** (f / (1 << 18)) * ONE
    assert abs(exp2_fraction(f) / real - 1).max() < 1.8e-5
    assert (exp2(f) == exp2_fraction(f)).all()


def test_exp2_halves_and_doubles() -> None:
    f = np.arange(0, 1 << 18, 997)
    for i in range(-40, 12):
        m = [int(v) for v in exp2_fraction(f)]
        expected = [v << i if i >= 0 else (v >> -i if i >= -31 else 0) for v in m]
        assert exp2((i << 18) + f).tolist() == expected
    assert (exp2(np.array([12 << 18, 10**12])) >= 1 << 32).all()


def test_log2_is_close() -> None:
    """Linear interpolation over 1/64: absolute error log2(e) / 64**2 / 8 = 4.4e-5.

    Dropping bits below 1/64/4096 adds 5.5e-6, the table's rounding and the floor 1.4e-6.
    """
    rng = np.random.default_rng(2)
    s = np.unique(rng.integers(1, 1 << 32, 20000) >> rng.integers(0, 32, 20000))
    s = np.concatenate([s[s > 0], [1, 2, 3, (1 << 32) - 1]])
    assert abs(log2(s) / ONE - (np.log2(s) - 20)).max() < 5.1e-5
    powers = 1 << np.arange(32)
    assert log2(powers).tolist() == [(n - 20) << 20 for n in range(32)]


def test_softmax_loss_is_close() -> None:
    """Within 1.2e-4 of float64: both tables, and LOG2E's 12 bits (relative error 4.7e-5)."""
    rng, formats = np.random.default_rng(3), Formats()
    for scale in (200, 1 << 14, 1 << 17, 1 << 19):
        for outputs in (2, 3, 10, 64):
            z = rng.integers(-scale, scale, (400, outputs))
            labels = rng.integers(0, outputs, 400)
            got = softmax_loss(z, labels, formats, Flags()) / ONE
            real = z * formats.logit.resolution
            top = real.max(axis=1)
            expected = np.log(np.exp(real - top[:, None]).sum(axis=1)) + top
            expected -= real[np.arange(400), labels]
            assert abs(got - expected).max() < 1.2e-4


def test_softmax_differences_are_close() -> None:
    """CGE's differences dz, with the reference of evaluation 0."""
    rng, formats = np.random.default_rng(4), Formats()
    z = rng.integers(-(1 << 16), 1 << 16, (300, 10))
    dz = rng.integers(-(1 << 14), 1 << 14, (5, 300, 10))
    labels = rng.integers(0, 10, 300)
    flags = Flags()
    got = softmax_loss(z, labels, formats, flags, dz, reference(z, formats)) / ONE
    real = z * formats.logit.resolution + dz * formats.dlogit.resolution
    expected = np.log(np.exp(real).sum(axis=-1))
    expected -= np.take_along_axis(real, np.broadcast_to(labels, (5, 300))[..., None], -1)[..., 0]
    assert abs(got - expected).max() < 1.2e-4
    assert not flags.value


def test_squared_error_is_close() -> None:
    """Truncation loses less than one fine LSB per output."""
    rng = np.random.default_rng(5)
    formats = Formats()
    z, t = rng.integers(-(1 << 17), 1 << 17, (2, 300, 10))
    dz = rng.integers(-(1 << 17), 1 << 17, (300, 10))
    got = squared_error_loss(z, t, formats, dz) / ONE
    real = (z - t) * formats.logit.resolution + dz * formats.dlogit.resolution
    error = (real**2).sum(axis=-1) - got
    assert error.min() >= 0
    assert error.max() < 10 / ONE


@pytest.mark.parametrize("seed", range(40))
def test_equals_plain_integers(seed: int) -> None:
    rng = np.random.default_rng([6, seed])
    formats, outputs = draw.formats(rng), draw.pick(rng, 2, 12)
    fixed = Arithmetic(plain_formats(formats))
    z = draw.words(rng, formats.logit, (20, outputs))
    dz = draw.words(rng, formats.dlogit, (20, outputs))
    dz[rng.random(dz.shape) < 0.3] = 0
    labels = rng.integers(0, outputs, 20)
    targets = draw.words(rng, formats.logit, (20, outputs))
    flags = Flags()
    base = softmax_loss(z, labels, formats, flags).tolist()
    moved = softmax_loss(z, labels, formats, flags, dz, reference(z, formats)).tolist()
    squares = squared_error_loss(z, targets, formats, dz).tolist()
    for k in range(20):
        zk, dzk = z[k].tolist(), dz[k].tolist()
        assert base[k] == plain.softmax_loss(zk, int(labels[k]), fixed)
        assert moved[k] == plain.softmax_loss(zk, int(labels[k]), fixed, dzk)
        exact = plain.squared_error(zk, targets[k].tolist(), fixed, dzk)
        # Beyond any loss format, terms are only held.
        assert squares[k] == exact or min(squares[k], exact) >= 1 << 48
    assert flags.value == fixed.flags


def test_all_exponentials_zero() -> None:
    """A sum of zero counts as bit length 0: log2 = -21, a finite loss."""
    formats = Formats(logit=QFormat(24, 10), dlogit=QFormat(24, 10))
    z = np.zeros((1, 2), np.int64)
    dz = np.full((1, 2), -(1 << 18))
    fixed = Arithmetic(plain_formats(formats))
    got = softmax_loss(z, np.array([0]), formats, Flags(), dz, reference(z, formats))
    assert got.tolist() == [plain.softmax_loss([0, 0], 0, fixed, [-(1 << 18)] * 2)]


def test_losses_saturate_after_each_pass() -> None:
    """Not within a pass, and once more for every pass: the number of lanes shows."""
    formats = Formats(loss=QFormat(24, 20))
    top = formats.loss.raw_max
    losses = np.array([[top, 5, -top, 7], [1, 2, 3, 4]])
    for lanes, expected, flag in (
        (1, [7, 10], Saturation.LOSS),
        (2, [7, 10], Saturation.LOSS),
        (3, [12, 10], Saturation(0)),
        (4, [12, 10], Saturation(0)),
        (9, [12, 10], Saturation(0)),
    ):
        flags = Flags()
        assert accumulate(losses, lanes, formats, flags).tolist() == expected
        assert flags.value == flag


def test_correct_takes_the_first_maximum() -> None:
    z = np.array([[1, 3, 3], [3, 3, 1], [0, 0, 0], [-2, -1, -3]])
    assert correct(z, np.array([1, 0, 0, 1])) == 4
    assert correct(z, np.array([2, 1, 1, 0])) == 0


@pytest.mark.parametrize("name", ["logit", "dlogit"])
def test_squared_error_formats(name: str) -> None:
    wide = {"logit": QFormat(24, 14), "dlogit": QFormat(24, 17)} | {name: QFormat(24, 18)}
    formats = Formats(logit=wide["logit"], dlogit=wide["dlogit"])
    with pytest.raises(ValueError, match=r"^Mean squared error needs format .* Q5.18$") as caught:
        squared_error_loss(np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64), formats)
    assert f"format {name} to have at most 17 fraction bits" in str(caught.value)
