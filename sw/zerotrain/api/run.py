"""A training run: its log, its parameters, and what can be done with them."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zerotrain.api.prediction import Prediction, predict
from zerotrain.config.config import Config
from zerotrain.config.training import Training
from zerotrain.data import load_for
from zerotrain.data.dataset import Dataset, Split
from zerotrain.exchange.export import export_parameters
from zerotrain.exchange.fit import Start
from zerotrain.exchange.parameters import Parameters, real
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.driver import STEP_TIMEOUT
from zerotrain.host.extension import extended
from zerotrain.host.folder import RunFolder
from zerotrain.host.health import Health
from zerotrain.host.log import NO_BEST
from zerotrain.host.metric import Measurement
from zerotrain.host.run import Unsaved, beginning, conclude, conduct, draw, remarks
from zerotrain.host.session import ChipKind, Progress, Session
from zerotrain.host.trainer import Row

__all__ = ["Each", "Run", "begin"]

#: Is given every row of the log; True stops.
Each = Callable[[Row], bool | None]


@dataclass(frozen=True, eq=False)
class Run:
    """A training that is complete or can be resumed.

    Attributes
    ----------
    data : Dataset
    rows : tuple of Row
        The log: the measurement before the first step, then every step.
    checkpoint : Checkpoint
        State of chip and schedule after the last step.
    complete : bool
        Whether the schedule is done.
    measured : Measurement
        What the chip found on the part of the data that the run watches, normally the test part.
    divergence : str
        Why the training diverged, as a sentence; normally empty.
    notes : tuple of str
        What was rounded or clipped, and what went wrong, a sentence each.
    folder : Path or None
        Where the run's files are.
    best_checkpoint : Checkpoint or None
        With the best metric on the validation part, if that was held out.
    """

    session: Session
    data: Dataset
    rows: tuple[Row, ...]
    checkpoint: Checkpoint
    complete: bool
    measured: Measurement
    divergence: str = ""
    notes: tuple[str, ...] = ()
    folder: Path | None = None
    best_checkpoint: Checkpoint | None = None

    @classmethod
    def load(cls, folder: str | Path, data: Dataset | None = None) -> "Run":
        """The run in a folder, of the command line or of :meth:`Design.train`.

        ``data`` is needed if the run was trained on arrays.
        """
        log = RunFolder(Path(folder))
        config, checkpoint = log.resume()
        session = Session.of(config)
        found = data or load_for(session.config)
        with session.trainer(ChipKind.GOLDEN, found) as trainer:
            trainer.restore(checkpoint)
            health = Health.of(trainer)
            for row in log.rows:
                health.see(row)
            measured = trainer.measure(getattr(found, trainer.watched))
            complete = trainer.schedule.next() is None
        return cls(
            session, found, tuple(log.rows), checkpoint, complete, measured, health.divergence,
            tuple(health.summary()), log.path, _best(log, session.training),
        )  # fmt: skip

    @property
    def config(self) -> Config:
        """The run's own configuration, with the data and weights that it was given."""
        return self.session.config

    @property
    def raw(self) -> Parameters:
        """The parameters as the chip holds them, integers."""
        return Parameters(self.config.network, self.checkpoint.theta)

    @property
    def real(self) -> Parameters:
        """The numbers that they stand for."""
        return real(self.config.network, self.session.chip.formats, self.checkpoint.theta)

    @property
    def metric(self) -> float:
        """Accuracy, or root mean squared error in the unit of the targets, as measured."""
        return self.measured.main

    @property
    def loss(self) -> float:
        """Loss of a sample, as measured."""
        return self.measured.evaluation.mean_loss

    def predict(self, x: ArrayLike) -> Prediction:
        """What the chip computes for samples ``[n, n_inputs]``, scaled as those of the data are."""
        values: NDArray[np.float64] = np.asarray(x, np.float64)
        return predict(self.session, self.checkpoint.theta, values, self.data.scale)

    def measure(self, split: Split) -> Measurement:
        """Metric and loss of any samples, e.g. ``run.data.validation``."""
        with self.session.trainer(ChipKind.GOLDEN, self.data) as trainer:
            trainer.restore(self.checkpoint)
            return trainer.measure(split)

    def best(self) -> "Run":
        """The run as it was when its metric on the validation part was best; it has no folder.

        Raises
        ------
        ValueError
            If the validation part was not held out.
        """
        if self.best_checkpoint is None:
            raise ValueError(f"The run has {NO_BEST}")
        checkpoint = replace(self.best_checkpoint, identity=self.checkpoint.identity)
        with self.session.trainer(ChipKind.GOLDEN, self.data) as trainer:
            trainer.restore(checkpoint)
            measured = trainer.measure(getattr(self.data, trainer.watched))
            complete = trainer.schedule.next() is None
        return replace(
            self, rows=self.rows[: checkpoint.step + 1], checkpoint=checkpoint, complete=complete,
            measured=measured, folder=None,
        )  # fmt: skip

    def resume(self, **options: Any) -> "Run":
        """Go on where the run stopped; ends with the same bits as one that never did.

        Takes the options ``chip``, ``each``, ``keep_going``, ``timeout`` and ``say`` of
        :meth:`Design.train`.
        """
        return self._go_on(None, options)

    def extend(self, steps: int, **options: Any) -> "Run":
        """Add steps to a complete run, at its final step size (docs/runs.md).

        Takes the options of :meth:`resume`.
        """
        return self._go_on(steps, options)

    def _go_on(self, extend: int | None, options: dict[str, Any]) -> "Run":
        log: RunFolder | Unsaved = Unsaved(list(self.rows), self.checkpoint, self.best_checkpoint)
        config, checkpoint = self.config, self.checkpoint
        with ExitStack() as stack:
            if self.folder is not None:
                log = RunFolder(self.folder)
                log.check_run()
                stack.enter_context(log.locked())
                config, checkpoint = log.resume()
            if extend is not None:
                config, checkpoint = extended(config, checkpoint, extend)
            session = replace(self.session, config=config)
            again = _carry(session, self.data, log, checkpoint, **options)
        return replace(again, notes=(*self.notes, *again.notes))

    def export(self, path: str | Path, *, dense: bool = False, force: bool = False) -> None:
        """Write the file of ``zerotrain export``."""
        last = self.checkpoint
        export_parameters(
            Path(path), self.config.network, self.session.chip.formats, last.theta,
            identity=last.identity, step=last.step, dense=dense, force=force,
        )  # fmt: skip


def _best(log: RunFolder | Unsaved, training: Training) -> Checkpoint | None:
    """The best checkpoint, if the validation part was held out."""
    if isinstance(log, Unsaved):
        return log.best
    return log.best()[1] if training.hold_out_validation else None


def begin(
    session: Session, data: Dataset, start: Start | None, *, folder: str | Path | None, force: bool,
    **options: Any,
) -> Run:  # fmt: skip
    """Train from the first step; options are those of :meth:`Design.train`."""
    log = Unsaved() if folder is None else RunFolder(Path(folder))
    if isinstance(log, RunFolder) and not force:
        log.check_free()
    return _carry(session, data, log, None, start=start, force=force, **options)


def _carry(
    session: Session,
    data: Dataset,
    log: RunFolder | Unsaved,
    checkpoint: Checkpoint | None,
    *,
    chip: str = "golden",
    start: Start | None = None,
    force: bool = False,
    each: Each | None = None,
    keep_going: bool = False,
    timeout: float = STEP_TIMEOUT,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Train from the beginning or from a checkpoint, until the end or until ``each`` stops."""
    if chip not in list(ChipKind):
        raise ValueError(f"chip is {' or '.join(map(repr, map(str, ChipKind)))}, not {chip!r}")
    kind, notes, asked = ChipKind(chip), list[str](), list[bool]()

    def note(sentence: str) -> None:
        notes.append(sentence)
        if say is not None:
            say(sentence)

    def observe(progress: Progress) -> None:
        if each is not None and each(progress.row):
            asked.append(True)

    if checkpoint is None:
        for sentence in remarks(session, data, start):
            note(sentence)
    with ExitStack() as stack:
        found = session.trainer(kind, data, start=start, timeout=timeout, announce=say)
        trainer = stack.enter_context(found)
        if checkpoint is not None:
            trainer.restore(checkpoint)
        elif isinstance(log, RunFolder):
            stack.enter_context(beginning(log, session.config, force=force))
        complete, health = conduct(
            session, trainer, log,
            stop=lambda: bool(asked), observe=observe, say=note, keep_going=keep_going,
        )  # fmt: skip
        if complete:
            measured, _ = conclude(session, trainer, log, kind, health=health)
        else:
            measured = trainer.measure(getattr(data, trainer.watched))
            draw(session, trainer, log, kind)
        return Run(
            session, data, tuple(log.rows), trainer.checkpoint(), complete, measured,
            health.divergence, tuple(notes),
            log.path if isinstance(log, RunFolder) else None, _best(log, session.training),
        )  # fmt: skip
