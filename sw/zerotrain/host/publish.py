"""Publishing a finished run: its files become a :class:`~zerotrain.host.results.Result`."""

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from zerotrain.data.dataset import Dataset
from zerotrain.host.folder import RunFolder
from zerotrain.host.identity import identity
from zerotrain.host.log import loss_counts
from zerotrain.host.metric import Metric, metrics_of
from zerotrain.host.results import MILESTONES, Result, pack_parameters
from zerotrain.host.trainer import Row
from zerotrain.spec.files import file_name, make_folder, write_atomic

__all__ = ["publish"]

#: Entries of a run's summary that a result is made of.
_SUMMARY = (
    "groups", "steps", "cge_steps", "test_correct", "test_samples", "test_loss", "saturation",
    "running_hash",
)  # fmt: skip


def publish(folder: RunFolder, dataset: Dataset, directory: Path, *, force: bool = False) -> Path:
    """Write the result and the curve of a finished run; return the result's path.

    Configuration, log, checkpoint, summary and data belong together, or are refused. The final
    parameters are measured once more: what is written is what they give. Another result of the same
    name is kept, unless ``force`` says that it may go.
    """
    summary = folder.summary()
    config, checkpoint = folder.resume()
    training = config.training
    assert training is not None
    if training.hold_out_validation:
        raise ValueError(
            f"The run in {folder.path} held the validation part out: results are of runs that "
            "train on it too and are measured on the test part"
        )
    needed = [*_SUMMARY, *(f"test_{m.key}" for m in metrics_of(config.network.loss))]
    for name in needed:
        if name not in summary:
            raise ValueError(
                f"{folder.summary_path} is of another version: expected an entry {name!r}; run "
                "the training again"
            )
    if summary["running_hash"] != checkpoint.digest:
        raise ValueError(
            f"{folder.summary_path} does not belong to the checkpoint beside it: expected the "
            f"running_hash {checkpoint.digest}, got {summary['running_hash']!r}; run the training "
            "again"
        )
    checkpoint.check(identity(config, summary["groups"], dataset))
    counts = list(loss_counts(folder.rows, training, len(checkpoint.theta)))
    metrics = metrics_of(config.network.loss)
    mark = MILESTONES.get(metrics[0].key)
    reached = (
        count
        for count, row in zip(counts, folder.rows, strict=True)
        if mark is not None and row.metric is not None and row.metric >= mark
    )
    samples = len(dataset.training) + len(dataset.validation)
    result = Result(
        config=config.to_dict(), groups=summary["groups"], steps=summary["steps"],
        cge_steps=summary["cge_steps"], epoch_steps=samples // training.batch,
        loss_evaluations=counts[-1], evaluations_to_milestone=next(reached, None),
        test_correct=summary["test_correct"], test_count=summary["test_samples"],
        saturation=summary["saturation"], running_hash=checkpoint.digest,
        state_every=checkpoint.state_every, theta=pack_parameters(checkpoint.theta),
        test_loss=summary["test_loss"],
        test_metrics={m.key: summary[f"test_{m.key}"] for m in metrics},
        initial_weights=checkpoint.identity.get("initial_weights"), unit=dataset.scale.unit,
    )  # fmt: skip
    try:
        result.check()
    except (ValueError, TypeError):
        raise ValueError(f"{folder.summary_path} is damaged: run the training again") from None
    measured = result.measure(dataset)
    if not result.agrees(measured):
        raise ValueError(
            f"The run's parameters have {measured.metrics[0].show(measured.main, exact=True)} on "
            f"{measured.evaluation.count} test samples, its summary says {result.main:.6g} on "
            f"{result.test_count}: it was made with other data or by another version"
        )
    path = directory / f"{file_name(result.title)}-seed{training.seed}.json"
    text = json.dumps(asdict(result), indent=1) + "\n"
    if path.exists() and not force and path.read_text("utf-8") != text:
        raise FileExistsError(
            f"{path} is another run's result: name another folder with --results, or overwrite it "
            "with --force"
        )
    make_folder(directory, "the folder of results")
    write_atomic(path.with_suffix(".csv"), _curve(folder.rows, counts, metrics[0]))
    write_atomic(path, text)
    return path


def _curve(rows: Sequence[Row], counts: Sequence[int], metric: Metric) -> str:
    """The rows with a metric; the loss is the mean of all steps since the row before."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "phase", "loss_evaluations", "loss", f"test_{metric.key}"])
    losses: list[float] = []
    for row, count in zip(rows, counts, strict=True):
        if row.loss is not None:
            losses.append(row.loss)
        if row.metric is not None:
            mean = f"{statistics.fmean(losses):.5f}" if losses else ""
            writer.writerow([row.step, row.phase, count, mean, f"{row.metric:.4f}"])
            losses = []
    return text.getvalue()
