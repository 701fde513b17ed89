"""A report as tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show"]

_NAMES = {"evaluate": "loss", "rge": "RGE", "cge": "CGE"}
#: Marks figures that no counter and no router has confirmed.
_ESTIMATE = "~"
_LEGEND = (
    f"{_ESTIMATE} planner's estimate; all others from the chip's counters. Clock: the median of "
    "the routed seeds; target: not routed, times are at the board's target clock; stale: "
    "routed with another configuration. Link: below this rate I/O would bind. PyTorch: how many "
    "times as long as the chip it takes."
)


def show(console: Console, report: Mapping[str, Any], without_torch: str) -> None:
    """Print a report; ``without_torch`` is what to say where PyTorch was not measured."""
    _chips(console, report)
    _machine(console, report, without_torch)
    _simulated(console, report)
    _milestones(console, report)
    _targets(console, report)


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _times(step: Mapping[str, Any], mark: str, torch: float | None) -> list[str]:
    """Cells of a step's times; none of a chip that does not fit its board."""
    if "seconds" not in step:
        return []
    cells = [_time(step["seconds"]), _time(step["epoch_seconds"])]
    cells.append(f"{step['link_bytes_per_second'] / 1e6:.3g}")
    if torch is not None:
        cells.append(f"{torch / step['seconds']:.3g} times")
    return [mark + cell for cell in cells]


def _chips(console: Console, report: Mapping[str, Any]) -> None:
    table = Table(
        "preset", "board", "lanes", "step", "losses", "MACs", "cycles", "use", "clock, MHz",
        "step takes", "epoch takes", "link, MB/s", "PyTorch", title="Steps on the chip",
    )  # fmt: skip
    for chip in report["chips"]:
        torch = report["presets"][chip["preset"]]["pytorch"]
        clock = f"{chip['clock']['hz'] / 1e6:.4g} {chip['clock']['source']}"
        if chip["does_not_fit"]:
            clock = "does not fit"
        for index, (kind, step) in enumerate(chip["steps"].items()):
            head = [chip["preset"], chip["board"], str(chip["lanes"])] if not index else [""] * 3
            mark = _ESTIMATE if step["source"] == "estimate" else ""
            table.add_row(
                *head, _NAMES[kind], str(step["losses"]), f"{step['macs']:,}",
                f"{mark}{step['cycles']:,}", f"{mark}{step['multiplier_use']:.1%}",
                "" if index else clock, *_times(step, mark, (torch or {}).get(kind)),
                end_section=kind == "cge",
            )  # fmt: skip
    console.print(table)
    console.print(_LEGEND, soft_wrap=True)
    resources = Table("preset", "board", "lanes", "resources", "from", title="Resources")
    for chip in report["chips"]:
        counts = {k: v for k, v in chip["resources"].items() if k != "source"}
        text = ", ".join(f"{k} {v['used']} of {v['available']}" for k, v in counts.items())
        verdict = "; does not fit" if chip["does_not_fit"] else ""
        resources.add_row(
            chip["preset"], chip["board"], str(chip["lanes"]), text + verdict,
            chip["resources"]["source"],
        )  # fmt: skip
    console.print(resources)


def _machine(console: Console, report: Mapping[str, Any], without_torch: str) -> None:
    machine = report["machine"]
    table = Table(
        "preset", "step", "losses", "I/O, bytes", "golden", "processor time", "PyTorch",
        "PyTorch / golden",
        title=f"Steps on this machine ({machine['processor']}, {machine['processors']} "
        f"processors, {machine['threads']} threads, load {machine['load']})",
    )  # fmt: skip
    forms = []
    for preset, found in report["presets"].items():
        torch = found["pytorch"]
        for kind in ("rge", "cge"):
            golden = found["golden"][kind]
            cells = [_time(torch[kind]), f"{torch[kind] / golden['wall']:.3g}"] if torch else []
            table.add_row(
                preset if kind == "rge" else "", _NAMES[kind], str(found["losses"][kind]),
                f"{found['step_bytes'][kind]:,}", _time(golden["wall"]),
                _time(golden["processor"]), *cells, end_section=kind == "cge",
            )  # fmt: skip
        if torch:
            forms.append(
                f"{preset}: {torch['form']}, threads: {torch['threads']}, CGE scaled from "
                f"{torch['cge_share']:.1%} of its differences"
            )
    console.print(table)
    text = f"PyTorch, float32, its fastest form: {'; '.join(forms)}." if forms else without_torch
    console.print(text, soft_wrap=True)


def _simulated(console: Console, report: Mapping[str, Any]) -> None:
    table = Table(
        "preset", "lanes", "chip", "step", "losses", "cycles counted", "estimated", "use",
        "loss stalls", "M cycles/s", "golden is faster by",
        title="Simulated steps (processor time)",
    )  # fmt: skip
    for row in report["simulated"]:
        table.add_row(
            row["preset"], str(row["lanes"]), row["config_hash"], _NAMES[row["kind"]],
            str(row["losses"]), f"{row['cycles']:,}", f"{row['estimated_cycles']:,}",
            f"{row['use']:.1%}", f"{row['loss_stalls']:,}", f"{row['cycles_per_second'] / 1e6:.2f}",
            f"{row['seconds'] / row['golden_seconds']:.3g}",
        )  # fmt: skip
    if report["simulated"]:
        console.print(table)


def _milestones(console: Console, report: Mapping[str, Any]) -> None:
    for run in report["milestones"]:
        console.print(
            f"{run['run']}: {run['accuracy']:.2%} after {run['rge_steps']:,} RGE and "
            f"{run['cge_steps']:,} CGE steps: {run['cycles']:,} cycles ({run['source']}) on "
            f"{run['lanes']} lanes / {run['hz'] / 1e6:.4g} MHz ({run['clock']}) = "
            f"{_time(run['seconds'])}",
            soft_wrap=True,
        )
    if not report["milestones"]:
        console.print("Chip time to an accuracy: no published run reaches the paper's 96.64 %.")


def _targets(console: Console, report: Mapping[str, Any]) -> None:
    table = Table("target", "limit", "found", "", "from", title="Targets")
    for row in report["targets"]:
        sign = "<=" if row["at_most"] else ">="
        table.add_row(
            row["name"], f"{sign} {row['limit']:,.7g}", f"{row['value']:,.7g}",
            "met" if row["met"] else "missed", row["source"],
        )  # fmt: skip
    if report["targets"]:
        console.print(table)
