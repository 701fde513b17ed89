"""Configurations that went wrong: valid ones with a few entries changed, as TOML text."""

import copy
import random
from typing import Any

from zerotrain.config.config import Config, preset_names

__all__ = ["mutant"]

_WORDS = (
    "", "relu", "none", "forward", "environments", "compact", "common", "spram", "mean", "Q2.13",
    "Q60.2", "Q-3.2", "Q0.0", "名前", "a\nb", "../x", "x" * 300, "\u202e", "true", "mse",
    "mean_squared_error", "digits", "linear", "nan", "auto",
)  # fmt: skip
_INTEGERS = (
    0, 1, -1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 255, 257, 1000, 4096, 65535,
    65536, 65537, 10**6, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400,
)  # fmt: skip
_FLOATS = (
    0.0, -0.0, 0.5, 1.0, 3.0, -1.5, 1e-300, 1e300, 1e-9, 7.5, float("inf"), -float("inf"),
    float("nan"),
)  # fmt: skip
#: Keys that exist somewhere, so that they turn up in wrong places too.
_KEYS = (
    "name", "loss", "layers", "chip", "training", "type", "in_modes", "out_modes", "ranks", "bias",
    "activation", "inputs", "outputs", "lanes", "formats", "cge", "loops", "core", "store",
    "parameter_depth", "weight_depth", "merge_depth", "sample_banks", "sample_depth",
    "target_depth", "scratch_depth", "preact_depth", "program_depth", "output_depth",
    "evaluation_depth", "query_depth", "loss_ways", "lfsr_degree", "acc_width", "count_width",
    "weight", "input", "tt", "preact", "delta", "logit", "dlogit", "momentum", "cge_mu_shift",
    "rge", "steps", "step_size", "batch", "seed", "queries", "baseline", "mu", "rule", "dataset",
    "plateau_window", "evaluate_every", "auto", "unknown", "", "名",
)  # fmt: skip


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(7 if depth < 3 else 4)
    if kind == 0:
        return rng.choice(_INTEGERS)
    if kind == 1:
        return rng.choice(_FLOATS)
    if kind == 2:
        return rng.choice(_WORDS)
    if kind == 3:
        return rng.random() < 0.5
    if kind == 4:
        return [rng.choice((1, 2, 3, 4, 5, 7, 16, 64)) for _ in range(rng.randrange(0, 20))]
    if kind == 5:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice(_KEYS): _value(rng, depth + 1) for _ in range(rng.randrange(3))}


def _near(rng: random.Random, value: Any) -> Any:
    """A value of the same kind, so that much is refused late or not at all."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, 2 * value, 16 * value, value // 2, -value))
    if isinstance(value, float):
        return rng.choice((2 * value, value / 1024, -value, 7))
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value.upper(), *_WORDS))
    if isinstance(value, list):
        changed = copy.deepcopy(value)
        if changed and rng.random() < 0.7:
            place = rng.randrange(len(changed))
            changed[place] = rng.choice((_near(rng, changed[place]), 1, 2, 8))
            return changed
        return rng.choice((changed + changed, changed[:-1], changed[:1] * 12))
    return value


def _tables(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found + [table for item in items for table in _tables(item)]


def mutant(seed: int) -> str:
    """TOML text, always the same for a seed; most are refused, some are configurations."""
    rng = random.Random(seed)
    values: Any = Config.preset(rng.choice(preset_names())).to_dict()
    if rng.random() < 0.5:
        values.pop("training", None)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        table = rng.choice(_tables(values))
        key = rng.choice([*table] or ["name"])
        action = rng.randrange(6)
        if action == 0:
            table.pop(key, None)
        elif action == 1:
            table[rng.choice(_KEYS)] = _value(rng)
        elif action == 2:
            table[key] = _value(rng)
        elif action == 3 and isinstance(table.get(key), list):
            table[key] = table[key] * rng.choice((0, 2, 3, 10))
        else:
            table[key] = _near(rng, table.get(key, 1))
    text = _toml(values)
    if rng.random() < 0.1:  # text that may be no TOML
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice(("[" * 2000, "\x00", '"', "=", "\ufeff", "\n[a]\n")) + text
    return text


def _toml(value: Any) -> str:
    """Top-level entries as inline values: unlike the writer of configurations, of any kind."""
    return "".join(f"{_key(key)} = {_inline(item)}\n" for key, item in value.items())


def _key(key: str) -> str:
    return f'"{key}"'


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(k)} = {_inline(v)}' for k, v in value.items())}}}"
    return repr(value)
