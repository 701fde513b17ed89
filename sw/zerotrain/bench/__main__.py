"""``python -m zerotrain.bench``: measure, print, and write ``build/bench.json``."""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from zerotrain.bench.report import PRESETS, Options, Simulate, measure
from zerotrain.bench.show import show
from zerotrain.cosim.tools import BuildError
from zerotrain.spec.files import make_folder, write_atomic

#: Columns of the widest table; a terminal may be narrower.
_WIDTH = 170
_WITHOUT_TORCH = (
    "PyTorch is left out, it is not installed: .venv/bin/python -m pip install "
    "-c .ci/constraints.txt torch"
)


def _options(arguments: list[str] | None) -> tuple[Options, Path]:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure what training steps cost, and write a JSON file."
    )
    parser.add_argument(
        "--presets", nargs="+", choices=PRESETS, default=PRESETS, metavar="PRESET",
        help=f"configurations to measure (default: {', '.join(PRESETS)})",
    )  # fmt: skip
    parser.add_argument(
        "--lanes", type=int, nargs="+", default=[8, 64],
        help="lanes of the ECP5 chips (default: 8 64)",
    )  # fmt: skip
    parser.add_argument(
        "--simulate", choices=list(Simulate), default=Simulate.DIGITS, type=Simulate,
        help="what the counters are read from: digits on 8 lanes (seconds); short, also a loss "
        "and an RGE step of 2 queries of the other presets; paper, whole RGE and CGE steps of "
        "them (minutes for each chip of 64 lanes). The rest is the planner's estimate.",
    )  # fmt: skip
    parser.add_argument(
        "--turns", type=int, default=5, help="measurements of a simulated digits step (default: 5)"
    )
    parser.add_argument("--output", type=Path, default=Path("build") / "bench.json")
    found = parser.parse_args(arguments)
    if found.turns < 1:
        raise ValueError(f"--turns is at least 1, not {found.turns}")
    options = Options(
        tuple(found.presets), tuple(dict.fromkeys(found.lanes)), found.simulate, found.turns
    )
    return options, found.output


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 if it could not be run."""
    console = Console(width=_WIDTH)
    try:
        options, output = _options(arguments)
        report = measure(options, lambda text: console.print(text, soft_wrap=True))
        make_folder(output.parent, "the folder")
        write_atomic(output, json.dumps(report, indent=2) + "\n")
    except (BuildError, ValueError, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    show(console, report, _WITHOUT_TORCH)
    console.print(f"Written to {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
