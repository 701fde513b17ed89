"""Checkpoints."""

import hashlib
import json
import random
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerotrain.cli.options import override
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.identity import identity
from zerotrain.host.session import Session

from ..limits import tries
from . import small

SESSION = Session.of(small.config())
RUN = identity(SESSION.config, SESSION.plan.groups, small.dataset())
#: Damaged files; ``ZEROTRAIN_FUZZ=2000`` tries so many.
CASES = tries(300)
SCHEDULE = {
    "step": 3, "rge_steps": 3, "rge_over": False, "window_sum": 0, "window_count": 0,
    "last_sum": -1,
}  # fmt: skip


def checkpoint() -> Checkpoint:
    count = SESSION.config.network.n_parameters
    return Checkpoint(
        RUN, SESSION.chip.config_hash, np.arange(-7, count - 7), np.arange(count) << 10,
        (1 << 30) - 1, SCHEDULE, "ab" * 32, {"seconds": 0.1 + 0.2}, 4,
    )  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "c.ztc"
    checkpoint().save(path)
    back, original = vars(Checkpoint.load(path)), vars(checkpoint())
    for name in ("theta", "momentum"):
        array = back.pop(name)
        assert array.dtype == np.int64
        assert array.tolist() == original.pop(name).tolist()
    assert back.pop("identity") == json.loads(json.dumps(original.pop("identity")))
    assert back == original
    assert [p.name for p in tmp_path.iterdir()] == ["c.ztc"]


def test_the_unit_of_target_values() -> None:
    """Of the run's data; a checkpoint whose identity has none is not stopped by that."""
    saved = checkpoint()
    data = saved.identity["data"]
    with_unit = {"data": data | {"scale": data["scale"] | {"unit": "mg/dl"}}}
    assert replace(saved, identity=saved.identity | with_unit).unit == "mg/dl"
    others: list[dict[str, object]] = [
        {"data": 1},
        {"data": {"scale": []}},
        {"data": {"scale": {}}},
    ]
    for odd in others:
        assert replace(saved, identity=saved.identity | odd).unit == ""


def test_every_truncation_and_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path, bad = tmp_path / "c.ztc", tmp_path / "bad.ztc"
    checkpoint().save(path)
    content = path.read_bytes()
    for length in [*range(0, 60, 7), len(content) // 2, len(content) - 1]:
        bad.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"is not a checkpoint of|is truncated or damaged"):
            Checkpoint.load(bad)
    for position in range(0, len(content), 13):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        bad.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"is not a checkpoint of|is truncated or damaged"):
            Checkpoint.load(bad)


def test_earlier_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.ztc"
    path.write_bytes(b"ZTCKPT2\n" + bytes(100))
    with pytest.raises(ValueError) as caught:
        Checkpoint.load(path)
    assert str(caught.value) == (
        f"Checkpoint {path} is of an earlier version of Zerotrain, which did not note the run's "
        "configuration in it: start the run again"
    )
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError) as caught:
        Checkpoint.load(path)
    assert str(caught.value) == (
        f"{path} is not a checkpoint of this version of Zerotrain: it begins with "
        "b'PK\\x03\\x04', expected b'ZTCKPT3\\n'"
    )


@pytest.mark.parametrize(
    ("change", "before", "now"),
    [
        ("training.seed=2", "training.seed = 1", "training.seed = 2"),
        ("training.cge.steps=9", "training.cge.steps = 8", "training.cge.steps = 9"),
        ("chip.lanes=4", "chip.lanes = 3", "chip.lanes = 4"),
        ("chip.formats.tt=Q5.10", 'chip.formats.tt = "Q4.11"', 'chip.formats.tt = "Q5.10"'),
        ("layers.1.bias=false", "layers.1.bias = true", "layers.1.bias = false"),
        ("name=other", 'name = "small"', 'name = "other"'),
        ("chip.sample_banks=1", "no chip.sample_banks", "chip.sample_banks = 1"),
    ],
)  # fmt: skip
def test_another_run_is_refused_by_its_key(change: str, before: str, now: str) -> None:
    saved = checkpoint()
    saved.check(RUN, SESSION.chip)
    other = Session.of(override(small.config(), [change]))
    with pytest.raises(ValueError) as caught:
        saved.check(identity(other.config, SESSION.plan.groups, small.dataset()), other.chip)
    assert str(caught.value) == (
        f"The checkpoint is of a run with {before}, this one has {now}: put it back as it was, or "
        "start a new run"
    )


def test_other_data_groups_and_chips_are_refused() -> None:
    saved, data = checkpoint(), small.dataset()
    moved = replace(data, test=data.test.take(np.arange(len(data.test))[::-1]))
    for now, key in (
        (identity(SESSION.config, SESSION.plan.groups, moved), "data.test"),
        (identity(SESSION.config, ((1, 1), (1,)), data), "groups"),
        (
            identity(
                SESSION.config, SESSION.plan.groups,
                replace(data, scale=replace(data.scale, factor=2.0)),
            ),
            "data.scale.factor",
        ),
    ):  # fmt: skip
        pattern = (
            rf"The checkpoint is of a run with {key} = .*, this one has {key} = .*: put it back as "
            "it was, or start a new run"
        )
        with pytest.raises(ValueError, match=f"^{pattern}$"):
            saved.check(now)
    with pytest.raises(ValueError) as caught:
        replace(saved, config_hash=5).check(RUN, SESSION.chip)
    assert str(caught.value) == (
        "The checkpoint is of a chip with configuration hash 0x00000005, this chip's is "
        f"{SESSION.chip.config_hash:#010x}: another version of Zerotrain made it; start a new run"
    )


def mutated(payload: bytes, draw: random.Random) -> bytes:
    """A damaged payload: bytes, or values of the JSON in front."""

    def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        for key in value if isinstance(value, dict) else range(len(value)):
            found.append((value, key))
            if isinstance(value[key], dict | list):
                places(value[key], found)
        return found

    if draw.random() < 0.4:
        data = bytearray(payload)
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(data))
            action = draw.randrange(4)
            if action == 0:
                data[at] ^= 1 << draw.randrange(8)
            elif action == 1:
                del data[at : at + draw.randint(1, 40)]
            elif action == 2:
                data[at:at] = draw.randbytes(draw.randint(1, 20))
            else:
                data[at:at] = draw.choice([b"[", b"{"]) * draw.choice([1, 200_000])
            data = data or bytearray(b"\n")
        return bytes(data)
    head, _, body = payload.partition(b"\n")
    meta = json.loads(head)
    deep: Any = []
    for _ in range(400):
        deep = {"a": deep}
    for _ in range(draw.randint(1, 3)):
        owner, key = draw.choice(places(meta, []))
        junk = [
            None, True, -1, 0, 3, 1 << 62, 1 << 70, 10**300, 0.5, float("nan"), float("inf"), "",
            "x" * 200, "[/data]", "\ud800", [], {}, [[]], {"a": 1}, {"step": 2}, deep,
        ]  # fmt: skip
        if draw.random() < 0.15 and isinstance(owner, dict):
            del owner[key]
        elif draw.random() < 0.1 and isinstance(owner, dict):
            owner[draw.choice(["", "x", "layers", "theta"])] = deepcopy(draw.choice(junk))
        else:
            owner[key] = deepcopy(draw.choice(junk))
        if not meta:
            break
    return json.dumps(meta).encode() + b"\n" + body


def test_damage_below_a_valid_checksum_gives_one_sentence(tmp_path: Path) -> None:
    path, draw, sentences = tmp_path / "c.ztc", random.Random(2), set[str]()
    checkpoint().save(path)
    payload = path.read_bytes()[40:]
    with small.trainer() as trainer:
        trainer.restore(Checkpoint.load(path))
        for _ in range(CASES):
            damaged = mutated(payload, draw)
            path.write_bytes(b"ZTCKPT3\n" + hashlib.sha256(damaged).digest() + damaged)
            try:
                trainer.restore(Checkpoint.load(path))
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 700
                sentences.add(str(error))
    assert len(sentences) > 15


@pytest.mark.parametrize("levels", [20, 700, 100_000])
def test_deep_nesting_is_damage(levels: int, tmp_path: Path) -> None:
    path = tmp_path / "c.ztc"
    checkpoint().save(path)
    nested = b'{"a": ' * levels + b"0" + b"}" * levels
    damaged = path.read_bytes()[40:].replace(b'"data": {', b'"data": {"x": ' + nested + b", ", 1)
    path.write_bytes(b"ZTCKPT3\n" + hashlib.sha256(damaged).digest() + damaged)
    with pytest.raises(ValueError) as caught:
        Checkpoint.load(path)
    assert str(caught.value) == (
        f"Checkpoint {path} is damaged: its content is none of a checkpoint, although the checksum "
        "matches; start the run again"
    )
