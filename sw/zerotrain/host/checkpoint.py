"""Checkpoints: everything that a run needs to go on exactly where it stopped.

A checkpoint file is 8 bytes of magic, the SHA-256 of the rest, and the rest: an uncompressed NumPy
archive with ``theta``, ``momentum`` and ``meta`` (JSON). Files are replaced atomically.
"""

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zerotrain.spec.chip import Chip
from zerotrain.spec.files import write_atomic
from zerotrain.spec.network import Network

__all__ = ["Checkpoint", "fingerprint"]

_MAGIC = b"ZTCKPT2\n"
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size


def fingerprint(network: Network) -> str:
    """A name for the network's mathematics: its layers and loss, not what it is called."""
    plain = {k: v for k, v in network.to_dict().items() if k != "name"}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return digest[:16]


@dataclass(frozen=True)
class Checkpoint:
    """State of a run between two steps.

    Attributes
    ----------
    network : str
        :func:`fingerprint` of the network.
    network_name : str
        What people call it.
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
        Totals of cycles, seconds and the like; not part of the numerics.
    state_every : int
        Steps between two states in the running hash; 1 in files that do not say.
    """

    network: str
    network_name: str
    config_hash: int
    theta: NDArray[np.int64]
    momentum: NDArray[np.int64]
    lfsr_state: int
    schedule: dict[str, Any]
    digest: str
    counters: dict[str, Any] = field(default_factory=dict)
    state_every: int = 1

    def save(self, path: Path) -> None:
        """Write the file, atomically."""
        meta = {
            "network": self.network,
            "network_name": self.network_name,
            "config_hash": self.config_hash,
            "lfsr_state": self.lfsr_state,
            "schedule": self.schedule,
            "digest": self.digest,
            "counters": self.counters,
            "state_every": self.state_every,
        }
        body = io.BytesIO()
        text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        np.savez(body, theta=self.theta, momentum=self.momentum, meta=text)
        payload = body.getvalue()
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
        if content[: len(_MAGIC)] != _MAGIC:
            raise ValueError(
                f"{path} is not a checkpoint of this version of Zerotrain: it begins with "
                f"{content[: len(_MAGIC)]!r}, expected {_MAGIC!r}"
            )
        payload = content[_HEAD:]
        if hashlib.sha256(payload).digest() != content[len(_MAGIC) : _HEAD]:
            raise ValueError(
                f"Checkpoint {path} is truncated or damaged: its checksum does not match; "
                "start the run again"
            )
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            meta = json.loads(arrays["meta"].tobytes())
            return cls(theta=arrays["theta"], momentum=arrays["momentum"], **meta)

    def check(self, network: Network, chip: Chip) -> None:
        """Raise ``ValueError`` if this is a checkpoint of another network or chip."""
        expected = fingerprint(network)
        if self.network != expected:
            raise ValueError(
                f"The checkpoint is of network {self.network_name} (fingerprint {self.network}), "
                f"the run trains network {network.name} (fingerprint {expected})"
            )
        if self.config_hash != chip.config_hash:
            raise ValueError(
                f"The checkpoint is of a chip with configuration hash {self.config_hash:#010x}, "
                f"this chip's is {chip.config_hash:#010x}"
            )
