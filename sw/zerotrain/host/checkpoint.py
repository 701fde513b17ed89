"""Checkpoints: everything that a run needs to go on exactly where it stopped.

A checkpoint file is 8 bytes of magic, the SHA-256 of the rest, and the rest: a line of JSON, then
``theta`` and ``momentum`` as int64, little endian. Files are replaced atomically. Whatever bytes a
file holds: it is a checkpoint, or gives one sentence.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.config import Config
from zerotrain.host.identity import check_same
from zerotrain.spec.chip import Chip
from zerotrain.spec.files import write_atomic

__all__ = ["Checkpoint", "Counters"]

_MAGIC = b"ZTCKPT3\n"
#: Without the configuration in the file.
_EARLIER = (b"ZTCKPT1\n", b"ZTCKPT2\n")
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size


@dataclass
class Counters:
    """Totals of a run; what they count never influences the training.

    Attributes
    ----------
    seconds : float
        Wall-clock time of steps and evaluations.
    rge_steps, cge_steps, rge_cycles, cge_cycles : int
        Training steps of a kind, and their chip cycles.
    rge_macs, cge_macs : int
        Multiply-accumulates that the plan counts for them.
    saturation : int
        Every saturation flag seen in training steps.
    """

    seconds: float = 0.0
    rge_steps: int = 0
    cge_steps: int = 0
    rge_cycles: int = 0
    cge_cycles: int = 0
    rge_macs: int = 0
    cge_macs: int = 0
    saturation: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """State of a run between two steps.

    Attributes
    ----------
    identity : dict
        :func:`~zerotrain.host.identity.identity` of the run.
    config_hash : int
        Configuration hash of the chip.
    theta, momentum : int64[d]
        Raw.
    lfsr_state : int
        Perturbation generator.
    schedule : dict
        State of the schedule.
    digest : str
        Running hash so far, hexadecimal.
    counters : dict
        :class:`Counters`; not part of the numerics.
    state_every : int
        Steps between two states in the running hash.
    """

    identity: dict[str, Any]
    config_hash: int
    theta: NDArray[np.int64]
    momentum: NDArray[np.int64]
    lfsr_state: int
    schedule: dict[str, Any]
    digest: str
    counters: dict[str, Any] = field(default_factory=dict)
    state_every: int = 1

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.schedule["step"])

    @property
    def unit(self) -> str:
        """Of the run's target values."""
        data = self.identity.get("data")
        scale = data.get("scale") if isinstance(data, dict) else None
        return str(scale.get("unit", "")) if isinstance(scale, dict) else ""

    def save(self, path: Path) -> None:
        """Write the file, atomically."""
        arrays = ("theta", "momentum")
        meta = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in arrays}
        words = np.concatenate([self.theta, self.momentum]).astype("<i8").tobytes()
        payload = json.dumps(meta).encode() + b"\n" + words
        write_atomic(path, _MAGIC + hashlib.sha256(payload).digest() + payload)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises
        ------
        ValueError
            If it is not a checkpoint, truncated or damaged.
        """
        content = path.read_bytes()
        magic, payload = content[: len(_MAGIC)], content[_HEAD:]
        if magic in _EARLIER:
            raise ValueError(
                f"Checkpoint {path} is of an earlier version of Zerotrain, which did not note the "
                "run's configuration in it: start the run again"
            )
        if magic != _MAGIC:
            raise ValueError(
                f"{path} is not a checkpoint of this version of Zerotrain: it begins with "
                f"{magic!r}, expected {_MAGIC!r}"
            )
        if hashlib.sha256(payload).digest() != content[len(_MAGIC) : _HEAD]:
            raise ValueError(
                f"Checkpoint {path} is truncated or damaged: its checksum does not match; "
                "start the run again"
            )
        try:
            head, _, body = payload.partition(b"\n")
            words = np.frombuffer(body, "<i8").astype(np.int64)
            theta, momentum = words.reshape(2, -1)
            meta = _checked(json.loads(head))
        # Deep nesting of lists overflows the parser's stack.
        except (ValueError, RecursionError):
            raise ValueError(
                f"Checkpoint {path} is damaged: its content is none of a checkpoint, although the "
                "checksum matches; start the run again"
            ) from None
        return cls(theta=theta, momentum=momentum, **meta)

    def check(self, now: dict[str, Any], chip: Chip | None = None) -> None:
        """Raise ``ValueError``, with the key that differs, if this belongs to another run.

        Parameters
        ----------
        now : dict
            :func:`~zerotrain.host.identity.identity` of the run, or some of its sections.
        chip : Chip, optional
            The chip to go on with.
        """
        saved = dict(self.identity)
        try:
            # Keys that are new since then have their defaults.
            saved["config"] = Config.from_dict(saved["config"]).to_dict()
        except (ValueError, TypeError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"The checkpoint is of a run that this version of Zerotrain does not do ({reason})"
                ": start a new run"
            ) from None
        check_same(saved, now, "The checkpoint")
        if chip is not None and self.config_hash != chip.config_hash:
            raise ValueError(
                f"The checkpoint is of a chip with configuration hash {self.config_hash:#010x}, "
                f"this chip's is {chip.config_hash:#010x}: another version of Zerotrain made it; "
                "start a new run"
            )


def _shallow(value: Any, levels: int = 8) -> bool:
    """Whether nesting is as deep as an identity's at most: deeper recursion may not end well."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return True
    return levels > 0 and all(_shallow(v, levels - 1) for v in inner)


def _checked(meta: Any) -> dict[str, Any]:
    """The values of a file, each of its type, or a ``ValueError`` without text."""
    counts = {f.name: f.type for f in fields(Counters)}

    def whole(value: Any, top: int) -> bool:
        return type(value) is int and 0 <= value < top

    def counted(name: str, value: Any) -> bool:
        if counts[name] is float:
            return type(value) in (int, float) and isfinite(value) and value >= 0
        return whole(value, 1 << 63)

    rules = {
        "identity": lambda v: (
            isinstance(v, dict) and isinstance(v.get("config"), dict) and _shallow(v)
        ),
        "config_hash": lambda v: whole(v, 1 << 32),
        "lfsr_state": lambda v: whole(v, 1 << 64),
        "schedule": lambda v: isinstance(v, dict) and whole(v.get("step"), 1 << 31),
        "digest": lambda v: isinstance(v, str) and re.fullmatch("[0-9a-f]{64}", v),
        "counters": lambda v: (
            isinstance(v, dict)
            and set(v) <= set(counts)
            and all(counted(name, value) for name, value in v.items())
        ),
        "state_every": lambda v: whole(v, 1 << 31) and v >= 1,
    }
    if not isinstance(meta, dict) or set(meta) != set(rules):
        raise ValueError
    if not all(rule(meta[name]) for name, rule in rules.items()):
        raise ValueError
    return meta
