"""``zerotrain train --seeds``: one run for each seed, resumable as a whole."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from zerotrain.cli.compare import draw_comparison
from zerotrain.cli.train import DIVERGED, INTERRUPTED, Ways, announce, run_training
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.data.dataset import Dataset
from zerotrain.host.events import require_tensorboard
from zerotrain.host.folder import RUNS, RunFolder, next_folder, point_latest
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.plots import curves_note
from zerotrain.host.seeds import SeedRuns, Standing, runs_in, with_seed
from zerotrain.host.session import Session
from zerotrain.host.start import load_start

__all__ = ["resume_seeds", "train_seeds"]


def train_seeds(
    console: Console, config: Config, seeds: Sequence[int], folder: RunFolder | None, ways: Ways
) -> int:
    """Train a configuration with every seed, in ``seed-1``, ``seed-2``, ... of the folder.

    Returns
    -------
    int
        Exit code: of the runs' codes the first that is not 0.
    """
    if config.training is None:
        raise ValueError(
            f"Configuration {config.network.name} has no [training] section: seeds are for one"
        )
    if folder is not None and not ways.force:
        folder.check_free()
    if ways.tensorboard:
        require_tensorboard()
    session, dataset = Session.of(config), load_for(config, ways.data)
    dataset.check(config.network)
    start = load_start(config, session.chip.formats)
    announce(console, session, dataset, start, ways)
    with session.trainer(ways.kind, dataset, start=start, announce=console.print):
        pass  # refuses what cannot be trained, before anything goes
    folder = folder or next_folder(f"{config.network.name}-seeds")
    folder.make()
    runs = SeedRuns(folder)
    with folder.locked():
        runs.begin(with_seed(config, seeds[0]), seeds, force=ways.force)
        return _train_all(console, runs, dataset, ways)


def resume_seeds(
    console: Console, folder: RunFolder, ways: Ways, *, extend: int | None = None
) -> int:
    """Go on with the runs of :func:`train_seeds` that are not finished, or extend all."""
    with folder.locked():
        runs = SeedRuns(folder)
        if ways.tensorboard:
            require_tensorboard()
        dataset = load_for(runs.load()[0], ways.data)
        if extend is not None:
            runs.extend(extend)
        announce(console, Session.of(runs.load()[0]), dataset, None, ways)
        return _train_all(console, runs, dataset, ways)


def _train_all(console: Console, runs: SeedRuns, dataset: Dataset, ways: Ways) -> int:
    config, seeds = runs.load()
    console.print(f"Folder of {len(seeds)} runs: {runs.path}", soft_wrap=True)
    if runs.path.parent == RUNS and (sentence := point_latest(runs.folder)):
        console.print(sentence, soft_wrap=True)
    codes: dict[int, int] = {}
    try:
        for number, seed in enumerate(seeds, 1):
            standing = runs.standing(config, seed)
            if standing != Standing.FINISHED:
                console.print(f"Seed {seed}, {number} of {len(seeds)}:")
                codes[seed] = _train(console, runs, seed, standing, dataset, ways)
            if codes.get(seed) == INTERRUPTED:
                return INTERRUPTED
    except KeyboardInterrupt:
        command = ways.resume(runs.path)
        console.print(f"Interrupted; continue with: {command}", soft_wrap=True)
        return INTERRUPTED
    found = runs.finish(config, seeds)
    lost = [s for s, code in codes.items() if code == DIVERGED and s not in found["finished"]]
    for seed in lost:
        console.print(f"The training with seed {seed} diverged: it counts for nothing here.")
    if lost:
        command = ways.resume(runs.path, diverged=True)
        console.print(f"Continue nevertheless with: {command}", soft_wrap=True)
    if found["finished"]:
        _show(console, runs, found, metrics_of(config.network.loss, dataset.scale.unit))
    return next((code for code in codes.values() if code), 0)


def _train(
    console: Console, runs: SeedRuns, seed: int, standing: Standing, dataset: Dataset, ways: Ways
) -> int:
    """Train, resume or extend a seed's run; its exit code."""
    config, run = with_seed(runs.load()[0], seed), runs.run(seed)
    if standing == Standing.ABSENT:
        # What may be there has no checkpoint, so nothing is lost.
        ways = replace(ways, force=True)
        return run_training(console, config, run, ways, dataset=dataset, within=runs.path)
    extensions = config.training.extensions if config.training else ()
    extend = extensions[-1] if standing == Standing.SHORT else None
    return run_training(console, None, run, ways, extend=extend, dataset=dataset, within=runs.path)


def _show(
    console: Console, runs: SeedRuns, found: dict[str, Any], metrics: Sequence[Metric]
) -> None:
    """A table of the finished runs, and their curves."""
    seeds, part = found["finished"], found["measured"]
    table = Table("seed", *(f"{part} {metric.head}" for metric in metrics))
    columns = [found[metric.key] for metric in metrics]
    for index, seed in enumerate(seeds):
        values = (c["values"][index] for c in columns)
        table.add_row(str(seed), *(m.cell([v]) for m, v in zip(metrics, values, strict=True)))
    table.add_section()
    table.add_row("mean", *(m.cell(c["values"]) for m, c in zip(metrics, columns, strict=True)))
    for key in ("best", "worst"):
        cells = (
            f"{m.cell([c[key]])} (seed {c[f'{key}_seed']})"
            for m, c in zip(metrics, columns, strict=True)
        )
        table.add_row(key, *cells)
    console.print(table)
    draw_comparison(runs_in(runs.folder), runs.folder.curves_path)
    console.print(
        f"{len(seeds)} of {len(runs.load()[1])} runs finished; ± is the standard deviation of a "
        f"sample. Figures: {runs.folder.seeds_path}. {curves_note(runs.folder.curves_path)}",
        soft_wrap=True,
    )
