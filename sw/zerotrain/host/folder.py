"""The run folder: configuration, log, checkpoint, plots and summary of a run.

Every file is replaced as a whole, so a crash leaves a consistent older state. The log is written
before the checkpoint; rows after the checkpoint are dropped when a run is resumed. Who writes holds
the folder's lock. Runs without a name of their own are numbered folders of ``runs``, where the link
``latest`` leads to the one that began last.
"""

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from zerotrain.config.config import Config
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.plots import can_draw, training_curves
from zerotrain.host.trainer import Row
from zerotrain.spec.files import locked, write_atomic

__all__ = ["RUNS", "RunFolder", "latest_folder", "next_folder", "point_latest"]

#: Where numbered folders are, and the link to the latest run there.
RUNS = Path("runs")
LATEST = RUNS / "latest"


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

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them, the configuration last."""
        return (
            self.checkpoint_path, self.log_path, self.summary_path, self.curves_path,
            self.config_path,
        )  # fmt: skip

    def check_free(self) -> None:
        """Raise ``FileExistsError`` if there is something that a new run would overwrite."""
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(
                f"{self.path} is no folder: name another one for the run's files"
            )
        for path in self.files:
            if path.exists():
                raise FileExistsError(
                    f"There is a run in {self.path} already ({path.name}): name another folder, go "
                    "on with --resume, or overwrite it with --force"
                )

    def check_run(self) -> None:
        """Raise ``FileNotFoundError`` if there is no run."""
        for path in (self.checkpoint_path, self.config_path):
            self._there(path)

    def make(self) -> None:
        """Make the folder, if it is not there."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                f"Cannot make the run's folder {self.path} ({error.strerror}): name another one"
            ) from error

    def locked(self) -> AbstractContextManager[None]:
        """Be the only process that trains in the folder, which is there."""
        return locked(
            self.path / ".lock",
            busy=f"Another process ({{}}) trains in {self.path}: wait for its end, or name another "
            "folder",
            advice="name a folder for the run on a local disk",
        )

    def begin(self, config: Config, *, force: bool = False) -> None:
        """Start a new run in the folder; with ``force`` files of an earlier run in it go.

        Raises
        ------
        FileExistsError
            If there is an earlier run, without ``force``.
        """
        if not force:
            self.check_free()
        self.make()
        for path in self.files:
            path.unlink(missing_ok=True)
        write_atomic(self.config_path, config.to_toml())
        self.rows = []

    def resume(self) -> tuple[Config, Checkpoint]:
        """Read an interrupted run's configuration, checkpoint and log.

        Raises
        ------
        OSError
            If one of them is missing.
        ValueError
            If they do not belong together.
        """
        config, checkpoint = self.state()
        self._there(self.log_path)
        rows = read_log(self.log_path, metrics_of(config.network.loss)[0])
        self.rows = [row for row in rows if row.step <= checkpoint.step]
        if len(self.rows) != checkpoint.step + 1 or self.rows[-1].digest != checkpoint.digest:
            raise ValueError(
                f"{self.log_path} does not belong to the checkpoint beside it: expected the "
                f"{checkpoint.step} steps that led to it; start the run again"
            )
        return config, checkpoint

    def state(self) -> tuple[Config, Checkpoint]:
        """Read configuration and checkpoint, which must be of the same run."""
        self.check_run()
        config, checkpoint = Config.load(self.config_path), Checkpoint.load(self.checkpoint_path)
        try:
            checkpoint.check({"config": config.to_dict()})
        except ValueError as error:
            raise ValueError(f"{self.config_path}: {error}") from None
        return config, checkpoint

    def _there(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no run in {self.path}: expected {path.name} there, which every run has"
            )

    def save(self, checkpoint: Checkpoint) -> None:
        """Write log and checkpoint, in this order."""
        metric = metrics_of(Config.load(self.config_path).network.loss)[0]
        write_atomic(self.log_path, _log_text(self.rows, metric))
        checkpoint.save(self.checkpoint_path)

    def summary(self) -> dict[str, Any]:
        """Read a finished run's summary."""
        if not self.summary_path.is_file():
            raise FileNotFoundError(
                f"There is no finished run in {self.path}: expected {self.summary_path.name} there"
            )
        try:
            values = json.loads(self.summary_path.read_text("utf-8"))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise ValueError(f"{self.summary_path} is damaged: run the training again")
        return values

    def finish(self, summary: dict[str, Any], title: str, watched: str, metric: Metric) -> None:
        """Write summary and, if they can be drawn, curves."""
        if can_draw():
            write_atomic(self.curves_path, training_curves(self.rows, title, watched, metric))
        write_atomic(self.summary_path, json.dumps(summary, indent=2) + "\n")


def next_folder(name: str, runs: Path = RUNS) -> RunFolder:
    """Make ``runs/name-1``, or with the number after the highest there is.

    Of the name remains what suits a file.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:100] or "run"
    RunFolder(runs).make()
    while True:
        found = (re.fullmatch(rf"{re.escape(plain)}-(\d{{1,9}})", p.name) for p in runs.iterdir())
        number = max((int(m[1]) for m in found if m), default=0) + 1
        path = runs / f"{plain}-{number}"
        try:
            path.mkdir()
            return RunFolder(path)
        except FileExistsError:  # another process was faster
            continue
        except OSError as error:
            raise type(error)(
                f"Cannot make the run's folder {path} ({error.strerror}): name another one"
            ) from error


def point_latest(folder: RunFolder) -> str:
    """Let ``latest`` beside a folder lead to it; a sentence if that is not possible."""
    link = folder.path.parent / LATEST.name
    if folder.path == link:
        return ""
    fresh = link.with_name(f".latest-{os.getpid()}")
    reason = "there is something else of that name"
    if link.is_symlink() or not link.exists():
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(folder.path.name)
            fresh.replace(link)
            return ""
        except OSError as error:
            reason = str(error.strerror)
    return f"{link} does not lead to this run ({reason}): name its folder in later commands."


def latest_folder(runs: Path = RUNS) -> RunFolder:
    """The folder that ``latest`` leads to, by its own name."""
    link = runs / LATEST.name
    if not link.is_dir():
        raise FileNotFoundError(
            f"There is no latest run, {link}: name a run's folder with --run-folder"
        )
    return RunFolder(runs / link.readlink() if link.is_symlink() else link)


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
    except (KeyError, ValueError, TypeError, csv.Error):
        raise ValueError(f"{path} is not a log of this version of Zerotrain") from None
