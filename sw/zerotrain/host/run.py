"""A run from its first step to its summary, with or without a folder: what ``zerotrain train`` and
the Python API have in common."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from zerotrain.config.config import Config
from zerotrain.data.dataset import Dataset
from zerotrain.exchange.fit import Start
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.folder import RunFolder
from zerotrain.host.health import Health
from zerotrain.host.log import best_row
from zerotrain.host.metric import Measurement
from zerotrain.host.session import ChipKind, Progress, Session, summary, train
from zerotrain.host.settings import rounding
from zerotrain.host.start import start_sentences
from zerotrain.host.trainer import Row, Trainer
from zerotrain.host.verify import Verification

__all__ = ["Unsaved", "beginning", "conclude", "conduct", "draw", "remarks"]


@dataclass
class Unsaved:
    """The log of a run that leaves no files.

    Attributes
    ----------
    checkpoint, best : Checkpoint or None
        The newest, and the best.
    """

    rows: list[Row] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    best: Checkpoint | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in memory."""
        self.checkpoint = checkpoint

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in memory as the best."""
        self.best = checkpoint


def remarks(session: Session, dataset: Dataset, start: Start | None) -> Iterator[str]:
    """What a user must know before a run: of its data, what is clipped and rounded, its start."""
    formats = session.chip.formats
    yield from dataset.remarks
    yield from dataset.clipping(formats)
    yield from rounding(session.training, formats)
    if start is not None:
        yield from start_sentences(start, session.config, formats, session.plan.groups)


@contextmanager
def beginning(folder: RunFolder, config: Config, *, force: bool = False) -> Iterator[None]:
    """Start a new run in a folder, of which nobody else may be the owner meanwhile."""
    folder.make()
    with folder.locked():
        folder.begin(config, force=force)
        yield


def conduct(
    session: Session,
    trainer: Trainer,
    folder: RunFolder | Unsaved,
    *,
    stop: Callable[[], bool] = lambda: False,
    observe: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda sentence: None,
    keep_going: bool = False,
) -> tuple[bool, Health]:
    """Train to the end of the schedule, until ``stop`` says so, or until the training diverges.

    Parameters
    ----------
    folder : RunFolder or Unsaved
        Begun or resumed; the trainer is restored.
    observe : callable
        Is given every new step.
    say : callable
        Is given warnings, a sentence each.
    keep_going : bool
        Go on although the training diverges.

    Returns
    -------
    complete : bool
        Whether the schedule is done.
    health : Health
        Of all steps in the log.
    """
    if isinstance(folder, RunFolder) and folder.rows:
        folder.go_on(session.config, trainer.checkpoint())
    health = Health.of(trainer)
    for row in folder.rows:
        health.see(row)
    if health.divergence:
        say(health.divergence)

    def seen(progress: Progress) -> None:
        observe(progress)
        for sentence in health.see(progress.row):
            say(sentence)

    def stopped() -> bool:
        return stop() or (bool(health.divergence) and not keep_going)

    return train(session, trainer, folder, stop=stopped, observe=seen), health


def conclude(
    session: Session,
    trainer: Trainer,
    folder: RunFolder | Unsaved,
    kind: ChipKind,
    *,
    health: Health,
    verify: Callable[[Sequence[str]], Verification] | None = None,
) -> tuple[Measurement, Verification | None]:
    """Measure a complete run and write its summary and curves, if it has a folder.

    ``verify`` compares the run, of which it is given the running hashes, with another chip's.
    """
    found = trainer.measure(getattr(trainer.dataset, trainer.watched))
    verification = verify([row.digest for row in folder.rows]) if verify else None
    if isinstance(folder, RunFolder):
        values = summary(
            session, trainer, kind, found=found, health=health, verification=verification,
            best=best_row(folder.rows, trainer.training, trainer.metric),
        )  # fmt: skip
        draw(session, trainer, folder, kind)
        folder.finish(values)
    return found, verification


def draw(session: Session, trainer: Trainer, folder: RunFolder | Unsaved, kind: ChipKind) -> None:
    """Draw the curves of a run that has a folder, as far as it has come."""
    if isinstance(folder, RunFolder):
        complete = trainer.schedule.next() is None
        remark = f"{kind} chip" + ("" if complete else f", up to step {trainer.step}")
        folder.draw(session.config, trainer.metric, remark)
