"""Chip time to an accuracy: the steps of a published run times the cycles of a step."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zerotrain.config.config import Config, preset_names
from zerotrain.spec.network import Network

__all__ = ["ACCURACY", "RESULTS", "Milestone", "find_milestones"]

RESULTS = Path("docs") / "results"
#: The paper's test accuracy with 3962 parameters, after 100 epochs.
ACCURACY = 0.9664


@dataclass(frozen=True)
class Milestone:
    """Training steps of a run up to the first measurement of at least that accuracy.

    Attributes
    ----------
    name : str
        The run.
    config : Config
        Its configuration; the network has the name of the preset with the same layers, under which
        its counters and routed clocks are known.
    rge_steps, cge_steps : int
        Steps of each stage.
    accuracy : float
        What was measured then.
    """

    name: str
    config: Config
    rge_steps: int
    cge_steps: int
    accuracy: float


def find_milestones(folder: Path = RESULTS, accuracy: float = ACCURACY) -> Iterator[Milestone]:
    """Published runs of the hybrid schedule that reach the accuracy.

    A run is a JSON file with a ``config``, and beside it a CSV file of its curve with the columns
    ``step``, ``loss_evaluations`` and, if accuracy is its metric, ``test_accuracy``.
    """
    for path in sorted(folder.glob("*.json")):
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or "config" not in values:
            continue
        config = Config.from_dict(values["config"])
        training = config.training
        if training is None or training.rge is None or training.cge is None:
            continue
        with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            reached = next(
                (
                    row
                    for row in csv.DictReader(file)
                    if float(row.get("test_accuracy", 0)) >= accuracy
                ),
                None,
            )
        if reached is None:
            continue
        # All steps, and the losses that they took, say how many were of which kind.
        per_rge = training.rge.queries + (training.rge.baseline == "base")
        steps, losses = int(reached["step"]), int(reached["loss_evaluations"])
        per_cge = config.network.n_parameters + 1
        cge_steps, rest = divmod(losses - steps * per_rge, per_cge - per_rge)
        if rest:
            raise ValueError(
                f"{path.with_suffix('.csv')}: {losses} losses in {steps} steps are no number of "
                f"RGE steps of {per_rge} and CGE steps of {per_cge}"
            )
        config = replace(config, network=_known(config.network))
        yield Milestone(
            path.stem, config, steps - cge_steps, cge_steps, float(reached["test_accuracy"])
        )


def _known(network: Network) -> Network:
    """The network by the name of the preset that has the same layers."""
    for name in preset_names():
        preset = Config.preset(name).network
        if preset.layers == network.layers:
            return preset
    return network
