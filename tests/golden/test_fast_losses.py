"""Losses of the fast engine against the readable ones."""

from typing import Any

import numpy as np
import pytest

from zerotrain.golden import loss
from zerotrain.golden.fast.losses import evaluation_losses
from zerotrain.golden.fast.words import word_type
from zerotrain.golden.fixed import Flags
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.losses import OUTPUT_LOSSES
from zerotrain.spec.network import Loss

from . import draw
from .draw import Ints


def check(kind: Loss, formats: Formats, lanes: int, z: Ints, dz: Ints, targets: Ints) -> bool:
    """Compare, and say whether anything saturated."""
    given: Any = [array.astype(word_type(formats.logit)) for array in (z, dz)]
    flags, wanted = Flags(), Flags()
    found = evaluation_losses(kind, formats, lanes, given[0], given[1], targets, flags)
    changes = np.moveaxis(dz, 2, -1)  # [i, n, batch, outputs]
    ref = loss.reference(z.T, formats)
    samples = loss.SAMPLE_LOSSES[kind](z.T, targets, formats, wanted, changes, ref)
    assert np.array_equal(found, loss.accumulate(samples, lanes, formats, wanted))
    assert flags.value == wanted.value
    return bool(flags.value)


def formats_of(width: int, logit_frac: int, dlogit_frac: int, loss_width: int = 32) -> Formats:
    """Lanes wide enough for any logits."""
    lane = QFormat(24, 20)
    return Formats(
        weight=QFormat(24, 20), tt=lane, preact=lane, delta=QFormat(24, 20),
        logit=QFormat(width, logit_frac), dlogit=QFormat(width, dlogit_frac),
        loss=QFormat(loss_width, 20),
    )  # fmt: skip


@pytest.mark.parametrize("kind", OUTPUT_LOSSES)
@pytest.mark.parametrize("seed", range(60))
def test_drawn(kind: Loss, seed: int) -> None:
    rng = np.random.default_rng([34, seed])
    pick, most = draw.pick, kind.record.frac_bits
    formats = formats_of(
        pick(rng, 8, 24), pick(rng, 0, most), pick(rng, 0, most), pick(rng, 24, 32)
    )
    outputs, batch = pick(rng, 2, 12), pick(rng, 1, 40)
    z = draw.words(rng, formats.logit, (outputs, batch))
    dz = draw.words(rng, formats.dlogit, (pick(rng, 1, 3), pick(rng, 1, 3), outputs, batch))
    targets = rng.integers(0, outputs, batch)
    if not kind.record.labels:
        targets = draw.words(rng, formats.logit, (batch, outputs))
    check(kind, formats, pick(rng, 1, batch), z, dz, targets)


@pytest.mark.parametrize("width", [8, 16, 17, 24])
@pytest.mark.parametrize("logit_frac", [0, 9, 17])
@pytest.mark.parametrize("dlogit_frac", [0, 9, 17])
@pytest.mark.parametrize("kind", OUTPUT_LOSSES)
def test_extremes(kind: Loss, width: int, logit_frac: int, dlogit_frac: int) -> None:
    """Every corner of logits and differences in one output, together with each in another."""
    formats = formats_of(width, logit_frac, dlogit_frac)
    low, high = formats.logit.raw_min, formats.logit.raw_max
    corners = np.array([low, low + 1, -1, 0, 1, high - 1, high])
    grid = np.stack(np.meshgrid(corners, corners, corners, corners)).reshape(4, -1)
    z, dz = grid[:2], grid[None, None, 2:]
    batch = z.shape[1]
    targets = np.arange(batch) % 2
    if not kind.record.labels:
        targets = np.stack([targets * high, targets * low], axis=1)
    saturated = check(kind, formats, 1, z, dz, targets)
    assert saturated or formats.logit.raw_max < 1 << logit_frac + 8
    for n in range(0, batch, 97):
        check(kind, formats, 1, z[:, n : n + 1], dz[..., n : n + 1], targets[n : n + 1])


def test_every_exponential() -> None:
    """Every step of the table and its interpolation, and every exponent that is not zero."""
    formats = formats_of(24, 20, 18)
    # Falls of up to 23.3, in steps that meet all of the table.
    dz = np.zeros((1, 1 << 10, 2, 64), np.int64)
    dz[0, :, 1] = np.arange(1 << 16).reshape(-1, 64) * -93
    z, labels = np.zeros((2, 64), np.int64), np.zeros(64, np.int64)
    assert not check(Loss.SOFTMAX_CROSS_ENTROPY, formats, 64, z, dz, labels)
    assert check(Loss.SOFTMAX_CROSS_ENTROPY, formats, 64, z, -dz, labels)
