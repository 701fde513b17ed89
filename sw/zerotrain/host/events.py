"""Event files that TensorBoard shows, beside the log and with the same figures.

The log is the truth: whoever goes on with a run writes the events of its log anew.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from zerotrain.host.folder import RunFolder
from zerotrain.host.metric import Metric
from zerotrain.host.trainer import Row
from zerotrain.spec.extras import advice

__all__ = ["events", "require_tensorboard"]


class Record(Protocol):
    """Takes note of a row."""

    def __call__(self, row: Row) -> None:
        """Write a row's events."""
        ...


def require_tensorboard() -> Any:
    """The class that writes event files.

    Raises
    ------
    ValueError
        If its package, an optional one, is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ValueError(
            "Event files need the package tensorboardX, which is not installed: "
            f"{advice('tensorboard')}, or go without them"
        ) from None
    return SummaryWriter


@contextmanager
def events(
    folder: RunFolder, rows: Sequence[Row], watched: str, metric: Metric
) -> Iterator[Record]:
    """The events of a run's rows so far in place of older ones, and a function for further rows.

    Parameters
    ----------
    watched : str
        The part of the data that was measured.
    """
    writer_of = require_tensorboard()
    for path in folder.events_path.glob("events.*"):
        path.unlink()
    with writer_of(str(folder.events_path), write_to_disk=True) as writer:

        def record(row: Row) -> None:
            figures = {
                "loss": row.loss,
                "step_size": row.step_size,
                f"{watched}/{metric.key}": row.metric,
            }
            for name, value in figures.items():
                if value is not None:
                    writer.add_scalar(name, value, row.step)

        for row in rows:
            record(row)
        yield record
