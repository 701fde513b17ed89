"""The run folder: configuration, log, checkpoints, plots and summary of a run.

Every file is replaced as a whole, so a crash leaves a consistent older state. The log is written
before the checkpoint, the best checkpoint after it; rows after the checkpoint are dropped when a
run is resumed. Who writes holds the folder's lock. Runs without a name of their own are numbered
folders of ``runs``, where the link ``latest`` leads to the one that began last.
"""

import json
import os
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from zerotrain.config.config import Config
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.extension import begun_extension, without_extensions
from zerotrain.host.identity import check_same
from zerotrain.host.log import NO_BEST, best_row, log_text, read_log
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.paths import RunPaths
from zerotrain.host.plots import can_draw, training_curves
from zerotrain.host.trainer import Row
from zerotrain.spec.files import file_name, locked, make_folder, reason, write_atomic

__all__ = ["RUNS", "RunFolder", "latest_folder", "next_folder", "point_latest"]

#: Where numbered folders are, and the link to the latest run there.
RUNS = Path("runs")
LATEST = RUNS / "latest"


class RunFolder(RunPaths):
    """Where a run keeps its files.

    Attributes
    ----------
    rows : list of Row
        The log. Its file calls the metric by its name.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rows: list[Row] = []

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
        """Raise ``FileNotFoundError`` if there is no run, or several are below."""
        if self.seeds_path.exists() and not self.checkpoint_path.exists():
            raise FileNotFoundError(
                f"{self.path} holds the runs of several seeds: name the folder of one, as in "
                f"{self.path / 'seed-1'}"
            )
        for path in (self.checkpoint_path, self.config_path):
            self._there(path)

    def make(self) -> None:
        """Make the folder, if it is not there."""
        make_folder(self.path, "the run's folder")

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
        config = begun_extension(config, checkpoint) or config
        try:
            checkpoint.check({"config": config.to_dict()})
        except ValueError as error:
            raise ValueError(f"{self.config_path}: {error}") from None
        return config, checkpoint

    def best(self) -> tuple[Config, Checkpoint]:
        """Read configuration and best checkpoint: that of the step which first had the best metric
        on the validation part, where that was held out.

        Raises
        ------
        OSError
            If a file is missing.
        ValueError
            If nothing was held out, or the files do not belong together.
        """
        config, last = self.resume()
        row = None
        if config.training is not None:
            row = best_row(self.rows, config.training, metrics_of(config.network.loss)[0])
        if row is None:
            raise ValueError(f"The run in {self.path} has {NO_BEST}")
        if row.step == last.step:
            return config, last
        if not self.best_path.is_file():
            raise FileNotFoundError(
                f"{self.best_path} is missing: expected the state after step {row.step} there; "
                "start the run again"
            )
        found = Checkpoint.load(self.best_path)
        if (found.step, found.digest) != (row.step, row.digest):
            raise ValueError(
                f"{self.best_path} does not belong to the log beside it: expected the state after "
                f"step {row.step}, got one after step {found.step}; start the run again"
            )
        saved, now = map(without_extensions, (found.identity, last.identity))
        check_same(saved, now, str(self.best_path))
        return config, replace(found, identity=last.identity)

    def go_on(self, config: Config, checkpoint: Checkpoint) -> None:
        """Note that a run goes on with a configuration, in which it may have been extended.

        The checkpoint comes first: :meth:`state` completes what a crash cuts off here.
        """
        if Config.load(self.config_path) != config:
            self.summary_path.unlink(missing_ok=True)
            checkpoint.save(self.checkpoint_path)
            write_atomic(self.config_path, config.to_toml())

    def _there(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no run in {self.path}: expected {path.name} there, which every run has"
            )

    def save(self, checkpoint: Checkpoint) -> None:
        """Write log and checkpoint, in this order."""
        metric = metrics_of(Config.load(self.config_path).network.loss)[0]
        write_atomic(self.log_path, log_text(self.rows, metric))
        checkpoint.save(self.checkpoint_path)

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, just saved, as the best."""
        checkpoint.save(self.best_path)

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

    def draw(
        self, config: Config, metric: Metric, remark: str = "", output: Path | None = None
    ) -> None:
        """Write the curves, if they can be drawn, as far as the run has come; to another file than
        its own if asked.

        The title names the network, and ends with the remark.
        """
        if not can_draw():
            return
        assert config.training is not None
        title = f"{config.network.name}: {config.network.n_parameters} parameters"
        title += ", from given weights" if config.training.initial else ""
        title += f", {remark}" if remark else ""
        image = training_curves(self.rows, title, config.training.watched, metric)
        write_atomic(output or self.curves_path, image)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        write_atomic(self.summary_path, json.dumps(summary, indent=2) + "\n")


def next_folder(name: str, runs: Path = RUNS) -> RunFolder:
    """Make ``runs/name-1``, or with the number after the highest there is."""
    plain = file_name(name)
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
                f"Cannot make the run's folder {path}: {reason(error, path)}; name another one"
            ) from error


def point_latest(folder: RunFolder) -> str:
    """Let ``latest`` beside a folder lead to it; a sentence if that is not possible."""
    link = folder.path.parent / LATEST.name
    if folder.path == link:
        return ""
    fresh = link.with_name(f".latest-{os.getpid()}")
    why = "there is something else of that name"
    if link.is_symlink() or not link.exists():
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(folder.path.name)
            fresh.replace(link)
            return ""
        except OSError as error:
            why = reason(error, link)
    return f"{link} does not lead to this run ({why}): name its folder in later commands."


def latest_folder(runs: Path = RUNS) -> RunFolder:
    """The folder that ``latest`` leads to, by its own name."""
    link = runs / LATEST.name
    if not link.is_dir():
        raise FileNotFoundError(
            f"There is no latest run, {link}: name a run's folder with --run-folder"
        )
    return RunFolder(runs / link.readlink() if link.is_symlink() else link)
