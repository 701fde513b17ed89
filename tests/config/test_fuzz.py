"""Whatever a configuration says: it plans, or one sentence says why not, soon and in little
memory. ``ZEROTRAIN_FUZZ=5000`` tries so many."""

import re

import pytest

from zerotrain.cli.plan import plan_report
from zerotrain.cli.target import Target
from zerotrain.config.config import Config

from ..limits import limited, tries
from .mutate import mutant

_MUTANTS, _SHARDS = tries(300), 6


def outcome(seed: int) -> str:
    """The sentence with which a mutant is refused, or nothing."""
    with limited():
        try:
            config = Config.parse(mutant(seed), "net.toml")
            plan_report(Target.of(config, None, keep_lanes=False))
        except ValueError as error:
            return str(error)
    return ""


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
