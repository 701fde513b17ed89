"""Speed of the golden model, and what a step moves over the bus."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.bench.workload import COMMANDS, KINDS, Workload
from zerotrain.compiler.plan import StepKind
from zerotrain.golden.chip import GoldenChip
from zerotrain.golden.fast.engine import engine_of
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, rge_step
from zerotrain.spec.bus import Bus

__all__ = ["CountingBus", "golden_seconds", "step_bytes"]


def golden_seconds(work: Workload, turns: int) -> dict[str, dict[str, float]]:
    """Wall and processor seconds of an RGE and of a CGE step, best of ``turns``."""
    session = work.session
    model = Model.of(session.chip, session.config.network, session.plan.groups)
    engine = engine_of(model)
    steps: dict[StepKind, Callable[..., Any]] = {"rge": rge_step, "cge": cge_step}
    out: dict[str, dict[str, float]] = {}
    for kind, step in steps.items():
        found = []
        for _ in range(turns + 1):  # the first one compiles
            state = State(work.theta, np.zeros_like(work.theta), 1)
            begin = time.perf_counter(), time.process_time()
            step(model, work.settings[kind], state, work.x, work.labels, Flags(), engine)
            found.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
        wall, cpu = (min(column[1:]) for column in zip(*found, strict=True))
        out[kind] = {"wall": round(wall, 6), "processor": round(cpu, 6)}
    return out


@dataclass
class CountingBus:
    """A bus that counts the bytes that pass; a wait is one read."""

    bus: Bus
    bytes: int = 0

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        self.bytes += 4 * count
        return self.bus.read(address, count)

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        self.bytes += 4 * len(words)
        self.bus.write(address, words)

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        self.bytes += 4
        self.bus.wait(address, mask, value, timeout)

    def close(self) -> None:
        self.bus.close()


def step_bytes(work: Workload) -> dict[str, int]:
    """Bytes over the bus for each kind of step: its batch, its settings, its results."""
    session = work.session
    golden = GoldenChip(session.chip, session.config.network, session.plan.groups)
    bus = CountingBus(golden)
    driver = work.driver(bus)
    counts: dict[str, int] = {}
    for kind in KINDS:
        before = bus.bytes
        driver.load_batch(work.x, work.labels, 0)
        driver.step(COMMANDS[kind], work.settings[kind], bank=0)
        counts[kind] = bus.bytes - before
    return counts
