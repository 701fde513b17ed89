"""Metric and loss curves of runs."""

import io
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zerotrain.host.metric import Metric
from zerotrain.host.trainer import Row
from zerotrain.spec.extras import advice

__all__ = ["Series", "can_draw", "comparison", "curves_note", "training_curves"]

#: A run's log, and the losses of a whole batch taken up to each row of it.
Series = tuple[Sequence[Row], Sequence[int]]


def can_draw() -> bool:
    """Whether the extra ``curves`` is installed."""
    return find_spec("matplotlib") is not None


def curves_note(path: Path) -> str:
    """Where curves are, or why there are none."""
    return f"Curves: {path}" if can_draw() else f"No curves: {advice('curves')}"


def training_curves(rows: Sequence[Row], title: str, watched: str, metric: Metric) -> bytes:
    """A PNG with loss and metric over the steps, the stages shaded.

    Parameters
    ----------
    rows : sequence of Row
        The log.
    title : str
        Title of the picture.
    watched : str
        The part of the data that was measured, e.g. ``"test"``.
    metric : Metric
        What was measured.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    measured = [(row.step, row.metric) for row in rows if row.metric is not None]
    scale = 100 if metric.percent else 1
    upper.plot(
        [step for step, _ in measured],
        [scale * value for _, value in measured],
        marker=".",
        color="tab:green",
    )
    upper.set_ylabel(f"{watched} {metric.label}")
    upper.set_ylim(0, 100 if metric.percent else None)
    upper.set_title(title)
    trained = [row for row in rows if row.step > 0 and row.loss is not None]
    steps, losses = [row.step for row in trained], [row.loss or 0.0 for row in trained]
    lower.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8)
    lower.plot(steps, _smooth(losses), color="tab:blue")
    lower.set_ylabel("loss per sample")
    lower.set_xlabel("step")
    lower.set_ylim(bottom=0)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        for first, last, phase in _stages(trained):
            if phase == "cge":
                axes.axvspan(first - 0.5, last + 0.5, color="tab:orange", alpha=0.12)
            axes.annotate(phase, ((first + last) / 2, 0.03), xycoords=("data", "axes fraction"),
                          ha="center", fontsize="small", color="0.3")  # fmt: skip
    return _png(figure)


def comparison(
    groups: Sequence[tuple[str, Sequence[Series]]], watched: str, metric: Metric
) -> bytes:
    """A PNG with metric and smoothed loss of several runs, over steps and over losses taken.

    Parameters
    ----------
    groups : sequence of (str, sequence of Series)
        Labels, and runs that have one colour.
    watched : str
        The part of the data that was measured, e.g. ``"test"``.
    metric : Metric
        What was measured.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    scale = 100 if metric.percent else 1
    handles = []
    for index, (label, runs) in enumerate(groups):
        style: dict[str, Any] = {"color": f"C{index % 10}", "alpha": 0.9 if len(runs) == 1 else 0.6}
        for rows, counts in runs:
            for column, of in enumerate(([row.step for row in rows], counts)):
                places = list(zip(of, rows, strict=True))
                x, y = _columns((n, row.metric) for n, row in places)
                (line,) = grid[0][column].plot(x, [scale * v for v in y], marker=".", **style)
                x, y = _columns((n, row.loss) for n, row in places if row.step > 0)
                grid[1][column].plot(x, _smooth(y), **style)
        handles.append((line, label if len(runs) == 1 else f"{label} ({len(runs)} runs)"))
    grid[0][0].set_ylabel(f"{watched} {metric.label}")
    grid[0][0].set_ylim(0, 100 if metric.percent else None)
    grid[1][0].set_ylabel("loss per sample, smoothed")
    grid[1][0].set_ylim(bottom=0)
    grid[1][0].set_xlabel("step")
    grid[1][1].set_xlabel("losses of a batch")
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    lines, labels = zip(*handles, strict=True)
    figure.legend(lines, labels, loc="outside upper left", fontsize="small")
    return _png(figure)


def _columns(pairs: Iterable[tuple[int, float | None]]) -> tuple[list[int], list[float]]:
    """The pairs that have a value, as two lists."""
    there = [(x, y) for x, y in pairs if y is not None]
    return [x for x, _ in there], [y for _, y in there]


def _png(figure: Any) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=130, metadata={"Software": None})
    return image.getvalue()


def _smooth(values: Sequence[float], factor: float = 0.95) -> list[float]:
    """Exponential moving average, unbiased at the beginning."""
    total, weight, out = 0.0, 0.0, []
    for value in values:
        total, weight = factor * total + value, factor * weight + 1.0
        out.append(total / weight)
    return out


def _stages(rows: Sequence[Row]) -> list[tuple[int, int, str]]:
    """First and last step of every run of equal phases."""
    found: list[tuple[int, int, str]] = []
    for row in rows:
        if found and found[-1][2] == row.phase:
            found[-1] = (found[-1][0], row.step, row.phase)
        else:
            found.append((row.step, row.step, row.phase))
    return found
