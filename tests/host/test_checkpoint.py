"""Checkpoints and atomic files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zerotrain.host.checkpoint import Checkpoint, fingerprint
from zerotrain.spec.chip import Chip
from zerotrain.spec.files import write_atomic
from zerotrain.spec.network import Network, dense

NETWORK = Network((dense(4, 3),), name="four")
CHIP = Chip(3)


def checkpoint() -> Checkpoint:
    return Checkpoint(
        fingerprint(NETWORK), "four", CHIP.config_hash, np.arange(-7, 8), np.arange(15) << 20,
        (1 << 64) - 1, {"step": 3, "last_sum": 1 << 60}, "ab" * 32, {"seconds": 0.1 + 0.2}, 4,
    )  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "c.ztc"
    checkpoint().save(path)
    back, original = vars(Checkpoint.load(path)), vars(checkpoint())
    for name in ("theta", "momentum"):
        array = back.pop(name)
        assert array.dtype == np.int64
        assert array.tolist() == original.pop(name).tolist()
    assert back == original
    assert [p.name for p in tmp_path.iterdir()] == ["c.ztc"]


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


def test_another_network_or_chip_is_refused() -> None:
    saved = checkpoint()
    saved.check(NETWORK, CHIP)
    saved.check(replace(NETWORK, name="renamed"), CHIP)
    other = Network((dense(4, 2),), name="other")
    with pytest.raises(ValueError) as caught:
        saved.check(other, CHIP)
    assert str(caught.value) == (
        f"The checkpoint is of network four (fingerprint {fingerprint(NETWORK)}), the run trains "
        f"network other (fingerprint {fingerprint(other)})"
    )
    chip = replace(CHIP, lanes=4)
    with pytest.raises(ValueError) as caught:
        saved.check(NETWORK, chip)
    assert str(caught.value) == (
        f"The checkpoint is of a chip with configuration hash {CHIP.config_hash:#010x}, this "
        f"chip's is {chip.config_hash:#010x}"
    )


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("zerotrain.spec.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
