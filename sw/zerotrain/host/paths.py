"""Names of a run's files."""

from pathlib import Path

__all__ = ["RunPaths"]


class RunPaths:
    """The files of a run, whether they are there or not.

    Parameters
    ----------
    path : Path
        The run's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def holds_runs(self) -> bool:
        """Whether a run is there, or several seeds' runs."""
        return self.checkpoint_path.exists() or self.seeds_path.exists()

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
    def best_path(self) -> Path:
        return self.path / "best.ztc"

    @property
    def curves_path(self) -> Path:
        return self.path / "curves.png"

    @property
    def summary_path(self) -> Path:
        return self.path / "summary.json"

    @property
    def seeds_path(self) -> Path:
        """In the folder of several seeds' runs (:mod:`zerotrain.host.seeds`)."""
        return self.path / "seeds.json"

    @property
    def events_path(self) -> Path:
        """Folder of the event files (:mod:`zerotrain.host.events`)."""
        return self.path / "tensorboard"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them, the configuration last."""
        return (
            self.checkpoint_path, self.best_path, self.log_path, self.summary_path,
            self.curves_path, self.seeds_path, *sorted(self.events_path.glob("events.*")),
            self.config_path,
        )  # fmt: skip
