"""Directed cases do what they are there for, as the golden model's values say.

No chip is simulated here: :mod:`test_random_networks` runs the same cases.
"""

from functools import cache
from unittest.mock import patch

import numpy as np
import pytest

from zerotrain.golden.cge import cge_forward
from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.loss import squared_error_loss
from zerotrain.golden.steps import READABLE
from zerotrain.golden.tt import environments, forward
from zerotrain.spec.chip import Core
from zerotrain.spec.network import Activation, Loss
from zerotrain.spec.registers import Saturation

from .cases import Case, trace
from .directed import directed_cases
from .observed import Event, Observed
from .structures import STRUCTURES, Structure

_SIDES = [f"{limit}{off}" for limit in ("high", "low") for off in ("-1", "+0", "+1")]
#: Results on both sides of rounding boundaries: at the limits, one within, one beyond; at zero.
_ROUNDED = [
    *("high-1 below", "high+0 tie", "high+0 below", "high+1 tie"),
    *("low-1 below", "low+0 tie", "low+0 below", "low+1 tie"),
    *("zero-1 below", "zero+0 tie", "zero+0 below", "zero+1 tie"),
]
#: Places of every kind of event, and in how many structures each is to be, at least: all, but where
#: 24 products cannot reach the limits of drawn formats, or mu is too coarse to meet zero.
KINDS = {
    "MERGE": (_ROUNDED, len(STRUCTURES)),
    "SCRATCH": (_ROUNDED, 20),
    "PREACT": (_ROUNDED, 24),
    "LOGIT": (_ROUNDED, 18),
    "PERTURB": (_SIDES, len(STRUCTURES)),
    "PARAMETER": (_SIDES, len(STRUCTURES)),
    "ReLU": ([f"{sign} to {end}" for sign in ("-1", "+1") for end in ("-1", "+0", "+1")], 6),
    "LOSS": (["high-1", "high+0", "high+1"], 3),
}


def observe(case: Case) -> Observed:
    """Run the steps of a case on the readable golden model, watched."""
    observed, network = Observed(), case.plan.network
    chip, groups = case.plan.chip, case.plan.groups
    with (
        patch("zerotrain.golden.chip.Flags", lambda: observed),
        patch("zerotrain.golden.fast.engine.engine_of", lambda model: READABLE),
    ):
        for _ in trace(GoldenChip(chip, network, groups), case):
            pass
    theta, x = case.fixed["theta"], case.fixed["x"]
    if chip.has_environments and network.layers[0].activation == Activation.RELU:
        _note_crossings(case, observed)
    if chip.loss == Loss.MEAN_SQUARED_ERROR and "targets" in case.fixed:
        z = forward(network, chip.formats, groups, theta, x, Observed())
        total = int(squared_error_loss(z, case.fixed["targets"], chip.formats).sum())
        observed.events[Event("LOSS", f"high{total - chip.formats.loss.raw_max:+d}")] += 1
    return observed


@cache
def _aims(structure: Structure) -> frozenset[Event]:
    cases = directed_cases(structure.chip, structure.seed)
    return frozenset[Event]().union(*(case.aims for case in cases))


def _note_crossings(case: Case, observed: Observed) -> None:
    """Where ``Y + dy`` is zero or next to it, for a dense first layer."""
    formats, flags = case.plan.chip.formats, Observed()
    theta, x = case.fixed["theta"], case.fixed["x"]
    first = cge_forward(case.plan.network, formats, case.plan.groups, theta, x, flags)[0]
    y = np.asarray(first.y, np.int64) << (formats.delta.frac_bits - formats.preact.frac_bits)
    dy = np.asarray(environments(first.part, first.x, formats, flags)[0][0, 0, 0, :, 0], np.int64)
    for sign in (-1, 1):
        for end in (-1, 0, 1):
            found = (y[:, None] + dy == end) & (np.sign(y[:, None]) == sign)
            observed.events[Event("ReLU", f"{sign:+d} to {end:+d}")] += int(found.sum())


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.name)
def test_cases_do_what_they_aim_at(structure: Structure) -> None:
    """Every event that a case aims at happens in it, and sums come near the accumulators' width."""
    chip, observed = structure.chip, Observed()
    for case in directed_cases(chip, structure.seed):
        here = observe(case)
        missing = sorted(e for e in case.aims if not here.events[e])
        assert not missing, f"{case}: {missing[0]} does not happen, nor {len(missing) - 1} others"
        observed.value |= here.value
        observed.largest_sum = max(observed.largest_sum, here.largest_sum)
    for kind in (Saturation.PERTURB, Saturation.MERGE, Saturation.PARAMETER):
        assert kind in observed.value, kind
    # 31 of 32 products, the largest that there are.
    f = chip.formats
    product = f.weight.width + f.input.width - 2
    assert observed.largest_sum >= 31 << product


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_reached_where_formats_can(kind: str) -> None:
    places, enough = KINDS[kind]
    found = [{e.place for e in _aims(s) if e.kind.split()[0] == kind} for s in STRUCTURES]
    for place in places:
        assert sum(place in events for events in found) >= enough, place


def test_accumulators_come_near_their_width() -> None:
    """In some structures with each core; others have inputs narrower than a lane word."""
    near = {
        s.chip.core
        for s in STRUCTURES
        if s.chip.acc_width == s.chip.formats.weight.width + s.chip.formats.input.width + 4
    }
    assert near == set(Core)
