"""``zerotrain train`` and ``zerotrain evaluate``."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from zerotrain.cli.display import display
from zerotrain.config.config import Config
from zerotrain.data import load
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.digest import RunningHash
from zerotrain.host.folder import RunFolder
from zerotrain.host.metric import Measurement
from zerotrain.host.session import ChipKind, Session, summary, train
from zerotrain.host.trainer import Trainer
from zerotrain.host.verify import Verification, verify

__all__ = ["INTERRUPTED", "evaluate_run", "run_training"]

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
    folder_path: Path,
    kind: ChipKind,
    *,
    check: bool,
    data: Path | None,
    timeout: float,
) -> int:
    """Train a configuration, or resume the run in a folder if there is none.

    Returns
    -------
    int
        Exit code: 0, 1 if the golden model differs, 130 if interrupted.
    """
    folder = RunFolder(folder_path)
    checkpoint: Checkpoint | None = None
    if config is None:
        config, checkpoint = folder.resume()
    session = Session.of(config)
    dataset = load(session.training.dataset, data)
    dataset.check(config.network)
    watched = "validation" if session.training.hold_out_validation else "test"
    console.print(
        f"{config.network.name}: {config.network.n_parameters} parameters, {kind} chip with "
        f"{session.chip.lanes} lanes, up to {session.training.max_steps} steps of "
        f"{session.training.batch} samples, in {folder_path}",
        soft_wrap=True,
    )
    for sentence in dataset.clipping(session.chip.formats):
        console.print(sentence, soft_wrap=True)
    with session.trainer(kind, dataset, timeout=timeout, announce=console.print) as trainer:
        if checkpoint is None:
            folder.begin(config)
        else:
            trainer.restore(checkpoint)
            console.print(f"Resuming after step {trainer.step}.")
        with _interruptible() as stop, display(console, watched, trainer.metric) as observe:
            complete = train(session, trainer, folder, stop=stop.is_set, observe=observe)
        if not complete:
            console.print(
                f"Interrupted after step {trainer.step}; continue with: zerotrain train --resume "
                f"--chip {kind} --run-folder {folder_path}",
                soft_wrap=True,
            )
            return INTERRUPTED
        test = trainer.measure(dataset.test)
        verification = _verify(console, session, trainer, folder) if check else None
        values = summary(session, trainer, kind, test=test, verification=verification)
        title = f"{config.network.name}: {config.network.n_parameters} parameters, {kind} chip"
        folder.finish(values, title, watched, trainer.metric)
        _report(console, trainer, test, folder)
    if verification is not None:
        console.print(str(verification), soft_wrap=True)
        return 0 if verification.equal else 1
    return 0


def _verify(
    console: Console, session: Session, trainer: Trainer, folder: RunFolder
) -> Verification:
    console.print("Repeating the run on the golden model ...")
    with session.trainer(ChipKind.GOLDEN, trainer.dataset) as golden:
        golden.hash = RunningHash(state_every=trainer.hash.state_every)
        return verify(golden, [row.digest for row in folder.rows])


def _report(console: Console, trainer: Trainer, test: Measurement, folder: RunFolder) -> None:
    counters = trainer.counters
    cycles = counters.rge_cycles + counters.cge_cycles
    console.print(
        f"Test {test.show()} after {trainer.step} steps in {counters.seconds:.1f} s"
        + (f", {cycles:,} cycles" if cycles else "")
        + f". Curves: {folder.curves_path}",
        soft_wrap=True,
    )


def evaluate_run(console: Console, folder_path: Path, kind: ChipKind, data: Path | None) -> None:
    """Measure a run's parameters on the chip, on every part of the data."""
    folder = RunFolder(folder_path)
    if not folder.checkpoint_path.is_file():
        raise FileNotFoundError(
            f"There is no run in {folder_path}: expected {folder.checkpoint_path.name} there"
        )
    checkpoint = Checkpoint.load(folder.checkpoint_path)
    session = Session.of(Config.load(folder.config_path))
    dataset = load(session.training.dataset, data)
    with session.trainer(kind, dataset, announce=console.print) as trainer:
        trainer.restore(checkpoint)
        for name in ("training", "validation", "test"):
            found = trainer.measure(getattr(dataset, name))
            result = found.evaluation
            counts = trainer.driver.network.loss.record.counts_correct
            samples = f"{result.correct} of {result.count}" if counts else f"{result.count} samples"
            console.print(
                f"{name:10}  {found.show(exact=True)} ({samples})  loss {result.mean_loss:.4f}",
                soft_wrap=True,
            )
