"""A network, its chip and its training as one TOML file.

::

    name = "digits"

    [[layers]]
    in_modes = [2, 4, 4, 2]
    out_modes = [2, 4, 2, 2]
    ranks = 3                    # of every bond, or a list with one rank per bond
    activation = "relu"

    [[layers]]
    type = "dense"
    inputs = 32
    outputs = 10

    [chip]
    lanes = 8

    [chip.formats]
    weight = "Q2.13"

    [training]
    dataset = "digits"

    [training.cge]
    steps = 800
    step_size = 0.03
    final_step_size = 0.001

Whatever is left out has the default of the class it describes. Unknown keys are refused.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, Self, TypeVar, cast, get_type_hints

from zerotrain.compiler.lowering import Groups
from zerotrain.compiler.planner import chip_for
from zerotrain.config.training import CgeStage, RgeStage, Training
from zerotrain.spec.chip import Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense
from zerotrain.spec.registers import Baseline

__all__ = ["ChipOptions", "Config", "nearest", "preset_names", "show"]

#: Samples of a step where no training says how many.
_BATCH = 32
#: RGE queries where no stage says how many.
_QUERIES = 16

#: TOML's integers have 64 bits.
_INTEGER_BITS = 64
#: Characters of a value or a word in a message.
_SHOWN = 60

_T = TypeVar("_T")
_TYPE_NAMES = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}


def nearest(word: str, known: list[str]) -> str:
    """``"; did you mean 'x'?"`` for a word that is none of ``known``, or the known words."""
    close = get_close_matches(word[:_SHOWN], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def show(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check_integers(value: Any, path: str = "") -> None:
    """Refuse integers that TOML does not have, wherever they are."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_integers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            _check_integers(item, f"{path}.{k + 1}")
    elif type(value) is int and value.bit_length() >= _INTEGER_BITS:
        raise ValueError(
            f"{path} is an integer of {_INTEGER_BITS} bits at most, not one of "
            f"{value.bit_length() + 1} bits"
        )


class _Table:
    """A TOML table that knows its place in the file and which keys it may have."""

    def __init__(self, values: Any, path: str, known: list[str]) -> None:
        if not isinstance(values, Mapping):
            raise ValueError(f"{path} is a table, not {show(values)}")
        for key in values:
            if key not in known:
                where = f" in [{path}]" if path else ""
                raise ValueError(f"Unknown key {show(key)}{where}: {nearest(key, known)}")
        self.values, self.path = values, path

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str, kind: type[_T], default: Any = MISSING) -> _T:
        """The value of a key, checked to be of a type."""
        if key not in self.values:
            if default is MISSING:
                self.require({key: _describe(kind)})
            return cast(_T, default)
        value: Any = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if issubclass(kind, StrEnum):
            choices = [str(member) for member in kind]
            if value not in choices:
                raise ValueError(
                    f"{self.name(key)} is {' or '.join(map(repr, choices))}, not {show(value)}"
                )
            return kind(value)
        if type(value) is not kind:
            raise ValueError(f"{self.name(key)} is {_describe(kind)}, not {show(value)}")
        return value

    def require(self, kinds: Mapping[str, str]) -> None:
        """Refuse a table without these keys, whose values are described: all that are missing, in
        one sentence."""
        missing = {key: kind for key, kind in kinds.items() if key not in self.values}
        if len(missing) == 1:
            ((key, kind),) = missing.items()
            raise ValueError(f"{self.name(key)} is missing: expected {kind}")
        if missing:
            named = ", ".join(f"{key} ({kind})" for key, kind in missing.items())
            where = f"[{self.path}] " if self.path else ""
            raise ValueError(f"{where}{len(missing)} keys are missing: expected {named}")

    def integers(self, key: str) -> tuple[int, ...]:
        """A list of integers."""
        value = self.values.get(key)
        if not isinstance(value, list) or any(type(v) is not int for v in value):
            raise ValueError(f"{self.name(key)} is {_INTEGERS}, not {show(value)}")
        return tuple(value)


#: What modes are.
_INTEGERS = "a list of integers"
#: What ranks are.
_RANKS = "an integer or a list of integers"


def _describe(kind: type) -> str:
    return _TYPE_NAMES.get(kind, kind.__name__)


def _read(cls: type[_T], values: Any, path: str, skip: tuple[str, ...] = ()) -> _T:
    """Build a dataclass from a table whose keys are its field names."""
    members = [f for f in fields(cls) if f.name not in skip]  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    table = _Table(values, path, [f.name for f in members])
    needed = [f for f in members if f.default is MISSING and f.default_factory is MISSING]
    table.require({f.name: _describe(hints[f.name]) for f in needed})
    arguments = {f.name: table.get(f.name, hints[f.name]) for f in members if f.name in table}
    return _located(path, cls, **arguments)


def _located(path: str, build: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Call ``build`` and say where in the file the values came from if it refuses them."""
    try:
        return build(*args, **kwargs)
    except ValueError as error:
        raise ValueError(f"[{path}] {error}") from None


def _read_layer(values: Any, path: str) -> Layer:
    kind = values.get("type", "tt") if isinstance(values, Mapping) else "tt"
    common = ["type", "bias", "activation"]
    own = {"tt": ["in_modes", "out_modes", "ranks"], "dense": ["inputs", "outputs"]}
    if not isinstance(kind, str) or kind not in own:
        raise ValueError(f"{path}.type is 'tt' or 'dense', not {show(kind)}")
    table = _Table(values, path, common + own[kind])
    rest: dict[str, Any] = {
        "bias": table.get("bias", bool, True),
        "activation": table.get("activation", Activation, Activation.NONE),
    }
    if kind == "dense":
        table.require(dict.fromkeys(own["dense"], _describe(int)))
        sizes = table.get("inputs", int), table.get("outputs", int)
        return _located(path, dense, *sizes, **rest)
    needed = {"in_modes": _INTEGERS, "out_modes": _INTEGERS}
    if table.values.get("in_modes") is None or len(table.integers("in_modes")) > 1:
        needed["ranks"] = _RANKS
    table.require(needed)
    modes = table.integers("in_modes"), table.integers("out_modes")
    ranks = table.values.get("ranks", [])
    if type(ranks) is int:
        ranks = [ranks] * (len(modes[0]) - 1)
    if not isinstance(ranks, list) or any(type(rank) is not int for rank in ranks):
        raise ValueError(f"{path}.ranks is {_RANKS}, not {show(ranks)}")
    ranks = tuple(ranks)
    return _located(path, Layer, *modes, ranks, **rest)


def _read_formats(values: Any, path: str) -> Formats:
    table = _Table(values, path, [f.name for f in fields(Formats)])
    arguments: dict[str, Any] = {}
    for key in table.values:
        if key == "cge_mu_shift":
            arguments[key] = table.get(key, int)
        else:
            arguments[key] = _located(f"{path}.{key}", QFormat.parse, table.values[key])
    return _located(path, Formats, **arguments)


@dataclass(frozen=True, slots=True)
class ChipOptions:
    """What a configuration says about its chip; the planner sizes every memory left out.

    Parameters
    ----------
    lanes : int
        Multipliers of the chip.
    formats : Formats
        Number formats.
    fixed : dict
        Other fields of :class:`~zerotrain.spec.chip.Chip`, by name.
    """

    lanes: int = 8
    formats: Formats = field(default_factory=Formats)
    fixed: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Any, path: str = "chip") -> Self:
        """Read the ``[chip]`` table."""
        known = [f.name for f in fields(Chip) if f.name != "loss"]
        table = _Table(values, path, known)
        formats = _read_formats(table.values.get("formats", {}), f"{path}.formats")
        hints = get_type_hints(Chip)
        fixed = {k: table.get(k, hints[k]) for k in table.values if k not in ("lanes", "formats")}
        return cls(table.get("lanes", int, 8), formats, fixed)

    @classmethod
    def from_chip(cls, chip: Chip) -> Self:
        """Options that give exactly this chip."""
        names = [f.name for f in fields(Chip) if f.name not in ("lanes", "formats", "loss")]
        return cls(chip.lanes, chip.formats, {n: getattr(chip, n) for n in names})

    def build(
        self, network: Network, *, batch: int, queries: int, groups: Groups | None = None
    ) -> Chip:
        """The chip for a network: memories of the planner's sizes unless fixed."""
        if set(self.fixed) >= {f.name for f in fields(Chip)} - {"lanes", "formats", "loss"}:
            return Chip(self.lanes, self.formats, network.loss, **self.fixed)
        fixed: dict[str, Any] = dict(self.fixed)
        return chip_for(
            network,
            lanes=self.lanes,
            batch=batch,
            queries=queries,
            formats=self.formats,
            groups=groups,
            **fixed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML."""
        return {"lanes": self.lanes, **self.fixed, "formats": self.formats.to_dict()}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a run needs to know, except where its data lies.

    ``training`` is None in files that only describe a network and its chip.
    """

    network: Network
    chip: ChipOptions = field(default_factory=ChipOptions)
    training: Training | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a parsed TOML file.

        Raises
        ------
        ValueError
            With one sentence: where, what was expected and what came.
        """
        _check_integers(values)
        table = _Table(values, "", ["name", "loss", "layers", "chip", "training"])
        rows = table.values.get("layers")
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"A network has one [[layers]] table per layer, got {show(rows)}")
        layers = tuple(_read_layer(row, f"layers.{k + 1}") for k, row in enumerate(rows))
        loss = table.get("loss", Loss, Loss.SOFTMAX_CROSS_ENTROPY)
        network = Network(layers, loss, table.get("name", str, "network"))
        training = None
        if "training" in table:
            tree = _Table(table.values["training"], "training", [f.name for f in fields(Training)])
            plain = {k: v for k, v in tree.values.items() if k not in ("rge", "cge")}
            stages = {
                k: _read(stage, tree.values[k], f"training.{k}")
                for k, stage in (("rge", RgeStage), ("cge", CgeStage))
                if k in tree
            }
            hints = get_type_hints(Training)
            head = {k: tree.get(k, hints[k]) for k in plain}
            tree.require({"dataset": "a text"})
            training = _located("training", Training, **head, **stages)
        return cls(network, ChipOptions.from_dict(table.values.get("chip", {})), training)

    @classmethod
    def parse(cls, text: str, source: str = "configuration") -> Self:
        """Read TOML text; ``source`` names it in errors."""
        try:
            values = tomllib.loads(text)
        except ValueError as error:  # besides TOMLDecodeError, of integers with too many digits
            raise ValueError(f"{source} is not valid TOML: {error}") from None
        except RecursionError:
            raise ValueError(f"{source} is not a configuration: it is nested too deeply") from None
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file."""
        try:
            text = path.read_text(encoding="utf-8-sig")  # a byte order mark is no text
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text file in UTF-8") from None
        return cls.parse(text, str(path))

    @classmethod
    def preset(cls, name: str) -> Self:
        """Read one of the built-in configurations (:func:`preset_names`)."""
        names = preset_names()
        if name not in names:
            raise ValueError(f"There is no preset {name!r}: {nearest(name, names)}")
        entry = resources.files("zerotrain.config.presets") / f"{name}.toml"
        return cls.parse(entry.read_text(encoding="utf-8"), f"preset {name}")

    @property
    def batch(self) -> int:
        """Samples of a step, for which memories are sized and programs planned."""
        return self.training.batch if self.training else _BATCH

    @property
    def queries(self) -> int:
        """Queries of an RGE step, for which memories are sized and steps are priced."""
        rge = self.training.rge if self.training else None
        return rge.queries if rge else _QUERIES

    @property
    def baseline(self) -> Baseline:
        """What an RGE step subtracts."""
        rge = self.training.rge if self.training else None
        return Baseline[rge.baseline.upper()] if rge else Baseline.MEAN

    def build_chip(self, groups: Groups | None = None) -> Chip:
        """The chip that this configuration describes; with the planner's groups or the given."""
        return self.chip.build(self.network, batch=self.batch, queries=self.queries, groups=groups)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; :meth:`from_dict` reads them back to an equal configuration."""
        values = self.network.to_dict() | {"chip": self.chip.to_dict()}
        return values | ({"training": self.training.to_dict()} if self.training else {})

    def to_toml(self) -> str:
        """TOML text; :meth:`parse` reads it back to an equal configuration."""
        return _to_toml(self.to_dict())


def preset_names() -> list[str]:
    """Names of the built-in configurations."""
    entries = resources.files("zerotrain.config.presets").iterdir()
    return sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml"))


def _to_toml(values: Mapping[str, Any], path: str = "") -> str:
    """Write texts, numbers, lists of integers, tables, and lists of tables."""
    plain, nested = [], []
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            nested.append(f"\n[{name}]\n{_to_toml(value, name)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            nested += [f"\n[[{name}]]\n{_to_toml(row, name)}" for row in value]
        else:
            plain.append(f"{key} = {_scalar(value)}\n")
    return "".join(plain + nested)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        # Control characters are not allowed raw in TOML.
        return (
            '"'
            + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped)
            + '"'
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    return repr(value)
