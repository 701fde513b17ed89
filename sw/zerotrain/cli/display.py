"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from zerotrain.host.metric import Metric
from zerotrain.host.session import Progress

__all__ = ["Display", "console", "display", "duration", "spell_out"]


class _Console(Console):
    """Rich's, which leaves it to the command line what happens when nobody reads the output."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console() -> Console:
    """Where commands print."""
    # Names of folders and networks are printed as they are; files get no colours, whatever the
    # environment says.
    terminal = sys.stdout is not None and sys.stdout.isatty()
    found = _Console(highlight=False, markup=False, emoji=False, force_terminal=terminal)
    if not terminal:
        found.width = 120  # tables in files and pipes
    return found


def duration(seconds: float | None) -> str:
    """``m:ss`` or ``h:mm:ss``; dashes for an unknown time."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


#: In other characters, for who has no others.
_PLAIN = {"±": "+-", "²": "^2", "×": "x", "·": "*", "µ": "u", "—": "-", "…": "..."}


def _spell(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    plain = (_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing)
    return "".join(plain), error.end


codecs.register_error("zerotrain.spell", _spell)


def spell_out(stream: TextIO | None) -> None:
    """Let a stream write what its encoding lacks in other characters, instead of failing."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="zerotrain.spell")


class Display(Protocol):
    """Shows where a run stands."""

    def __call__(self, progress: Progress) -> None:
        """Show a step."""
        ...


class _Lines:
    """A line for every evaluation and every change of phase."""

    def __init__(self, console: Console, watched: str, metric: Metric) -> None:
        self._console, self._watched, self._metric, self._phase = console, watched, metric, ""

    def __call__(self, progress: Progress) -> None:
        row = progress.row
        if row.metric is None and row.phase == self._phase:
            return
        self._phase = row.phase
        parts = [f"step {row.step}/{progress.max_steps}", f"{row.phase:8}"]
        if row.loss is not None:
            parts.append(f"loss {row.loss:.4f}")
        if row.metric is not None:
            parts.append(f"{self._watched} {self._metric.show(row.metric)}")
        if progress.remaining is not None:
            parts.append(f"{duration(progress.remaining)} left")
        self._console.print("  ".join(parts), soft_wrap=True)


class _Bar:
    """One line that is always up to date."""

    def __init__(self, bar: Bar, task: TaskID, watched: str, metric: Metric) -> None:
        self._bar, self._task, self._watched, self._metric = bar, task, watched, metric
        self._loss = 0.0
        self._measured = ""

    def __call__(self, progress: Progress) -> None:
        row = progress.row
        if row.metric is not None:
            self._measured = f"{self._watched} {self._metric.show(row.metric)}"
        if row.loss is not None:
            # Single minibatches are noisy; people want to see the trend.
            self._loss = row.loss if row.step <= 1 else 0.95 * self._loss + 0.05 * row.loss
        self._bar.update(
            self._task,
            completed=row.step,
            total=progress.max_steps,
            phase=row.phase,
            loss=f"loss {self._loss:.3f}",
            measured=self._measured,
            left=f"{duration(progress.remaining)} left",
        )


@contextmanager
def display(console: Console, watched: str, metric: Metric) -> Iterator[Display]:
    """A display that fits the console, of a metric on the watched part of the data."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console, watched, metric)
        return

    def text(name: str, form: str = "") -> TextColumn:
        return TextColumn(f"{{task.fields[{name}]{form}}}", markup=False)

    columns = [
        text("phase", ":8"), BarColumn(), MofNCompleteColumn(), text("loss"), text("measured"),
        text("left"),
    ]  # fmt: skip
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=None, phase="", loss="", measured="", left="")
        yield _Bar(bar, task, watched, metric)
