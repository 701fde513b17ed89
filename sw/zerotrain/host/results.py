"""Published results: what a finished run did and found, small enough for the repository.

A result is a JSON file with the run's whole configuration, its groups (they define the numbers,
docs/numerics.md section 3), its figures and its final parameters, so that anyone can measure them
again; beside it a CSV file holds the run's curve.
"""

import base64
import json
import zlib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.config import Config
from zerotrain.data.dataset import Dataset
from zerotrain.host.driver import Driver
from zerotrain.host.metric import Measurement, Metric, measure, metrics_of
from zerotrain.host.session import ChipKind, Session
from zerotrain.spec.losses import Loss

__all__ = ["MILESTONES", "Result", "load_all", "pack_parameters"]

#: Values of a metric that mark a coarse stage's progress: the accuracy is the paper's (section 4).
MILESTONES = {"accuracy": 0.85}


@dataclass(frozen=True)
class Result:
    """One finished run.

    Attributes
    ----------
    config : dict
        The run's configuration, :meth:`~zerotrain.config.config.Config.to_dict`.
    groups : list
        TT-core groups of the forward pass, layer by layer.
    steps, cge_steps, epoch_steps : int
        Training steps taken, how many of them were CGE, and steps per epoch.
    loss_evaluations : int
        Losses of a whole batch that all steps took.
    evaluations_to_milestone : int or None
        The same up to the first measurement of at least 85 % test accuracy; None where accuracy is
        not the metric.
    test_correct, test_count : int
        Test samples classified correctly with the final parameters, and test samples.
    saturation : list of str
        Kinds of values that saturated in any training step.
    running_hash : str
        :class:`~zerotrain.host.digest.RunningHash` of the run.
    state_every : int
        Steps between two states in it.
    theta : str
        Final raw parameters (:func:`pack_parameters`).
    test_loss : int or None
        Raw loss of all test samples. Results that were published before there were other metrics
        than accuracy have none.
    test_metrics : dict or None
        What the network is judged by, by the names of the metrics; likewise.
    initial_weights : str or None
        Hash of the given weights that the run began with, None for random ones.
    unit : str
        Of target values.
    checkpoint : str
        Which parameters these are: ``"last"``, those at the end of the run. Nothing was chosen.
    """

    config: dict[str, Any]
    groups: list[list[int]]
    steps: int
    cge_steps: int
    epoch_steps: int
    loss_evaluations: int
    evaluations_to_milestone: int | None
    test_correct: int
    test_count: int
    saturation: list[str]
    running_hash: str
    state_every: int
    theta: str
    test_loss: int | None = None
    test_metrics: dict[str, float] | None = None
    initial_weights: str | None = None
    unit: str = ""
    checkpoint: str = "last"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What the network is judged by."""
        return metrics_of(Loss(self.config["loss"]), self.unit)

    @property
    def dataset(self) -> str:
        """Name of the data set; of a file, without its folder."""
        return Path(self.config["training"]["dataset"]).name

    @property
    def extensions(self) -> list[int]:
        """Steps by which the run was extended, each time."""
        return list(self.config["training"].get("extensions", ()))

    @property
    def values(self) -> dict[str, float]:
        """The values of the metrics, by their names in files."""
        if self.test_metrics is not None:
            return self.test_metrics
        return {"accuracy": self.test_correct / self.test_count}

    @property
    def main(self) -> float:
        """The value of the first metric."""
        return self.values[self.metrics[0].key]

    def agrees(self, found: Measurement) -> bool:
        """Whether a measurement of the test part found what is written here."""
        e = found.evaluation
        known = self.test_loss is None or self.test_loss == e.loss
        return known and (self.test_correct, self.test_count) == (e.correct, e.count)

    @property
    def title(self) -> str:
        """The network's name, the stage if the run had only one of the two, whether it began with
        given weights, and whether it was extended."""
        training = self.config["training"]
        alone = {"rge": "coarse", "cge": "fine"}
        stages = [name for name in alone if name in training]
        words = [alone[s] for s in stages if len(stages) == 1]
        words += ["warm"] if self.initial_weights else []
        words += ["extended"] if self.extensions else []
        return "-".join([self.config["name"], *words])

    @property
    def name(self) -> str:
        """What tells it from all other results in a folder."""
        return f"{self.title}, seed {self.config['training']['seed']}"

    @property
    def parameters(self) -> NDArray[np.int64]:
        """Final raw parameters int64[d]."""
        return np.frombuffer(zlib.decompress(base64.b64decode(self.theta)), "<i2").astype(np.int64)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a result.

        Raises
        ------
        ValueError
            If the file is none.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            needed = {f.name for f in fields(cls) if f.default is MISSING}
            if not needed <= set(values) <= {f.name for f in fields(cls)}:
                raise ValueError
            result = cls(**values)
            result.check()
        except (ValueError, TypeError, RecursionError):
            raise ValueError(f"{path} is not a published result of this version") from None
        return result

    def check(self) -> None:
        """Raise ``ValueError``, without saying why, if an entry is none of a result."""
        optional = (self.evaluations_to_milestone, self.test_loss)
        counts = (
            self.steps, self.cge_steps, self.epoch_steps, self.loss_evaluations, self.test_correct,
            self.test_count, self.state_every, *(n for n in optional if n is not None),
        )  # fmt: skip
        if any(type(n) is not int or n < 0 for n in counts):
            raise ValueError
        if not (self.test_count and self.epoch_steps and isinstance(self.saturation, list)):
            raise ValueError
        if self.checkpoint != "last" or not isinstance(self.unit, str):
            raise ValueError
        config, values = Config.from_dict(self.config), cast(Any, self.test_metrics)
        names = [m.key for m in metrics_of(config.network.loss)]
        warm = config.training is not None and bool(config.training.initial)
        if isinstance(self.initial_weights, str) != warm:
            raise ValueError
        named = {"name", "loss", "training"} <= set(self.config)
        if config.training is None or not named or "seed" not in self.config["training"]:
            raise ValueError
        if values is not None and (
            not isinstance(values, dict)
            or sorted(values) != sorted(names)
            or any(type(v) not in (int, float) for v in values.values())
        ):
            raise ValueError
        lengths = [layer.n_tt_cores for layer in config.network.layers]
        if any(type(n) is not int or n < 1 for sizes in self.groups for n in sizes):
            raise ValueError
        if [sum(sizes) for sizes in self.groups] != lengths:
            raise ValueError
        try:
            if len(self.parameters) != config.network.n_parameters:
                raise ValueError
        except zlib.error:
            raise ValueError from None

    def measure(self, dataset: Dataset) -> Measurement:
        """Measure the final parameters with the test part, on the golden chip."""
        groups = tuple(tuple(sizes) for sizes in self.groups)
        session = Session.of(Config.from_dict(self.config), groups)
        chip, bus = session.chip, session.open_bus(ChipKind.GOLDEN)
        driver = Driver.loaded(bus, chip, session.config.network, session.plan.program)
        driver.parameters = self.parameters
        return measure(driver, dataset.test.quantize(chip.formats), dataset.scale)


def pack_parameters(theta: NDArray[np.int64]) -> str:
    """Raw parameters as a text: int16, little endian, zlib, base64."""
    words = theta.astype("<i2")
    if not np.array_equal(words, theta):
        raise ValueError("Results hold parameters of up to 16 bits, these are wider")
    return base64.b64encode(zlib.compress(words.tobytes(), 9)).decode()


def load_all(directory: Path) -> list[Result]:
    """Every result in a folder, by file name; no two have the same name."""
    found: dict[str, tuple[Path, Result]] = {}
    for path in sorted(directory.glob("*.json")):
        result = Result.load(path)
        if result.name in found:
            raise ValueError(
                f"{found[result.name][0]} and {path} are both named {result.name}: remove one, or "
                "publish it with another name of the network"
            )
        found[result.name] = path, result
    return [result for _, result in found.values()]
