"""Runs that differ in nothing but their seed, each in a folder of its own below one folder.

The folder's file ``seeds.json`` has the configuration and the seeds from the start, so that all can
be resumed as one, and what was found at the end.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from zerotrain.config.config import Config
from zerotrain.host.extension import before_extension, is_finished, with_extension
from zerotrain.host.folder import RunFolder
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.version import version
from zerotrain.spec.files import write_atomic

__all__ = [
    "SeedRuns",
    "Standing",
    "is_one_of_several",
    "parse_seeds",
    "runs_in",
    "statistics",
    "with_seed",
]

#: Seeds of one command.
_MOST = 1000


class Standing(Enum):
    """How far a seed's run has come; short is one that lacks the last extension of all runs."""

    ABSENT = auto()
    BEGUN = auto()
    SHORT = auto()
    FINISHED = auto()


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds written like ``1 2 3``, ``1,2,3`` or ``1-3``.

    Raises
    ------
    ValueError
        If they are not, are more than 1,000, or one occurs twice.
    """
    seeds: list[int] = []
    for word in text.replace(",", " ").split():
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < 1 << 32:
            raise ValueError(
                f"Seeds are written like 1 2 3, or 1-3, and are 0 to 2**32 - 1, got {word[:40]!r}"
            )
        if len(seeds) + last - first >= _MOST:
            raise ValueError(f"Up to {_MOST} seeds are trained in one go, {text[:40]!r} are more")
        seeds += range(first, last + 1)
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice or not seeds:
        raise ValueError(
            f"Every seed is trained once: expected each one time, got {twice[0]} again"
            if twice
            else "Seeds are written like 1 2 3, or 1-3, got none"
        )
    return tuple(seeds)


class SeedRuns:
    """The folder of several seeds' runs.

    Attributes
    ----------
    folder : RunFolder
        For its lock, and to refuse what is there already. It holds no run itself.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        return self.folder.path

    def run(self, seed: int) -> RunFolder:
        """Folder of a seed's run."""
        return RunFolder(self.path / f"seed-{seed}")

    def begin(self, config: Config, seeds: Sequence[int], *, force: bool = False) -> None:
        """Note what is to be trained; with ``force`` the files of earlier runs go."""
        if not force:
            self.folder.check_free()
        earlier = [self.folder]
        if self.folder.seeds_path.exists():
            earlier += [run for run in map(self.run, self.load()[1]) if run.path.is_dir()]
        for run in earlier:
            for path in run.files:
                path.unlink(missing_ok=True)
        self._write(config, seeds, None)

    def load(self) -> tuple[Config, tuple[int, ...]]:
        """The configuration, with the first seed, and the seeds.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        path = self.folder.seeds_path
        try:
            values = json.loads(path.read_text("utf-8"))
            seeds = parse_seeds(" ".join(str(seed) for seed in values["seeds"]))
            config = Config.from_dict(values["config"])
            if config.training is None:
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            raise ValueError(f"{path} is damaged: start the runs again") from None
        return config, seeds

    def extend(self, steps: int) -> None:
        """Note that every run is extended (:func:`~zerotrain.host.extension.extended`).

        Raises
        ------
        ValueError
            If one is not finished.
        """
        config, seeds = self.load()
        for seed in seeds:
            if self.standing(config, seed) != Standing.FINISHED:
                raise ValueError(
                    f"Only finished runs can be extended, and that of seed {seed} in {self.path} "
                    "is not: finish it first, with --resume alone"
                )
        self._write(with_extension(config, steps), seeds, None)

    def standing(self, config: Config, seed: int) -> Standing:
        """How far a seed's run has come.

        Raises
        ------
        ValueError
            If there is another run in its folder.
        """
        run, config = self.run(seed), with_seed(config, seed)
        if not run.checkpoint_path.exists():
            return Standing.ABSENT
        found, checkpoint = run.state()
        if found == before_extension(config):
            return Standing.SHORT
        try:
            checkpoint.check({"config": config.to_dict()})
        except ValueError as error:
            raise ValueError(f"{run.path}: {error}") from None
        complete = (
            run.summary_path.exists()
            and is_finished(config, checkpoint)
            and run.summary().get("running_hash") == checkpoint.digest
        )
        return Standing.FINISHED if complete else Standing.BEGUN

    def finish(self, config: Config, seeds: Sequence[int]) -> dict[str, Any]:
        """Write and return :func:`statistics` of the runs that are finished."""
        done = {
            seed: self.run(seed).summary()
            for seed in seeds
            if self.standing(config, seed) == Standing.FINISHED
        }
        found = statistics(done, metrics_of(config.network.loss))
        self._write(config, seeds, found)
        return found

    def _write(self, config: Config, seeds: Sequence[int], results: Any) -> None:
        values = {
            "zerotrain": version(),
            "seeds": list(seeds),
            "config": config.to_dict(),
            "results": results,
        }
        write_atomic(self.folder.seeds_path, json.dumps(values, indent=2) + "\n")


def with_seed(config: Config, seed: int) -> Config:
    """The configuration with another seed."""
    assert config.training is not None
    return replace(config, training=replace(config.training, seed=seed))


def statistics(
    summaries: Mapping[int, Mapping[str, Any]], metrics: Sequence[Metric]
) -> dict[str, Any]:
    """What runs found together, from their summaries by seed.

    Returns
    -------
    dict
        ``measured``, the part of the data; ``finished``, the seeds; and for each metric, by its
        name in files: ``values`` in the order of the seeds, ``mean``, ``standard_deviation`` (of a
        sample; None of a single run), ``best`` and ``worst`` with ``best_seed`` and ``worst_seed``.
    """
    seeds = list(summaries)
    found: dict[str, Any] = {"measured": None, "finished": seeds}
    if not seeds:
        return found
    part = found["measured"] = summaries[seeds[0]]["measured"]
    for metric in metrics:
        values = [float(summaries[seed][f"{part}_{metric.key}"]) for seed in seeds]
        worst = values.index(metric.worst(values))
        best = values.index(max(values) if metric.higher_is_better else min(values))
        found[metric.key] = {
            "values": values,
            "mean": fmean(values),
            "standard_deviation": stdev(values) if len(values) > 1 else None,
            "best": values[best],
            "best_seed": seeds[best],
            "worst": values[worst],
            "worst_seed": seeds[worst],
        }
    return found


def is_one_of_several(folder: RunFolder) -> bool:
    """Whether a run is a seed's, among those of other seeds."""
    return RunFolder(folder.path.resolve().parent).seeds_path.exists()


def runs_in(folder: RunFolder) -> list[RunFolder]:
    """The folder itself, or those of its seeds' runs that have begun."""
    if not folder.seeds_path.exists():
        return [folder]
    runs = SeedRuns(folder)
    found = [run for run in map(runs.run, runs.load()[1]) if run.checkpoint_path.exists()]
    if not found:
        raise FileNotFoundError(f"No run of {folder.path} has begun: train with --resume first")
    return found
