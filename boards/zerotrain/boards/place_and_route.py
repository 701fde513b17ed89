"""Place and route with nextpnr: the clock frequency that a design reaches, over several seeds.

By default out of context: ports get whatever pins nextpnr likes, so that a chip can be judged
before it has a board-level wrapper (:mod:`zerotrain.boards.harness` helps where there are more
ports than pins). With a constraint file the result is ready for a bitstream.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from zerotrain.boards.catalogue import Board, Family
from zerotrain.boards.synthesis import ResourceReport
from zerotrain.boards.tools import ToolError, run_tool, tool_version

__all__ = ["RoutedReport", "place_and_route"]


@dataclass(frozen=True)
class RoutedReport:
    """Outcome of routing one design with several seeds.

    Attributes
    ----------
    board : Board
        The target.
    fmax_hz : Mapping
        Highest clock frequency by seed, of the slowest clock, in hertz.
    utilisation : Mapping
        Used and available number of every kind of site, by nextpnr's names, for the first seed.
    critical_path : tuple of str
        Cells along the slowest path of the fastest seed, for finding the place in the gateware.
    tool : str
        Name and version of the tool.
    folder : Path
        Logs (``seed-1.log``), reports and routed designs.

    Notes
    -----
    nextpnr has no timing model of iCE40UP5K's SB_MAC16 and SPRAM: figures of designs whose
    critical path runs through them are too good.
    """

    board: Board
    fmax_hz: Mapping[int, float]
    utilisation: Mapping[str, tuple[int, int]]
    critical_path: tuple[str, ...] = field(repr=False)
    tool: str
    folder: Path = field(repr=False)

    @property
    def median_hz(self) -> float:
        """The figure to quote: a single seed is off by several percent."""
        return median(self.fmax_hz.values())

    @property
    def best_seed(self) -> int:
        """The seed to build with."""
        return max(self.fmax_hz, key=lambda seed: self.fmax_hz[seed])


def _arguments(board: Board, seed: int, target_hz: float, constrained: bool) -> list[str]:
    """Options of one nextpnr run; every file is in the folder it runs in."""
    flow = {
        Family.ICE40: ["pcf", "asc", f"seed-{seed}.asc"],
        Family.ECP5: ["lpf", "textcfg", f"seed-{seed}.config"],
    }
    form, output, result = flow[board.family]
    arguments = [
        f"--{board.device}", "--package", board.package, "--json", "netlist.json",
        "--seed", str(seed), "--freq", f"{target_hz / 1e6:g}", "--timing-allow-fail",
        "--report", f"seed-{seed}.json", f"--{output}", result,
    ]  # fmt: skip
    if board.speed_grade:
        arguments += ["--speed", board.speed_grade]
    if constrained:
        arguments += [f"--{form}", f"constraints.{form}"]
    else:
        arguments += [f"--{form}-allow-unconstrained"]
    return arguments


def _route(
    seed: int, *, board: Board, folder: Path, target_hz: float, constrained: bool, timeout: float
) -> None:
    run_tool(
        f"yowasp-nextpnr-{board.family}",
        _arguments(board, seed, target_hz, constrained),
        cwd=folder,
        log=folder / f"seed-{seed}.log",
        timeout=timeout,
    )


def place_and_route(
    report: ResourceReport,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    target_hz: float | None = None,
    constraints: str | None = None,
    jobs: int = 1,
    timeout: float = 1800.0,
) -> RoutedReport:
    """Place and route a synthesised design.

    Parameters
    ----------
    report : ResourceReport
        Result of :func:`zerotrain.boards.synthesis.synthesise`, hierarchy flattened.
    seeds : sequence of int
        One run each.
    target_hz : float, optional
        Frequency that the tool aims at, by default the board's crystal.
    constraints : str, optional
        Text of a PCF or LPF file, see :func:`zerotrain.boards.catalogue.constraints`. Every port
        of the design must then have a pin.
    jobs : int
        Runs at the same time.
    timeout : float
        Seconds before a run is stopped.

    Raises
    ------
    ToolError
        If nextpnr is missing, fails, or is not done in time; its log is kept.
    ValueError
        If the design does not fit, without running anything.
    """
    if not seeds:
        raise ValueError("Place and route needs at least one seed, got none")
    report.check()
    board = report.board
    version = tool_version(f"yowasp-nextpnr-{board.family}")
    folder = Path(tempfile.mkdtemp(prefix=f"route-{board.name}-", dir=report.folder))
    shutil.copyfile(report.netlist, folder / "netlist.json")
    if constraints is not None:
        form = "pcf" if board.family == Family.ICE40 else "lpf"
        (folder / f"constraints.{form}").write_text(constraints)
    route = partial(
        _route,
        board=board,
        folder=folder,
        target_hz=board.clock_hz if target_hz is None else target_hz,
        constrained=constraints is not None,
        timeout=timeout,
    )
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(route, seeds))
    try:
        found = {s: json.loads((folder / f"seed-{s}.json").read_text()) for s in seeds}
        fmax = {s: 1e6 * min(c["achieved"] for c in r["fmax"].values()) for s, r in found.items()}
        best = found[max(fmax, key=lambda s: fmax[s])]
        used = {n: (u["used"], u["available"]) for n, u in found[seeds[0]]["utilization"].items()}
        path = _slowest_path(best)
    except (OSError, KeyError, ValueError) as error:
        raise ToolError(
            f"nextpnr ended without an error but its report cannot be read ({error!r}); a design "
            f"without a clock has no frequency; its logs are in {folder}"
        ) from error
    return RoutedReport(
        board=board,
        fmax_hz=fmax,
        utilisation=used,
        critical_path=path,
        tool=f"yowasp-nextpnr-{board.family} {version}",
        folder=folder,
    )


def _slowest_path(found: Mapping[str, object]) -> tuple[str, ...]:
    """Cells along the longest path that stays within one clock domain."""
    paths = found.get("critical_paths")
    longest: tuple[float, tuple[str, ...]] = (0.0, ())
    for path in paths if isinstance(paths, list) else []:
        if path["from"] == path["to"]:
            delay = sum(step["delay"] for step in path["path"])
            cells = dict.fromkeys(step["to"]["cell"] for step in path["path"])
            longest = max(longest, (delay, tuple(cells)))
    return longest[1]
