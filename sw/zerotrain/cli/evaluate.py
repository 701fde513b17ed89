"""``zerotrain evaluate``."""

from pathlib import Path

from rich.console import Console

from zerotrain.data import load_for
from zerotrain.host.folder import RunFolder, latest_folder
from zerotrain.host.seeds import runs_in
from zerotrain.host.session import ChipKind, Session

__all__ = ["evaluate_runs"]


def evaluate_runs(
    console: Console,
    folder: RunFolder | None,
    kind: ChipKind,
    data: Path | None,
    *,
    best: bool,
    timeout: float,
) -> None:
    """Measure a run's parameters on the chip, on every part of the data: the last ones, or those
    that were best on the validation part. A folder of several seeds stands for its runs."""
    for run in runs_in(folder or latest_folder()):
        _evaluate(console, run, kind, data, best=best, timeout=timeout)


def _evaluate(
    console: Console,
    folder: RunFolder,
    kind: ChipKind,
    data: Path | None,
    *,
    best: bool,
    timeout: float,
) -> None:
    config, checkpoint = folder.best() if best else folder.state()
    session = Session.of(config)
    dataset = load_for(config, data)
    dataset.check(config.network)
    chip = session.trainer(kind, dataset, timeout=timeout, announce=console.print)
    with chip as trainer:
        trainer.restore(checkpoint)
        held_out = session.training.hold_out_validation
        chosen = ", the best on the validation part" if best else ""
        parts = "training part" if held_out else "training and validation part"
        console.print(
            f"{folder.path}: {config.network.name}, seed {session.training.seed}, after step "
            f"{trainer.step}{chosen}; trained on the {parts}",
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
