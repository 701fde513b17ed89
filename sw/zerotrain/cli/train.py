"""``zerotrain train`` and ``zerotrain evaluate``."""

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from zerotrain.cli.display import display
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.digest import RunningHash
from zerotrain.host.folder import RUNS, RunFolder, latest_folder, next_folder, point_latest
from zerotrain.host.metric import Measurement
from zerotrain.host.plots import can_draw
from zerotrain.host.run import beginning, conclude, conduct, remarks
from zerotrain.host.session import ChipKind, Session
from zerotrain.host.start import load_start
from zerotrain.host.trainer import Trainer
from zerotrain.host.verify import Verification, verify
from zerotrain.spec.extras import advice

__all__ = ["DIVERGED", "INTERRUPTED", "evaluate_run", "run_training"]

#: Exit code after a training that diverged.
DIVERGED = 3
#: Exit code after Ctrl-C, as shells have it.
INTERRUPTED = 130


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
    kind: ChipKind,
    *,
    check: bool = False,
    data: Path | None = None,
    timeout: float = 120.0,
    force: bool = False,
    keep_going: bool = False,
) -> int:
    """Train a configuration, or resume a run if there is none.

    Parameters
    ----------
    folder : RunFolder or None
        Where the run's files are; by default in a new folder, or in that of the latest run.
    check : bool
        Repeat the run on the golden model.
    force : bool
        Overwrite a run that is in the folder.
    keep_going : bool
        Go on although the training diverges.

    Returns
    -------
    int
        Exit code: 0, 1 if the golden model differs, 3 if the training diverged, 130 if interrupted.
    """
    with ExitStack() as stack:
        checkpoint: Checkpoint | None = None
        if config is None:
            folder = folder or latest_folder()
            folder.check_run()
            stack.enter_context(folder.locked())
            config, checkpoint = folder.resume()
        elif folder is not None and not force:
            folder.check_free()
        session = Session.of(config)
        dataset = load_for(session.config, data)
        dataset.check(config.network)
        console.print(
            f"{config.network.name}: {config.network.n_parameters} parameters, {kind} chip with "
            f"{session.chip.lanes} lanes, up to {session.training.max_steps} steps of "
            f"{session.training.batch} samples",
            soft_wrap=True,
        )
        # A run that goes on needs its given weights only to be repeated: then, before it does.
        start = load_start(config, session.chip.formats) if check or not checkpoint else None
        for sentence in remarks(session, dataset, None if checkpoint else start):
            console.print(sentence, soft_wrap=True)
        chip = session.trainer(kind, dataset, start=start, timeout=timeout, announce=console.print)
        trainer = stack.enter_context(chip)
        if checkpoint is None:
            # All that can be checked has been: only now an earlier run in the folder may go.
            folder = folder or next_folder(config.network.name)
            stack.enter_context(beginning(folder, config, force=force))
        else:
            trainer.restore(checkpoint)
        assert folder is not None
        _begun(console, folder, trainer, resumed=checkpoint is not None)

        def say(sentence: str) -> None:
            console.print(sentence, soft_wrap=True)

        with _interruptible() as stop, display(console, trainer.watched, trainer.metric) as show:
            complete, health = conduct(
                session, trainer, folder,
                stop=stop.is_set, observe=show, say=say, keep_going=keep_going,
            )  # fmt: skip
        diverged = bool(health.divergence) and not keep_going
        if not complete:
            command = ["zerotrain", "train", "--resume", "--chip", str(kind)]
            command += ["--run-folder", str(folder.path), *(["--data", str(data)] if data else [])]
            command += ["--keep-going"] if diverged else []
            console.print(
                f"{'Stopped' if diverged else 'Interrupted'} after step {trainer.step}; continue "
                f"with: {shlex.join(command)}",
                soft_wrap=True,
            )
            return DIVERGED if diverged else INTERRUPTED
        found, verification = conclude(
            session, trainer, folder, kind,
            health=health, verify=partial(_verify, console, session, trainer) if check else None,
        )  # fmt: skip
        for sentence in health.summary():
            say(sentence)
        _report(console, trainer, found, folder)
    if verification is not None:
        console.print(str(verification), soft_wrap=True)
    if diverged:
        console.print(health.divergence, soft_wrap=True)
        return DIVERGED
    return 0 if verification is None or verification.equal else 1


def _begun(console: Console, folder: RunFolder, trainer: Trainer, *, resumed: bool) -> None:
    """Say where the run is, and let later commands find it."""
    console.print(
        f"Resuming {folder.path} after step {trainer.step}."
        if resumed
        else f"Run folder: {folder.path}",
        soft_wrap=True,
    )
    if folder.path.parent == RUNS and (sentence := point_latest(folder)):
        console.print(sentence, soft_wrap=True)


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
        + (f". Curves: {folder.curves_path}" if can_draw() else f". No curves: {advice('curves')}"),
        soft_wrap=True,
    )


def evaluate_run(
    console: Console, folder: RunFolder | None, kind: ChipKind, data: Path | None
) -> None:
    """Measure a run's parameters on the chip, on every part of the data."""
    folder = folder or latest_folder()
    config, checkpoint = folder.state()
    session = Session.of(config)
    dataset = load_for(session.config, data)
    dataset.check(config.network)
    with session.trainer(kind, dataset, announce=console.print) as trainer:
        trainer.restore(checkpoint)
        held_out = session.training.hold_out_validation
        console.print(
            f"{folder.path}: {config.network.name}, seed {session.training.seed}, after step "
            f"{trainer.step}; trained on the training {'' if held_out else 'and validation '}part",
            soft_wrap=True,
        )
        if dataset.legend:
            console.print(f"classes: {dataset.legend}", soft_wrap=True)
        for name in ("training", "validation", "test"):
            found = trainer.measure(getattr(dataset, name))
            result = found.evaluation
            counts = trainer.driver.network.loss.record.counts_correct
            samples = f"{result.correct} of {result.count}" if counts else f"{result.count} samples"
            console.print(
                f"{name:10}  {found.show(exact=True)} ({samples})  loss {result.mean_loss:.4f}",
                soft_wrap=True,
            )
