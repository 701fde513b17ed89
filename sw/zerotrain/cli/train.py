"""``zerotrain train``: one run."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from zerotrain.cli.display import display
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.data.dataset import Dataset
from zerotrain.exchange.fit import Start
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.digest import RunningHash
from zerotrain.host.driver import STEP_TIMEOUT
from zerotrain.host.events import events, require_tensorboard
from zerotrain.host.extension import extended
from zerotrain.host.folder import RUNS, RunFolder, latest_folder, next_folder, point_latest
from zerotrain.host.log import best_row
from zerotrain.host.metric import Measurement
from zerotrain.host.plots import curves_note
from zerotrain.host.run import beginning, conclude, conduct, draw, remarks
from zerotrain.host.session import ChipKind, Progress, Session
from zerotrain.host.start import load_start
from zerotrain.host.trainer import Row, Trainer
from zerotrain.host.verify import Verification, verify

__all__ = ["DIVERGED", "INTERRUPTED", "Ways", "announce", "run_training"]

#: Exit code after a training that diverged.
DIVERGED = 3
#: Exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


@dataclass(frozen=True)
class Ways:
    """How to train, whatever is trained.

    Attributes
    ----------
    kind : ChipKind
        The chip.
    check : bool
        Repeat the run on the golden model.
    data : Path or None
        Directory with the data set's files.
    timeout : float
        Seconds that one step may take.
    force : bool
        Overwrite a run that is in the folder.
    keep_going : bool
        Go on although the training diverges.
    tensorboard : bool
        Write event files.
    """

    kind: ChipKind
    check: bool = False
    data: Path | None = None
    timeout: float = STEP_TIMEOUT
    force: bool = False
    keep_going: bool = False
    tensorboard: bool = False

    def resume(self, folder: Path, *, diverged: bool = False) -> str:
        """The command that goes on with a run."""
        words = ["zerotrain", "train", "--resume", "--chip", str(self.kind)]
        words += ["--run-folder", str(folder), *(["--data", str(self.data)] if self.data else [])]
        words += ["--timeout", f"{self.timeout:g}"] if self.timeout != STEP_TIMEOUT else []
        for name, given in (
            ("--verify", self.check),
            ("--tensorboard", self.tensorboard),
            ("--keep-going", self.keep_going or diverged),
        ):
            words += [name] if given else []
        return shlex.join(words)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a termination request sets; a second one stops at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, ask) for s in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def run_training(
    console: Console,
    config: Config | None,
    folder: RunFolder | None,
    ways: Ways,
    *,
    extend: int | None = None,
    dataset: Dataset | None = None,
    within: Path | None = None,
) -> int:
    """Train a configuration, or resume a run if there is none.

    Parameters
    ----------
    folder : RunFolder or None
        Where the run's files are; by default in a new folder, or in that of the latest run.
    extend : int, optional
        Steps by which the resumed run, a finished one, is extended.
    dataset : Dataset, optional
        The data, where they are loaded already.
    within : Path, optional
        The folder of several seeds' runs, announced already, to which this one belongs.

    Returns
    -------
    int
        Exit code: 0, 1 if the golden model differs, 3 if the training diverged, 130 if interrupted.
    """

    def say(sentence: str) -> None:
        console.print(sentence, soft_wrap=True)

    with ExitStack() as stack:
        checkpoint: Checkpoint | None = None
        if config is None:
            folder = folder or latest_folder()
            folder.check_run()
            stack.enter_context(folder.locked())
            config, checkpoint = folder.resume()
            if extend is not None:
                config, checkpoint = extended(config, checkpoint, extend)
        elif folder is not None and not ways.force:
            folder.check_free()
        if ways.tensorboard:
            require_tensorboard()
        session = Session.of(config)
        dataset = dataset or load_for(config, ways.data)
        dataset.check(config.network)
        # A run that goes on needs its given weights only to be repeated: then, before it does.
        start = load_start(config, session.chip.formats) if ways.check or not checkpoint else None
        if within is None:
            announce(console, session, dataset, None if checkpoint else start, ways)
        trainer = stack.enter_context(
            session.trainer(
                ways.kind, dataset, start=start, timeout=ways.timeout, announce=console.print
            )
        )
        # All that can be checked has been: only now files of the folder may change.
        if checkpoint is None:
            folder = folder or next_folder(config.network.name)
            stack.enter_context(beginning(folder, config, force=ways.force))
        else:
            assert folder is not None
            trainer.restore(checkpoint)
        _begun(console, folder, trainer, resumed=checkpoint is not None, extend=extend)
        with (
            _interruptible() as stop,
            display(console, trainer.watched, trainer.metric) as show,
            _recorder(folder, trainer, ways) as record,
        ):

            def observe(progress: Progress) -> None:
                show(progress)
                record(progress.row)

            complete, health = conduct(
                session, trainer, folder,
                stop=stop.is_set, observe=observe, say=say, keep_going=ways.keep_going,
            )  # fmt: skip
        diverged = bool(health.divergence) and not ways.keep_going
        if not complete:
            command = ways.resume(within or folder.path, diverged=diverged)
            word = "Stopped" if diverged else "Interrupted"
            # Other seeds go on; their end says how this one does.
            hint = "." if within and diverged else f"; continue with: {command}"
            say(f"{word} after step {trainer.step}{hint}")
            draw(session, trainer, folder, ways.kind)
            return DIVERGED if diverged else INTERRUPTED
        check = partial(_verify, console, session, trainer) if ways.check else None
        found, verification = conclude(
            session, trainer, folder, ways.kind, health=health, verify=check
        )
        for sentence in health.summary():
            say(sentence)
        _report(console, trainer, found, folder)
    if verification is not None:
        say(str(verification))
    if diverged:
        say(health.divergence)
        return DIVERGED
    return 0 if verification is None or verification.equal else 1


def announce(
    console: Console, session: Session, dataset: Dataset, start: Start | None, ways: Ways
) -> None:
    """Say what is about to be trained, and what a user must know of it before."""
    network, training = session.config.network, session.training
    console.print(
        f"{network.name}: {network.n_parameters} parameters, {ways.kind} chip with "
        f"{session.chip.lanes} lanes, up to {training.max_steps} steps of {training.batch} samples",
        soft_wrap=True,
    )
    for sentence in remarks(session, dataset, start):
        console.print(sentence, soft_wrap=True)


def _begun(
    console: Console, folder: RunFolder, trainer: Trainer, *, resumed: bool, extend: int | None
) -> None:
    """Say where the run is, and let later commands find it."""
    if extend is not None:
        stage = trainer.training.fine or trainer.training.rge
        assert stage is not None
        sentence = (
            f"Extending {folder.path} after step {trainer.step} by {extend} steps at its final "
            f"step size, {stage.final_step_size:g}: not the run that a longer schedule gives."
        )
    elif resumed:
        sentence = f"Resuming {folder.path} after step {trainer.step}."
    else:
        sentence = f"Run folder: {folder.path}"
    console.print(sentence, soft_wrap=True)
    if folder.path.parent == RUNS and (sentence := point_latest(folder)):
        console.print(sentence, soft_wrap=True)


@contextmanager
def _recorder(folder: RunFolder, trainer: Trainer, ways: Ways) -> Iterator[Callable[[Row], None]]:
    """What writes event files, if any are asked for."""
    if not ways.tensorboard:
        yield lambda row: None
        return
    with events(folder, folder.rows, trainer.watched, trainer.metric) as record:
        yield record


def _verify(
    console: Console, session: Session, trainer: Trainer, digests: Sequence[str]
) -> Verification:
    console.print("Repeating the run on the golden model ...")
    with session.trainer(ChipKind.GOLDEN, trainer.dataset, start=trainer.start) as golden:
        golden.hash = RunningHash(state_every=trainer.hash.state_every)
        return verify(golden, digests)


def _report(console: Console, trainer: Trainer, found: Measurement, folder: RunFolder) -> None:
    counters = trainer.counters
    cycles = counters.rge_cycles + counters.cge_cycles
    part = f"{trainer.watched[0].upper()}{trainer.watched[1:]}"
    console.print(
        f"{part} {found.show()} on {found.evaluation.count:,} samples after {trainer.step} steps "
        f"in {counters.seconds:.1f} s"
        + (f", {cycles:,} cycles" if cycles else "")
        + f". {curves_note(folder.curves_path)}",
        soft_wrap=True,
    )
    best = best_row(folder.rows, trainer.training, trainer.metric)
    if best is not None and best.metric is not None:
        console.print(
            f"Best {trainer.watched} {trainer.metric.show(best.metric)}, after step {best.step}; "
            "zerotrain evaluate --best measures it.",
            soft_wrap=True,
        )
