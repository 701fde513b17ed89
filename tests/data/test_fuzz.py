"""Whatever a data file holds: it is a data set, or one sentence says why not, soon and in little
memory. ``ZEROTRAIN_FUZZ=2000`` tries so many files."""

import re
from pathlib import Path

import pytest

from zerotrain.config.data import DataOptions, Scaling
from zerotrain.data.files import load_file

from ..limits import limited, tries
from .mutate import mutant

_MUTANTS, _SHARDS = tries(240), 4


def outcome(folder: Path, seed: int) -> str:
    """The sentence with which a file is refused, or nothing."""
    name, content = mutant(seed)
    path = folder / name
    path.write_bytes(content)
    options = DataOptions(
        ignore=1 if name == "t.csv" and seed % 3 else (), scaling=list(Scaling)[seed // 4 % 4]
    )
    with limited():
        try:
            data = load_file(str(path), options, labels=seed % 5 > 1)
        except ValueError as error:
            return str(error)
    assert data.n_inputs and min(map(len, (data.training, data.validation, data.test)))
    return ""


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_mutants(tmp_path: Path, shard: int) -> None:
    good = 0
    for seed in range(shard, _MUTANTS, _SHARDS):
        sentence = outcome(tmp_path, seed)
        good += not sentence
        if sentence:
            assert sentence.startswith((str(tmp_path), "t.csv", "t.npz")), (seed, sentence)
            assert sentence.isprintable() and len(sentence) < 700, (seed, sentence)
            assert not re.search(r"[^.]\.$", sentence), (seed, sentence)
    assert 0 < good < _MUTANTS // _SHARDS
