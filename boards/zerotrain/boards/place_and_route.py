"""Place and route with nextpnr: the clock frequency that a design reaches, over several seeds.

By default out of context: ports get whatever pins nextpnr likes, so that a chip can be judged
before it has a board-level wrapper (:mod:`zerotrain.boards.harness` helps where there are more
ports than pins). With a constraint file the result is ready for a bitstream.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from zerotrain.boards.catalogue import Board
from zerotrain.boards.synthesis import ResourceReport
from zerotrain.boards.timing_path import TimingPath, slowest_path
from zerotrain.boards.tools import ToolError, find_nextpnr, run_tool

__all__ = ["RoutedReport", "Run", "place_and_route"]


@dataclass(frozen=True, slots=True)
class Run:
    """One seed.

    Attributes
    ----------
    fmax_hz : float
        Highest frequency of the slowest clock, in hertz.
    utilisation : Mapping
        Used and available number of every kind of site, by nextpnr's names.
    path : TimingPath, optional
        The slowest path between registers.
    """

    fmax_hz: float
    utilisation: Mapping[str, tuple[int, int]]
    path: TimingPath | None


@dataclass(frozen=True)
class RoutedReport:
    """Outcome of routing one design with several seeds.

    Attributes
    ----------
    board : Board
        The target.
    runs : Mapping
        Results by seed.
    target_hz : float
        What the tool aimed at.
    tool : str
        Name and version of the tool.
    options : tuple of str
        What it was told besides what every run is told.
    folder : Path
        Logs (``seed-1.log``), reports and routed designs.
    """

    board: Board
    runs: Mapping[int, Run]
    target_hz: float
    tool: str
    options: tuple[str, ...]
    folder: Path = field(repr=False)

    @property
    def fmax_hz(self) -> dict[int, float]:
        """Frequency by seed."""
        return {seed: run.fmax_hz for seed, run in self.runs.items()}

    @property
    def median_hz(self) -> float:
        """The figure to quote: a single seed is off by several percent."""
        return median(self.fmax_hz.values())

    @property
    def best_seed(self) -> int:
        """The seed to build with."""
        return max(self.runs, key=lambda seed: self.runs[seed].fmax_hz)

    def to_dict(self) -> dict[str, Any]:
        """Plain values without paths of this machine, for JSON."""
        return {
            "board": self.board.name,
            "part": self.board.part,
            "speed_grade": self.board.speed_grade,
            "tool": self.tool,
            "options": list(self.options),
            "target_mhz": self.target_hz / 1e6,
            "median_mhz": round(self.median_hz / 1e6, 2),
            "not_modelled": list(self.board.family.not_modelled),
            "seeds": {
                str(seed): {
                    "mhz": round(run.fmax_hz / 1e6, 2),
                    "slowest_path": asdict(run.path) if run.path else None,
                    "sites": {
                        name: {"used": used, "available": available}
                        for name, (used, available) in run.utilisation.items()
                        if used
                    },
                }
                for seed, run in self.runs.items()
            },
        }


def _arguments(board: Board, seed: int, target_hz: float, constrained: bool) -> list[str]:
    """Options of one nextpnr run; every file is in the folder it runs in."""
    form, (output, ending) = board.family.constraint_form, board.family.bitstream
    arguments = [
        f"--{board.device}", "--package", board.package, "--json", "netlist.json",
        "--seed", str(seed), "--freq", f"{target_hz / 1e6:g}", "--timing-allow-fail",
        "--report", f"seed-{seed}.json", f"--{output}", f"seed-{seed}.{ending}",
        *board.family.route_options,
    ]  # fmt: skip
    if board.speed_grade:
        arguments += ["--speed", board.speed_grade]
    if constrained:
        arguments += [f"--{form}", f"constraints.{form}"]
    else:
        arguments += [f"--{form}-allow-unconstrained"]
    return arguments


def _route(
    seed: int,
    *,
    program: str,
    board: Board,
    folder: Path,
    target_hz: float,
    constrained: bool,
    options: Sequence[str],
    timeout: float,
) -> None:
    run_tool(
        program,
        [*_arguments(board, seed, target_hz, constrained), *options],
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
    options: Sequence[str] = (),
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
    options : sequence of str
        More options of nextpnr.
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
    program, title = find_nextpnr(board.family.name)
    folder = Path(tempfile.mkdtemp(prefix=f"route-{board.name}-", dir=report.folder))
    netlist = json.loads(report.netlist.read_text())
    board.family.floorplan(netlist, board.device)
    (folder / "netlist.json").write_text(json.dumps(netlist))
    if constraints is not None:
        (folder / f"constraints.{board.family.constraint_form}").write_text(constraints)
    target = board.target_hz if target_hz is None else target_hz
    route = partial(
        _route,
        program=program,
        board=board,
        folder=folder,
        target_hz=target,
        constrained=constraints is not None,
        options=options,
        timeout=timeout,
    )
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(route, seeds))
    try:
        runs = {seed: _run(folder / f"seed-{seed}.json") for seed in seeds}
    except (OSError, KeyError, ValueError) as error:
        raise ToolError(
            f"nextpnr ended without an error but its report cannot be read ({error!r}); a design "
            f"without a clock has no frequency; its logs are in {folder}"
        ) from error
    return RoutedReport(
        board=board,
        runs=runs,
        target_hz=target,
        tool=title,
        options=tuple(options),
        folder=folder,
    )


def _run(path: Path) -> Run:
    found = json.loads(path.read_text())
    return Run(
        fmax_hz=1e6 * min(clock["achieved"] for clock in found["fmax"].values()),
        utilisation={n: (u["used"], u["available"]) for n, u in found["utilization"].items()},
        path=slowest_path(found),
    )
