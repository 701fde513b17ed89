"""Speeds of the simulated chip and of the golden model, in one run: ``make bench``.

Both do the same steps of the digits preset on the same data, in turns, so that what else the
machine does meets both alike; then the golden model does steps of the paper's size. Nothing here is
a test; numbers go to ``build/bench.json``.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zerotrain.cosim.chip import VerilatedChip
from zerotrain.cosim.tools import BuildError
from zerotrain.data.dataset import quantize
from zerotrain.data.digits import load_digits
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.bench_golden import measure_golden
from zerotrain.host.driver import Driver, StepResult
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.session import Session
from zerotrain.spec.config import Config
from zerotrain.spec.files import write_atomic
from zerotrain.spec.registers import Baseline, Command
from zerotrain.spec.step import StepSettings

__all__ = ["main", "measure"]

_KINDS = {Command.RGE: "rge", Command.CGE: "cge"}
#: Learns slowly: the values stay in their formats.
_SETTINGS = StepSettings(queries=8, baseline=Baseline.MEAN, mu=256, gradient_shift=12)


def measure(lanes: int, turns: int, *, steps: int = 8) -> dict[str, Any]:
    """Run ``turns`` times ``steps`` RGE and CGE steps on both chips.

    Returns
    -------
    dict
        Plain values, best turn of each: processor seconds per step, cycles per processor second,
        multiplier use, and how many times faster the golden model is.
    """
    config = Config.preset("digits")
    session = Session.of(replace(config, chip=replace(config.chip, lanes=lanes)))
    chip, network, plan = session.chip, session.config.network, session.plan
    data, batch = load_digits(), session.training.batch
    begin = time.monotonic()
    verilated = VerilatedChip(chip, announce=print)
    build_seconds = time.monotonic() - begin
    golden = GoldenChip(chip, network, plan.groups)
    drivers = {
        "verilated": Driver.loaded(verilated, chip, network, plan.program),
        "golden": Driver.loaded(golden, chip, network, plan.program),
    }
    theta = initial_parameters(network, chip.formats, 1)
    x = quantize(data.training.x[:batch], chip.formats.input)
    for driver in drivers.values():
        driver.parameters, driver.momentum = theta, np.zeros(network.n_parameters, np.int64)
        driver.lfsr_state = 0x1234567
        driver.load_batch(x, data.training.labels[:batch], 0)

    best: dict[tuple[str, str], float] = {}
    results: dict[str, StepResult] = {}
    for _ in range(turns):
        for command, kind in _KINDS.items():
            for name, driver in drivers.items():
                begin = time.process_time()
                for _ in range(steps):
                    result = driver.step(command, _SETTINGS, bank=0)
                seconds = (time.process_time() - begin) / steps
                best[name, kind] = min(seconds, best.get((name, kind), seconds))
                if name == "verilated":
                    results[kind] = result
    if not np.array_equal(drivers["verilated"].parameters, drivers["golden"].parameters):
        raise RuntimeError(
            "The simulated chip and the golden model have come apart: run the tests before "
            "measuring speeds"
        )
    out: dict[str, Any] = {
        "lanes": chip.lanes,
        "batch": batch,
        "queries": _SETTINGS.queries,
        "build_seconds": round(build_seconds, 1),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }
    for kind, result in results.items():
        macs = plan.step_macs("rge" if kind == "rge" else "cge", batch, len(result.losses))
        chip_seconds, golden_seconds = best["verilated", kind], best["golden", kind]
        out[kind] = {
            "cycles": result.cycles,
            "multiplier_use": round(macs / (result.cycles * chip.lanes), 4),
            "loss_stalls": result.loss_stalls,
            "verilated_seconds": round(chip_seconds, 6),
            "golden_seconds": round(golden_seconds, 6),
            "cycles_per_cpu_second": round(result.cycles / chip_seconds),
            "golden_speedup": round(chip_seconds / golden_seconds, 2),
        }
    verilated.close()
    return out


def main() -> int:
    """Measure, print, and write ``build/bench.json``."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=8, help="lanes of the chip (default 8)")
    parser.add_argument("--turns", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    try:
        if options.turns < 1:
            raise ValueError(f"--turns is at least 1, not {options.turns}")
        found = measure(options.lanes, options.turns)
        found["golden"] = measure_golden(4 * options.turns)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(options.output, json.dumps(found, indent=2) + "\n")
    except (BuildError, ValueError, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for kind in _KINDS.values():
        row = found[kind]
        print(
            f"{kind.upper()} step: {row['cycles']} cycles, multipliers {row['multiplier_use']:.1%} "
            f"used; simulated in {row['verilated_seconds'] * 1e3:.1f} ms "
            f"({row['cycles_per_cpu_second'] / 1e6:.2f} M cycles/s), golden model "
            f"{row['golden_seconds'] * 1e3:.1f} ms ({row['golden_speedup']:.1f} times as fast)"
        )
    golden = found["golden"]
    for kind in _KINDS.values():
        row = golden[kind]
        print(
            f"{golden['preset']} {kind.upper()} step, batch {golden['batch']}, golden model: "
            f"{row['wall_seconds'] * 1e3:.1f} ms on {golden['threads']} threads "
            f"({row['processor_seconds'] * 1e3:.1f} ms of processor time)"
        )
    print(f"Written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
