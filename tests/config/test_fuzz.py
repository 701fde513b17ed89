"""Whatever a configuration says: it plans, or one sentence says why not, soon and in little
memory. ``ZEROTRAIN_FUZZ=5000`` tries so many."""

import os
import re
import resource
import time

import pytest

from zerotrain.cli.plan import plan_report
from zerotrain.cli.target import Target
from zerotrain.config.config import Config

from .mutate import mutant

_MUTANTS, _SHARDS = int(os.environ.get("ZEROTRAIN_FUZZ", "300")), 6
_SECONDS, _MEGABYTES = 10.0, 500


def outcome(seed: int) -> str:
    """The sentence with which a mutant is refused, or nothing."""
    before, started = _peak(), time.perf_counter()
    try:
        config = Config.parse(mutant(seed), "net.toml")
        plan_report(Target.of(config, None, keep_lanes=False))
        sentence = ""
    except ValueError as error:
        sentence = str(error)
    assert time.perf_counter() - started < _SECONDS
    assert _peak() - before < _MEGABYTES
    return sentence


def _peak() -> float:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_mutants(shard: int) -> None:
    planned = 0
    for seed in range(shard, _MUTANTS, _SHARDS):
        sentence = outcome(seed)
        planned += not sentence
        if sentence:
            assert sentence[0].isprintable() and len(sentence) < 1000, (seed, sentence)
            assert not re.search(r"[^.]\.$", sentence), (seed, sentence)
    assert 0 < planned < _MUTANTS // _SHARDS
