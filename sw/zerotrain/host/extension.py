"""Extending a finished run: more steps of its last stage, at its final step size.

The configuration notes every extension (``training.extensions``), so the run stays a function of
its configuration: whoever trains with it from the start gets the same bits. Without extensions, or
with a longer schedule from the start, it is another run.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zerotrain.config.config import Config
from zerotrain.config.training import Training
from zerotrain.host.checkpoint import Checkpoint
from zerotrain.host.schedule import Schedule

__all__ = [
    "before_extension", "begun_extension", "extended", "is_finished", "with_extension",
    "without_extensions",
]  # fmt: skip


def _training(config: Config) -> Training:
    if config.training is None:
        raise ValueError(f"Configuration {config.network.name} has no [training] section")
    return config.training


def is_finished(config: Config, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is of the end of a run of that configuration."""
    schedule = Schedule(_training(config), config.chip.formats)
    schedule.restore(checkpoint.schedule)
    return schedule.next() is None


def with_extension(config: Config, steps: int) -> Config:
    """A configuration with one extension more."""
    training = _training(config)
    return replace(config, training=replace(training, extensions=(*training.extensions, steps)))


def before_extension(config: Config) -> Config | None:
    """A configuration without its last extension; None if it has none."""
    training = config.training
    if training is None or not training.extensions:
        return None
    return replace(config, training=replace(training, extensions=training.extensions[:-1]))


def extended(config: Config, checkpoint: Checkpoint, steps: int) -> tuple[Config, Checkpoint]:
    """Configuration and checkpoint of a finished run that goes on for so many steps.

    Raises
    ------
    ValueError
        If the run is not finished.
    """
    training = _training(config)
    if not is_finished(config, checkpoint):
        raise ValueError(
            f"Only a finished run can be extended, this one stands after step {checkpoint.step} of "
            f"up to {training.max_steps}: finish it first, with --resume alone"
        )
    longer = with_extension(config, steps)
    return longer, replace(checkpoint, identity=checkpoint.identity | {"config": longer.to_dict()})


def begun_extension(config: Config, checkpoint: Checkpoint) -> Config | None:
    """The configuration of a checkpoint that was extended, of which no step was taken since, where
    ``config`` is the one before."""
    try:
        longer = Config.from_dict(checkpoint.identity["config"])
    except (ValueError, TypeError, OverflowError):
        return None
    shorter = before_extension(longer)
    if shorter is None or shorter.training is None or shorter != config:
        return None
    untouched = checkpoint.schedule.get("extra", 0) == sum(shorter.training.extensions)
    return longer if untouched else None


def without_extensions(identity: Mapping[str, Any]) -> dict[str, Any]:
    """A run's identity as it was before all extensions."""
    config = dict(identity["config"])
    training = config.get("training")
    if isinstance(training, Mapping):
        config["training"] = {k: v for k, v in training.items() if k != "extensions"}
    return {**identity, "config": config}
