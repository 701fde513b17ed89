"""Tables of published results."""

from collections.abc import Sequence

from zerotrain.host.results import MILESTONES, Result

__all__ = ["MARKERS", "insert_table", "table"]

#: Test accuracy of the paper's networks of this many parameters, its table 2 and section 4.
_PAPER = {3962: 0.9664, 8314: 0.9677, 2698: 0.9583}

#: Lines between which :func:`insert_table` keeps the table of a Markdown page.
MARKERS = ("<!-- results: zerotrain results --page -->", "<!-- end of results -->")


def table(results: Sequence[Result]) -> str:
    """Markdown tables, one for each metric, with a row for each network; means and standard
    deviations over seeds."""
    tables = []
    for key in dict.fromkeys(r.metrics[0].key for r in results):
        tables.append(_table([r for r in results if r.metrics[0].key == key]))
    return "\n".join(tables)


def _table(results: Sequence[Result]) -> str:
    metric, *others = results[0].metrics
    head = ["network", "parameters", "seeds", f"test {metric.name}", "worst"]
    head += [m.name for m in others] + ["CGE epochs"]
    marked = metric.key in MILESTONES
    head += [f"losses to {100 * MILESTONES[metric.key]:.0f} %", "paper"] if marked else []
    lines = [head, ["---"] * len(head)]
    for name in dict.fromkeys(r.title for r in results):
        runs = [r for r in results if r.title == name]
        count = len(runs[0].parameters)
        values = [r.main for r in runs]
        row = [name, f"{count:,}", ", ".join(str(r.config["training"]["seed"]) for r in runs)]
        row += [metric.cell(values), metric.cell([metric.worst(values)])]
        row += [m.cell([r.values[m.key] for r in runs]) for m in others]
        row.append(f"{max(r.cge_steps / r.epoch_steps for r in runs):.1f}")
        if marked:
            reached = [r.evaluations_to_milestone for r in runs]
            known = [n for n in reached if n is not None]
            published = _PAPER.get(count) if name == runs[0].config["name"] else None
            row.append(f"{max(known):,}" if len(known) == len(reached) else "not reached")
            row.append(metric.cell([published]) if published else "")
        lines.append(row)
    rows = [f"| {' | '.join(cells)} |" for cells in lines]
    rows[1] = f"|{'|'.join(lines[1])}|"
    return "\n".join(rows) + "\n"


def insert_table(page: str, text: str) -> str:
    """A Markdown page with the lines between :data:`MARKERS` replaced."""
    head, begin, rest = page.partition(MARKERS[0])
    _, end, tail = rest.partition(MARKERS[1])
    if not begin or not end:
        raise ValueError(
            f"The page has no place for the table: expected the lines {MARKERS[0]} and {MARKERS[1]}"
        )
    return f"{head}{begin}\n{text}{end}{tail}"
