"""The run folder: configuration, log, checkpoint, plots and summary of a run.

Every file is replaced as a whole, so a crash leaves a consistent older state. The log is written
before the checkpoint; rows after the checkpoint are dropped when a run is resumed.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from zerotrain.config.config import Config
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.plots import training_curves
from zerotrain.host.trainer import Row
from zerotrain.spec.files import write_atomic

__all__ = ["RunFolder"]


class RunFolder:
    """Where a run keeps its files.

    Attributes
    ----------
    rows : list of Row
        The log. Its file calls the metric by its name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []

    @property
    def config_path(self) -> Path:
        return self.path / "config.toml"

    @property
    def log_path(self) -> Path:
        return self.path / "log.csv"

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint.ztc"

    @property
    def curves_path(self) -> Path:
        return self.path / "curves.png"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.json"

    def begin(self, config: Config) -> None:
        """Make the folder for a new run; files of an earlier run in it go."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in (self.checkpoint_path, self.log_path, self.summary_path, self.curves_path):
            path.unlink(missing_ok=True)
        write_atomic(self.config_path, config.to_toml())
        self.rows = []

    def resume(self) -> tuple[Config, Checkpoint]:
        """Read an interrupted run's configuration, checkpoint and log."""
        if not self.checkpoint_path.is_file():
            raise FileNotFoundError(
                f"There is nothing to resume in {self.path}: expected {self.checkpoint_path.name}, "
                "which an interrupted run leaves there"
            )
        config = Config.load(self.config_path)
        checkpoint = Checkpoint.load(self.checkpoint_path)
        step = checkpoint.schedule["step"]
        metric = metrics_of(config.network.loss)[0]
        self.rows = [row for row in read_log(self.log_path, metric) if row.step <= step]
        if len(self.rows) != step + 1 or self.rows[-1].digest != checkpoint.digest:
            raise ValueError(
                f"{self.log_path} does not belong to the checkpoint beside it: expected the "
                f"{step} steps that led to it; start the run again"
            )
        return config, checkpoint

    def save(self, checkpoint: Checkpoint) -> None:
        """Write log and checkpoint, in this order."""
        metric = metrics_of(Config.load(self.config_path).network.loss)[0]
        write_atomic(self.log_path, _log_text(self.rows, metric))
        checkpoint.save(self.checkpoint_path)

    def finish(self, summary: dict[str, Any], title: str, watched: str, metric: Metric) -> None:
        """Write summary and curves."""
        write_atomic(self.curves_path, training_curves(self.rows, title, watched, metric))
        write_atomic(self.summary_path, json.dumps(summary, indent=2) + "\n")


def _log_text(rows: Sequence[Row], metric: Metric) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([metric.key if f.name == "metric" else f.name for f in fields(Row)])
    writer.writerows(["" if v is None else v for v in astuple(row)] for row in rows)
    return text.getvalue()


def read_log(path: Path, metric: Metric) -> list[Row]:
    """The rows of a log file, whose column of measurements has the metric's name."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Row(
                    int(line["step"]), line["phase"], number(line["loss"]),
                    number(line["step_size"]), number(line[metric.key]), line["saturation"],
                    int(line["cycles"]), int(line["beats"]), int(line["loss_stalls"]),
                    line["digest"],
                )
                for line in csv.DictReader(file)
            ]  # fmt: skip
    except (KeyError, ValueError, TypeError):
        raise ValueError(f"{path} is not a log of this version of Zerotrain") from None
