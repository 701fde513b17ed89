"""A network, its chip and its training as one TOML file.

::

    name = "digits"

    [[layers]]
    in_modes = [2, 4, 4, 2]
    out_modes = [2, 4, 2, 2]
    ranks = 3                    # of every bond, or a list with one rank per bond
    activation = "relu"

    [[layers]]
    type = "plain_tt"            # a TT-core for every single index, those of the outputs first
    in_modes = [8, 4]
    out_modes = [4, 4, 2]
    ranks = 4
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
from dataclasses import MISSING, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Self, TypeVar, get_type_hints

from zerotrain.compiler.lowering import Groups
from zerotrain.compiler.planner import chip_for
from zerotrain.config.data import DataOptions
from zerotrain.config.equation import EQUATION, EquationOptions
from zerotrain.config.table import INTEGERS, Table, check_integers, describe, nearest, show
from zerotrain.config.toml import to_toml
from zerotrain.config.training import STAGES, Training
from zerotrain.spec.activations import ACTIVATIONS
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense, plain_tt
from zerotrain.spec.registers import Baseline

__all__ = ["AUTO", "ChipOptions", "Config", "nearest", "preset_names"]

#: Samples of a step where no training says how many.
_BATCH = 32
#: RGE queries where no stage says how many.
_QUERIES = 16
#: What ranks are.
_RANKS = "an integer or a list of integers"
#: The chip that is looked for: ``chip = "auto"``, or ``auto = true`` in its table.
AUTO = "auto"

_T = TypeVar("_T")


def _read(cls: type[_T], values: Any, path: str, skip: tuple[str, ...] = ()) -> _T:
    """Build a dataclass from a table whose keys are its field names."""
    members = [f for f in fields(cls) if f.name not in skip]  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    table = Table(values, path, [f.name for f in members])
    needed = [f for f in members if f.default is MISSING and f.default_factory is MISSING]
    table.require({f.name: describe(hints[f.name]) for f in needed})
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
    train = ["in_modes", "out_modes", "ranks"]
    own = {"tt": train, "plain_tt": train, "dense": ["inputs", "outputs"]}
    if not isinstance(kind, str) or kind not in own:
        raise ValueError(f"{path}.type is {' or '.join(map(repr, own))}, not {show(kind)}")
    table = Table(values, path, common + own[kind])
    rest: dict[str, Any] = {
        "bias": table.get("bias", bool, True),
        "activation": table.get("activation", Activation, Activation.NONE),
    }
    if kind == "dense":
        table.require(dict.fromkeys(own["dense"], describe(int)))
        sizes = table.get("inputs", int), table.get("outputs", int)
        return _located(path, dense, *sizes, **rest)
    plain = kind == "plain_tt"
    needed = {"in_modes": INTEGERS, "out_modes": INTEGERS}
    if table.values.get("in_modes") is None or plain or len(table.integers("in_modes")) > 1:
        needed["ranks"] = _RANKS
    table.require(needed)
    modes = table.integers("in_modes"), table.integers("out_modes")
    ranks = table.values.get("ranks", [])
    if type(ranks) is int:
        ranks = [ranks] * (len(modes[0]) + plain * len(modes[1]) - 1)
    if not isinstance(ranks, list) or any(type(rank) is not int for rank in ranks):
        raise ValueError(f"{path}.ranks is {_RANKS}, not {show(ranks)}")
    return _located(path, plain_tt if plain else Layer, *modes, tuple(ranks), **rest)


def _read_formats(values: Any, path: str) -> Formats:
    table = Table(values, path, [f.name for f in fields(Formats)])
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
        Multipliers of the chip; 0 where the search chooses.
    formats : Formats
        Number formats.
    fixed : dict
        Other fields of :class:`~zerotrain.spec.chip.Chip`, by name.
    auto : bool
        Whether the best chip for a board is looked for; keys given besides are kept.
    """

    lanes: int = 8
    formats: Formats = field(default_factory=Formats)
    fixed: dict[str, Any] = field(default_factory=dict)
    auto: bool = False

    @classmethod
    def from_dict(cls, values: Any, path: str = "chip") -> Self:
        """Read the ``[chip]`` table, or ``"auto"`` in its place."""
        if values == AUTO:
            values = {AUTO: True}
        elif isinstance(values, str):
            raise ValueError(f'{path} is a table or "{AUTO}", not {show(values)}')
        known = [AUTO, *(f.name for f in fields(Chip) if f.name != "loss")]
        table = Table(values, path, known)
        formats = _read_formats(table.values.get("formats", {}), f"{path}.formats")
        hints, own = get_type_hints(Chip), (AUTO, "lanes", "formats")
        fixed = {k: table.get(k, hints[k]) for k in table.values if k not in own}
        auto = table.get(AUTO, bool, False)
        return cls(table.get("lanes", int, 0 if auto else 8), formats, fixed, auto)

    @classmethod
    def from_chip(cls, chip: Chip) -> Self:
        """Options that give exactly this chip."""
        names = [f.name for f in fields(Chip) if f.name not in ("lanes", "formats", "loss")]
        return cls(chip.lanes, chip.formats, {n: getattr(chip, n) for n in names})

    def build(
        self, network: Network, *, batch: int, queries: int, groups: Groups | None = None
    ) -> Chip:
        """The chip for a network: memories of the planner's sizes unless fixed.

        Raises
        ------
        ValueError
            As the planner does; or where the chip has not been searched for yet.
        """
        if self.auto:
            raise ValueError(
                f'chip = "{AUTO}" is a chip for a board: expected --board with plan, generate or '
                "route; what generate writes as config.toml trains on that chip"
            )
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
        own: dict[str, Any] = {"lanes": self.lanes}
        if self.auto:
            own = {AUTO: True} | (own if self.lanes else {})
        return own | {**self.fixed, "formats": self.formats.to_dict()}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a run needs to know, except where its data lies.

    ``training`` is None in files that only describe a network and its chip.
    """

    network: Network
    chip: ChipOptions = field(default_factory=ChipOptions)
    training: Training | None = None
    equation: EquationOptions | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a parsed TOML file.

        Raises
        ------
        ValueError
            With one sentence: where, what was expected and what came.
        """
        check_integers(values)
        table = Table(values, "", ["name", "loss", "layers", "chip", "equation", "training"])
        rows = table.values.get("layers")
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"A network has one [[layers]] table per layer, got {show(rows)}")
        layers = tuple(_read_layer(row, f"layers.{k + 1}") for k, row in enumerate(rows))
        loss = table.get("loss", Loss, Loss.SOFTMAX_CROSS_ENTROPY)
        name, equation = table.get("name", str, "network"), None
        if "equation" in table:
            equation = EquationOptions.from_dict(table.values["equation"])
            loss = table.get("loss", Loss, Loss.RESIDUAL)
        training = None
        if "training" in table:
            tree = Table(table.values["training"], "training", [f.name for f in fields(Training)])
            special = (*STAGES, "data", "extensions")
            plain = {k: v for k, v in tree.values.items() if k not in special}
            stages: dict[str, Any] = {
                k: _read(stage, tree.values[k], f"training.{k}")
                for k, stage in STAGES.items()
                if k in tree
            }
            if "data" in tree:
                given = Table(
                    tree.values["data"], "training.data", [f.name for f in fields(DataOptions)]
                )
                stages["data"] = _located("training.data", DataOptions, **given.values)
            if "extensions" in tree:
                stages["extensions"] = tree.integers("extensions")
            hints = get_type_hints(Training)
            head = {k: tree.get(k, hints[k]) for k in plain}
            if equation is None:
                tree.require({"dataset": "a text"})
            elif head.setdefault("dataset", EQUATION) != EQUATION:
                raise ValueError(
                    f"training.dataset is left out where there is an equation, got "
                    f"{show(head['dataset'])}"
                )
            training = _located("training", Training, **head, **stages)
        chip = ChipOptions.from_dict(table.values.get("chip", {}))
        if equation is None:
            return cls(Network(layers, loss, name), chip, training)
        return cls.of_equation(layers, loss, name, chip, training, equation)

    @classmethod
    def of_equation(
        cls, layers: tuple[Layer, ...], loss: Loss, name: str, chip: ChipOptions,
        training: Training | None, equation: EquationOptions,
    ) -> Self:  # fmt: skip
        """A network that solves an equation, on a chip that can."""
        if chip.auto:
            raise ValueError(
                "A chip that solves an equation is not looked for, since its gateware is not "
                "written yet: leave chip.auto out"
            )
        batch = training.batch if training else _BATCH
        formats, state = chip.formats, chip.formats.input
        if len(layers) > 1:
            state = ACTIVATIONS[layers[-2].activation].value(formats.preact)
        problem = _located("equation", equation.build, formats, batch, state)
        return cls(Network(layers, loss, name, problem), chip, training, equation)

    @property
    def _needed(self) -> dict[str, Any]:
        """What the chip has for an equation, unless it is said otherwise."""
        problem, training = self.network.problem, self.training
        if problem is None:
            return {}
        if training is None or training.subspace is None:
            return {"cge": Cge.NONE}
        depth = (training.subspace.queries + 1) * problem.n_residuals
        return {"cge": Cge.NONE, "split": True, "residual_depth": depth}

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
        """Read a TOML file. Data files that it names are in its folder, or absolute."""
        try:
            text = path.read_text(encoding="utf-8-sig")  # a byte order mark is no text
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text file in UTF-8") from None
        return cls.parse(text, str(path)).anchored(path.parent)

    @classmethod
    def preset(cls, name: str) -> Self:
        """Read one of the built-in configurations (:func:`preset_names`)."""
        names = preset_names()
        if name not in names:
            raise ValueError(f"There is no preset {name!r}: {nearest(name, names)}")
        entry = resources.files("zerotrain.config.presets") / f"{name}.toml"
        return cls.parse(entry.read_text(encoding="utf-8"), f"preset {name}")

    def anchored(self, folder: Path) -> Self:
        """The same with absolute paths of data files, relative ones being in a folder."""
        return replace(self, training=self.training and self.training.anchored(folder))

    @property
    def required_training(self) -> Training:
        """The training section, which must be there."""
        if self.training is None:
            raise ValueError(
                f"Configuration {self.network.name} has no [training] section: expected one with a "
                "data set and a stage [training.rge] or [training.cge]"
            )
        return self.training

    @property
    def batch(self) -> int:
        """Samples of a step, for which memories are sized and programs planned."""
        return self.training.batch if self.training else _BATCH

    @property
    def samples(self) -> int:
        """Samples that go through the network for one loss."""
        problem = self.network.problem
        return self.batch if problem is None else problem.n_evaluations

    @property
    def queries(self) -> int:
        """Queries of an RGE step, for which memories are sized and steps are priced."""
        stage = self.training and (self.training.rge or self.training.subspace)
        return stage.queries if stage else _QUERIES

    @property
    def baseline(self) -> Baseline:
        """What an RGE step subtracts."""
        rge = self.training.rge if self.training else None
        if rge is None and self.training is not None and self.training.subspace is not None:
            return Baseline.BASE
        return Baseline[rge.baseline.upper()] if rge else Baseline.MEAN

    def build_chip(self, groups: Groups | None = None) -> Chip:
        """The chip that this configuration describes; with the planner's groups or the given."""
        chip = replace(self.chip, fixed=self._needed | self.chip.fixed)
        return chip.build(self.network, batch=self.samples, queries=self.queries, groups=groups)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; :meth:`from_dict` reads them back to an equal configuration."""
        values = self.network.to_dict() | {"chip": self.chip.to_dict()}
        values |= {"equation": self.equation.to_dict()} if self.equation else {}
        return values | ({"training": self.training.to_dict()} if self.training else {})

    def to_toml(self) -> str:
        """TOML text; :meth:`parse` reads it back to an equal configuration."""
        return to_toml(self.to_dict())


def preset_names() -> list[str]:
    """Names of the built-in configurations."""
    entries = resources.files("zerotrain.config.presets").iterdir()
    return sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml"))
