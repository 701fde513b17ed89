"""Tables of published results."""

import re
from collections.abc import Sequence

from zerotrain.host.results import MILESTONES, Result

__all__ = ["END", "insert_tables", "marker", "table"]

#: Test accuracy of the paper's networks of this many parameters, its table 2 and section 4.
_PAPER = {3962: 0.9664, 8314: 0.9677, 2698: 0.9583}

#: A line after which a page keeps the table of a data set, or of all, and the line that ends it.
_BEGIN = re.compile(r"<!-- results(?: of (?P<dataset>.+?))?: zerotrain results --page -->")
END = "<!-- end of results -->"


def marker(dataset: str = "") -> str:
    """The line after which a page keeps the table of a data set's results, or of all."""
    return f"<!-- results{f' of {dataset}' if dataset else ''}: zerotrain results --page -->"


def table(results: Sequence[Result]) -> str:
    """Markdown tables, one for each data set and metric, with a row for each network; means and
    standard deviations over seeds."""
    kinds = dict.fromkeys((r.dataset, r.metrics[0].key) for r in results)
    return "\n".join(
        _table([r for r in results if (r.dataset, r.metrics[0].key) == kind]) for kind in kinds
    )


def _table(results: Sequence[Result]) -> str:
    metric, *others = results[0].metrics
    head = ["network", "parameters", "seeds", f"test {metric.head}", "worst"]
    head += [m.head for m in others]
    head += ["losses" if metric.logarithmic else "CGE epochs"]
    marked = metric.key in MILESTONES
    paper = any(_in_paper(r) for r in results)
    head += [f"losses to {100 * MILESTONES[metric.key]:.0f} %"] if marked else []
    head += ["paper"] if paper else []
    lines = [head, ["---"] * len(head)]
    for name in dict.fromkeys(r.title for r in results):
        runs = [r for r in results if r.title == name]
        count = len(runs[0].parameters)
        values = [r.main for r in runs]
        row = [name, f"{count:,}", ", ".join(str(r.config["training"]["seed"]) for r in runs)]
        row += [metric.cell(values), metric.cell([metric.worst(values)])]
        row += [m.cell([r.values[m.key] for r in runs]) for m in others]
        if metric.logarithmic:  # fresh points have no epochs
            row.append(f"{max(r.loss_evaluations for r in runs):,}")
        else:
            row.append(f"{max(r.cge_steps / r.epoch_steps for r in runs):.1f}")
        if marked:
            reached = [r.evaluations_to_milestone for r in runs]
            known = [n for n in reached if n is not None]
            row.append(f"{max(known):,}" if len(known) == len(reached) else "not reached")
        if paper:
            row.append(metric.cell([_PAPER[count]]) if _in_paper(runs[0]) else "")
        lines.append(row)
    rows = [f"| {' | '.join(cells)} |" for cells in lines]
    rows[1] = f"|{'|'.join(lines[1])}|"
    return "\n".join(rows) + "\n"


def _in_paper(result: Result) -> bool:
    """Whether the paper has the same network on the same data, trained with the whole schedule."""
    whole = result.title == result.config["name"]
    return whole and result.dataset == "mnist" and len(result.parameters) in _PAPER


def insert_tables(page: str, results: Sequence[Result]) -> tuple[str, list[str]]:
    """A Markdown page with the lines between its markers replaced.

    Returns
    -------
    str
        The page.
    list of str
        Data sets with results for which the page has no place.

    Raises
    ------
    ValueError
        If the page has no place for any table.
    """
    missing = dict.fromkeys(r.dataset for r in results)
    parts, rest = [], page
    while begin := _BEGIN.search(rest):
        _, end, tail = rest[begin.end() :].partition(END)
        if not end:
            raise ValueError(f"The page has no line {END} after {begin[0]}: expected one there")
        name = begin["dataset"]
        shown = [r for r in results if name in (None, r.dataset)]
        for r in shown:
            missing.pop(r.dataset, None)
        parts.append(f"{rest[: begin.end()]}\n{table(shown)}{end}")
        rest = tail
    if not parts:
        raise ValueError(
            f"The page has no place for the table: expected the lines {marker()} and {END}"
        )
    return "".join(parts) + rest, list(missing)
