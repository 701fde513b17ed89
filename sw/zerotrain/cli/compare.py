"""``zerotrain compare`` and ``zerotrain tensorboard``: curves of runs, finished or not."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from zerotrain.host.compare import Curve, Group, grouped
from zerotrain.host.events import events
from zerotrain.host.folder import RUNS, RunFolder
from zerotrain.host.plots import can_draw, comparison, curves_note
from zerotrain.host.seeds import is_one_of_several, runs_in
from zerotrain.spec.files import make_folder, write_atomic

__all__ = ["compare_runs", "draw_comparison", "write_events"]


def draw_comparison(folders: Sequence[RunFolder], path: Path) -> list[Group]:
    """Draw the curves of runs, if they can be drawn, and return the runs in groups."""
    groups = grouped(folders)
    make_folder(path.parent, "the folder of the picture")
    if len(folders) == 1:
        (curve,) = groups[0].curves
        remark = "" if curve.finished else f"up to step {curve.rows[-1].step}"
        curve.folder.draw(curve.config, curve.metric, remark, path)
    elif can_draw():
        curves = [curve for group in groups for curve in group.curves]
        series = [(group.label, [(c.rows, c.losses) for c in group.curves]) for group in groups]
        write_atomic(path, comparison(series, _parts(curves), curves[0].metric))
    return groups


def compare_runs(console: Console, folders: Sequence[RunFolder], output: Path | None) -> None:
    """Print a table and draw the curves of runs; a folder of several seeds stands for its runs."""
    if output is not None and output.suffix.lower() != ".png":
        raise ValueError(
            f"The picture is a PNG file: expected a name like curves.png, got {output}"
        )
    given = {folder.path.resolve(): folder for folder in folders}  # runs/* has the latest twice
    others = [f for f in given.values() if f.path.exists() and not f.holds_runs]
    if 0 < len(others) < len(given):  # and the picture of an earlier comparison
        names = ", ".join(str(folder.path) for folder in others)
        console.print(f"Left out, since they hold no run: {names}", soft_wrap=True)
        given = {path: folder for path, folder in given.items() if folder not in others}
    found = {run.path.resolve(): run for f in given.values() for run in runs_in(f)}
    runs = list(found.values())
    one = next(iter(given.values()))
    path = output or (one.curves_path if len(given) == 1 else RUNS / "compare.png")
    groups = draw_comparison(runs, path)
    curves = [curve for group in groups for curve in group.curves]
    metric = curves[0].metric
    table = Table("runs", "configuration", "seeds", "steps", "losses", "loss, last 100",
                  f"last {_parts(curves)} {metric.head}")  # fmt: skip
    for group in groups:
        losses = [c.last_loss for c in group.curves if c.last_loss is not None]
        table.add_row(
            ", ".join(dict.fromkeys(map(_name, group.curves))),
            group.label,
            ", ".join(map(_seed, group.curves)),
            _reach(c.rows[-1].step for c in group.curves),
            _reach(c.losses[-1] for c in group.curves),
            _reach(losses, ".4f"),
            metric.cell([c.measured[-1][2] for c in group.curves]),
        )
    console.print(table)
    if any(not curve.finished for curve in curves):
        console.print("Seeds in parentheses: the run is not finished.")
    console.print(curves_note(path), soft_wrap=True)


def _parts(curves: Sequence[Curve]) -> str:
    """The parts of the data that runs watched."""
    return "/".join(dict.fromkeys(curve.training.watched for curve in curves))


def _name(curve: Curve) -> str:
    """The run's folder, or that of all seeds' runs."""
    folder = curve.folder
    path = folder.path.resolve()
    return path.parent.name if is_one_of_several(folder) else path.name


def _seed(curve: Curve) -> str:
    seed = str(curve.training.seed)
    return seed if curve.finished else f"({seed})"


def write_events(console: Console, folders: Sequence[RunFolder]) -> None:
    """Write the event files of runs from their logs."""
    for folder in (run for folder in folders for run in runs_in(folder)):
        curve = Curve.of(folder)
        with folder.locked(), events(folder, curve.rows, curve.training.watched, curve.metric):
            pass
        console.print(
            f"Events of {curve.rows[-1].step} steps: {folder.events_path}", soft_wrap=True
        )


def _reach(values: Iterable[float], form: str = ",") -> str:
    """From the least to the greatest of some values, empty if there are none."""
    found = sorted(values)
    ends = dict.fromkeys(format(value, form) for value in (*found[:1], *found[-1:]))
    return " to ".join(ends)
