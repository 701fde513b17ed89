"""Metric and loss curves of a run."""

import io
from collections.abc import Sequence
from importlib.util import find_spec

from zerotrain.host.metric import Metric
from zerotrain.host.trainer import Row

__all__ = ["can_draw", "training_curves"]


def can_draw() -> bool:
    """Whether the extra ``curves`` is installed."""
    return find_spec("matplotlib") is not None


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
