"""The log of a run as a file, and what is read off its rows."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from zerotrain.config.training import Training
from zerotrain.host.metric import Metric
from zerotrain.host.trainer import Row

__all__ = ["NO_BEST", "best_row", "log_text", "loss_counts", "read_log"]


#: What a run has that chose nothing.
NO_BEST = (
    "no best checkpoint: it held no validation part out, and the test part chooses nothing; take "
    "the last one, or hold the validation part out of the training"
)


def best_row(rows: Sequence[Row], training: Training, metric: Metric) -> Row | None:
    """The first row with the best metric on the validation part, which every log's first row has;
    None if the run held none out."""
    if not training.hold_out_validation:
        return None
    choose = max if metric.higher_is_better else min
    return choose(
        (row for row in rows if row.metric is not None), key=lambda row: row.metric or 0.0
    )


def loss_counts(rows: Sequence[Row], training: Training, n_parameters: int) -> Iterator[int]:
    """Losses of a whole batch that were taken up to each row, measurements not counted."""
    rge, total = training.rge, 0
    for row in rows:
        if row.phase == "cge":
            total += n_parameters + 1
        elif row.step and rge is not None:
            total += rge.queries + (rge.baseline == "base")
        yield total


def log_text(rows: Sequence[Row], metric: Metric) -> str:
    """The content of a log file, whose column of measurements has the metric's name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([metric.key if f.name == "metric" else f.name for f in fields(Row)])
    writer.writerows(["" if v is None else v for v in astuple(row)] for row in rows)
    return text.getvalue()


def read_log(path: Path, metric: Metric) -> list[Row]:
    """The rows of a log file: the reverse of :func:`log_text`."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Row(
                    int(line["step"]), line["phase"], number(line["loss"]),
                    number(line["step_size"]), number(line[metric.key]), line["saturation"],
                    int(line["cycles"]), int(line["beats"]), int(line["loss_stalls"]),
                    line["digest"],
                )
                for line in csv.DictReader(file)
            ]  # fmt: skip
    except (KeyError, ValueError, TypeError, csv.Error):
        raise ValueError(f"{path} is not a log of this version of Zerotrain") from None
