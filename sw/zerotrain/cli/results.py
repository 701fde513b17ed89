"""``zerotrain publish`` and ``zerotrain results``."""

from pathlib import Path

from rich.console import Console

from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.host.folder import RunFolder, latest_folder
from zerotrain.host.publish import publish
from zerotrain.host.results import Result, load_all
from zerotrain.host.seeds import runs_in
from zerotrain.host.table import END, insert_tables, marker, table
from zerotrain.spec.files import write_atomic

__all__ = ["check_results", "publish_run", "show_results"]


def publish_run(
    console: Console, run: RunFolder | None, directory: Path, data: Path | None, *, force: bool
) -> None:
    """Write a finished run's result; those of all runs in a folder of several seeds."""
    folders = runs_in(run or latest_folder())
    for folder in folders:
        folder.summary()  # refuses a run that is not finished, before any is published
    for folder in folders:
        _publish(console, folder, directory, data, force=force)


def _publish(
    console: Console, folder: RunFolder, directory: Path, data: Path | None, *, force: bool
) -> None:
    config, _ = folder.state()
    if config.training is None:
        raise ValueError(f"{folder.config_path} has no [training] section: that is no run")
    path = publish(folder, load_for(config, data), directory, force=force)
    result = Result.load(path)
    steps = " and ".join(f"{n:,}" for n in result.extensions)
    extended = f", extended by {steps} steps at the final step size" if steps else ""
    console.print(
        f"{folder.path}, {result.name}: test {_figures(result)} with the {result.checkpoint} "
        f"checkpoint{extended}, measured again. Result: {path}",
        soft_wrap=True,
    )


def show_results(console: Console, directory: Path, page: Path | None) -> None:
    """Print the tables; replace them in a page, if there is one."""
    found = _load(directory)
    console.print(table(found), end="", markup=False, highlight=False, soft_wrap=True)
    if page is None:
        return
    text, missing = insert_tables(page.read_text(encoding="utf-8"), found)
    write_atomic(page, text)
    for name in missing:
        console.print(
            f"{page} has no place for the results on {name}: give it the lines {marker(name)} and "
            f"{END}",
            soft_wrap=True,
        )


def check_results(console: Console, directory: Path, data: Path | None) -> None:
    """Measure the parameters of every result; raise ``ValueError`` if one gives another figure."""
    for result in _load(directory):
        found = result.measure(load_for(Config.from_dict(result.config), data))
        if not result.agrees(found):
            raise ValueError(
                f"{result.name}: expected {_figures(result)} of {result.test_count} test samples, "
                f"measured {found.show(exact=True)} of {found.evaluation.count}"
            )
        console.print(
            f"{result.name}: test {_figures(result)} of {result.test_count} samples, as published",
            soft_wrap=True,
        )


def _figures(result: Result) -> str:
    return ", ".join(m.show(result.values[m.key], exact=True) for m in result.metrics)


def _load(directory: Path) -> list[Result]:
    found = load_all(directory)
    if not found:
        raise FileNotFoundError(
            f"There are no results in {directory}: expected *.json files there, which "
            "zerotrain publish writes"
        )
    return found
