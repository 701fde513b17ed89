"""A small network with its data, for tests that train for real in milliseconds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.config import Config
from zerotrain.data.dataset import Dataset, Split
from zerotrain.data.mixing import uniform
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.digest import STATE_EVERY, RunningHash
from zerotrain.host.driver import Driver
from zerotrain.host.identity import identity
from zerotrain.host.session import Session
from zerotrain.host.trainer import Trainer
from zerotrain.spec.bus import Bus

TOML = """
name = "small"
[[layers]]
in_modes = [2, 3]
out_modes = [3, 2]
ranks = 2
activation = "relu"
[[layers]]
type = "dense"
inputs = 6
outputs = 3
[chip]
lanes = 3
[training]
dataset = "small"
batch = 8
evaluate_every = 4
[training.rge]
steps = 9
queries = 4
step_size = 0.01
final_step_size = 0.002
momentum = 0.5
gradient_limit = 32.0
[training.cge]
steps = 8
step_size = 0.2
final_step_size = 0.02
momentum = 0.75
"""


class Wrapper:
    """A bus that passes everything on; tests override what should go wrong."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        return self.bus.read(address, count)

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        self.bus.write(address, words)

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        self.bus.wait(address, mask, value, timeout)

    def close(self) -> None:
        self.bus.close()


def config(extra: str = "") -> Config:
    return Config.parse(TOML + extra)


def dataset() -> Dataset:
    """100 points in three classes, told apart by the largest of three pairs of inputs."""
    x = uniform(600, 5).reshape(100, 6)
    labels = np.argmax(x[:, :3] + x[:, 3:], axis=1).astype(np.int64)
    return Dataset.split("small", Split(x, labels), 3, (2, 3), test=23, validation=10, seed=3)


@contextmanager
def trainer(
    wrap: Callable[[Bus], Bus] = lambda bus: bus,
    configuration: Config | None = None,
    *,
    state_every: int = STATE_EVERY,
) -> Iterator[Trainer]:
    """A trainer on a golden chip, its bus wrapped; the state is hashed every so many steps."""
    session = Session.of(configuration or config())
    network, plan = session.config.network, session.plan
    bus = wrap(GoldenChip(session.chip, network, plan.groups))
    driver = Driver.loaded(bus, session.chip, network, plan.program, timeout=5.0)
    data = dataset()
    run = identity(session.config, plan.groups, data)
    made = Trainer(driver, session.training, data, step_macs=plan.step_macs, identity=run)
    made.hash = RunningHash(state_every=state_every)
    yield made
    bus.close()
