"""The fast engine's lift against the formula of docs/numerics.md, section 4."""

from typing import Any

import numpy as np
import pytest

from zerotrain.golden.activations import difference
from zerotrain.golden.fast.lift import Lift
from zerotrain.golden.fast.words import word_type
from zerotrain.golden.fixed import Flags, requantize
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation
from zerotrain.spec.registers import Saturation

from . import draw
from .draw import Ints


def check(
    formats: Formats, activation: Activation, to_logits: bool, y: Ints, w: Ints, dy: Ints,
    outputs: Ints,
) -> None:  # fmt: skip
    words = [
        array.astype(word_type(fmt))
        for array, fmt in ((y, formats.preact), (w, formats.weight), (dy, formats.delta))
    ]
    given: Any = words
    lift, flags = Lift(given[0], activation, given[1], formats, to_logits), Flags()
    found = lift(given[2], outputs, flags)
    scaled = y << (formats.delta.frac_bits - formats.preact.frac_bits)
    before = scaled[outputs][:, None]  # [i, 1, outputs, batch]
    moved = difference(before, dy, activation, formats)
    moved = np.broadcast_to(moved, np.broadcast(before, dy).shape)
    acc = np.einsum("cio,inob->incb", w[:, outputs], moved)
    target = formats.dlogit if to_logits else formats.delta
    wanted, clamped = requantize(acc, formats.lane_shift(formats.delta, target), target.width)
    assert np.array_equal(found, wanted)
    kind = Saturation.LOGIT if to_logits else Saturation.SCRATCH
    assert flags.value == (kind if clamped else Saturation(0))


@pytest.mark.parametrize("activation", draw.COMMON)
@pytest.mark.parametrize("seed", range(30))
def test_drawn(seed: int, activation: Activation) -> None:
    rng = np.random.default_rng([33, seed])
    pick, formats = draw.pick, draw.formats(rng)
    size, above, batch = pick(rng, 1, 12), pick(rng, 1, 11), pick(rng, 1, 40)
    outputs = rng.permuted(np.tile(np.arange(size), (pick(rng, 1, 3), 1)), axis=1)
    outputs = outputs[:, : pick(rng, 1, size)]
    y = draw.words(rng, formats.preact, (size, batch))
    w = draw.words(rng, formats.weight, (above, size))
    dy = draw.words(rng, formats.delta, (pick(rng, 1, 4), outputs.shape[1], batch))
    check(formats, activation, bool(rng.random() < 0.5), y, w, dy, outputs)


@pytest.mark.parametrize("activation", draw.COMMON)
@pytest.mark.parametrize("width", [4, 8, 15, 16, 17, 24])
def test_extremes(width: int, activation: Activation) -> None:
    """Every corner of the pre-activation with every corner of the difference."""
    small = QFormat(width, width // 2 - 1)
    logit = QFormat(max(width, 8), small.frac_bits)
    formats = Formats(
        weight=QFormat(width, width - 2), input=small, tt=small, preact=small,
        delta=QFormat(width, width), logit=logit, dlogit=logit,
        cge_mu_shift=min(6, width // 2 + 1),
    )  # fmt: skip
    low, high = small.raw_min, small.raw_max
    edge = 1 << (width // 2 - 2)  # the largest difference, in units of the pre-activation
    values = [low, high, 0, 1, -1, edge, edge - 1, edge + 1, -edge, 1 - edge, -1 - edge]
    changes = [low, high, 0, 1, -1, low + 1, high - 1]
    y = np.repeat(values, len(changes))[None]
    dy = np.tile(changes, len(values))[None, None]
    for weight in (low, -1, 1, high):
        for to_logits in (False, True):
            w = np.array([[weight]])
            check(formats, activation, to_logits, y, w, dy, np.zeros((1, 1), np.int64))
