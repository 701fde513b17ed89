"""What a run is: everything on which its numbers depend, as plain values that can be compared.

A checkpoint carries the identity of its run. Whoever goes on with it, measures it or publishes it
compares: what does not belong together is refused, with the name of the key that differs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zerotrain.compiler.lowering import Groups
from zerotrain.config.config import Config
from zerotrain.data.dataset import Dataset
from zerotrain.exchange.fit import Start

__all__ = ["check_same", "data_identity", "differences", "identity"]

_ABSENT = object()


def data_identity(dataset: Dataset) -> dict[str, Any]:
    """A data set with its split and scaling: size and hash of every part's values."""
    parts = {}
    for name in ("training", "validation", "test"):
        part = getattr(dataset, name)
        parts[name] = f"{len(part)} samples, hash {part.digest}"
    scale = dataset.scale
    return {
        "name": dataset.name,
        **parts,
        "outputs": dataset.n_outputs,
        "image_shape": list(dataset.image_shape or ()),
        "scale": {"factor": scale.factor, "offset": list(scale.offset), "unit": scale.unit},
        # The meaning of the outputs; data sets whose labels are these numbers have none.
        **({"classes": list(dataset.classes)} if dataset.classes else {}),
    }


def identity(
    config: Config, groups: Groups, dataset: Dataset, start: Start | None = None
) -> dict[str, Any]:
    """Configuration, TT-core groups and data of a run, and the given weights that it began with."""
    began = {} if start is None else {"initial_weights": f"hash {start.fingerprint}"}
    return began | {
        "config": config.to_dict(),
        "groups": [list(sizes) for sizes in groups],
        "data": data_identity(dataset),
    }


def _entries(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every entry with its key, as ``--set`` and TOML have it: ``layers.1.ranks``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entries(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        for index, inner in enumerate(value):
            yield from _entries(inner, f"{path}.{index + 1}")
    else:
        yield path, value


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    plain = json.loads(json.dumps(values))
    config = plain.pop("config", {})
    return dict(_entries(config)) | dict(_entries(plain))


def _shown(key: str, value: Any) -> str:
    if value is _ABSENT:
        return f"no {key}"
    text = json.dumps(value)
    return f"{key} = {text if len(text) <= 80 else text[:77] + '...'}"


def differences(configs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each configuration, :meth:`~zerotrain.config.config.Config.to_dict`, its entries that are
    not the same in all of them, as texts: ``training.batch = 32``."""
    flat = [_flat({"config": config}) for config in configs]
    keys = dict.fromkeys(key for entries in flat for key in entries)
    values = {key: [entries.get(key, _ABSENT) for entries in flat] for key in keys}
    differing = [key for key, of in values.items() if any(value != of[0] for value in of)]
    return [[_shown(key, values[key][k]) for key in differing] for k in range(len(flat))]


def check_same(saved: Mapping[str, Any], now: Mapping[str, Any], what: str) -> None:
    """Raise ``ValueError`` if two identities differ, with the first key that does.

    Parameters
    ----------
    saved : dict
        :func:`identity` of the run that was.
    now : dict
        The same, or only some of its sections, of what should be that run.
    what : str
        What carries ``saved``, as the subject of the sentence.
    """
    old, new = _flat({k: saved.get(k) for k in now}), _flat(now)
    keys = [k for k in (*new, *old) if old.get(k, _ABSENT) != new.get(k, _ABSENT)]
    if not keys:
        return
    key, more = keys[0], len(set(keys)) - 1
    others = f" ({more} other {'entry differs' if more == 1 else 'entries differ'} too)"
    raise ValueError(
        f"{what} is of a run with {_shown(key, old.get(key, _ABSENT))}, this one has "
        f"{_shown(key, new.get(key, _ABSENT))}{others if more else ''}: put it back as it was, or "
        "start a new run"
    )
