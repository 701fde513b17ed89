"""The figures that this project set itself, and where each of them stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Target", "targets"]

_TT = ("mnist-3962", "mnist-8314", "mnist-2698")


@dataclass(frozen=True, slots=True)
class Target:
    """A figure, its limit (``at_most``: from above), and how it was found."""

    name: str
    value: float
    limit: float
    at_most: bool
    source: str

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def targets(report: Mapping[str, Any]) -> Iterator[Target]:
    """The targets on which a report (:func:`zerotrain.bench.report.measure`) says something."""
    seen = set()
    for chip in report["chips"]:
        name = f"{chip['preset']}, {chip['lanes']} lanes"
        if chip["preset"] in _TT and name not in seen:
            seen.add(name)
            yield from _chip_targets(name, chip)
    golden = report["presets"].get("mnist-3962", {}).get("golden")
    if golden is not None:
        losses = report["presets"]["mnist-3962"]["losses"]["rge"]
        source = f"measured, load {report['machine']['load']:g}"
        rge = 1e3 * golden["rge"]["wall"] * 11 / losses
        yield Target("mnist-3962, golden model, ms for 11 losses", rge, 12, True, source)
        cge = 1e3 * golden["cge"]["wall"]
        yield Target("mnist-3962, golden model, ms for a CGE step", cge, 60, True, source)
    milestones: Sequence[Mapping[str, Any]] = report["milestones"]
    for run in milestones:
        if run["preset"] == "mnist-3962":
            source = f"{run['source']}, clock {run['clock']}"
            name = f"{run['run']}, seconds of the chip to {run['accuracy']:.2%}"
            yield Target(name, run["seconds"], 120, True, source)


def _chip_targets(name: str, chip: Mapping[str, Any]) -> Iterator[Target]:
    loss, rge, cge = (chip["steps"][kind] for kind in ("evaluate", "rge", "cge"))
    use = rge["multiplier_use"]
    yield Target(f"{name}, multiplier use of an RGE step", use, 0.95, False, rge["source"])
    if (chip["preset"], chip["lanes"]) == ("mnist-3962", 64):
        yield Target(f"{name}, cycles of a loss", loss["cycles"], 350_000, True, loss["source"])
        yield Target(f"{name}, cycles of a CGE step", cge["cycles"], 6e6, True, cge["source"])
        forwards = cge["macs"] / loss["macs"]
        yield Target(f"{name}, CGE step in losses' worth of MACs", forwards, 16.5, True, "plan")
    else:
        use = cge["multiplier_use"]
        yield Target(f"{name}, multiplier use of a CGE step", use, 0.85, False, cge["source"])
