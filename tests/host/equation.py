"""A small network that solves an equation, for tests that train for real in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager

from zerotrain.config.changes import changed
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.host.session import ChipKind, Session
from zerotrain.host.trainer import Trainer

TOML = """
name = "small-heat"
[[layers]]
in_modes = [1, 2]
out_modes = [4, 2]
ranks = 2
activation = "sine"
[[layers]]
type = "dense"
inputs = 8
outputs = 1
[equation]
coordinates = ["x", "t"]
ansatz = "f"
residual = "d(u, t) - d2(u, x) / 10"
exact = "exp(-pi**2 * t / 10) * sin(pi * x)"
[equation.data]
h = "exp(-pi**2 * t / 10) * sin(pi * x)"
[equation.nodes]
step = 0.125
[[equation.conditions]]
residual = "u - h"
at = ["t = 0", "x = 0", "x = 1"]
points = 6
weight = 2
[chip]
lanes = 4
[chip.formats]
weight = "Q1.14"
input = "Q1.12"
tt = "Q2.15"
preact = "Q2.15"
delta = "Q2.15"
logit = "Q3.20"
dlogit = "Q3.20"
loss = "Q7.24"
[training]
batch = 16
evaluate_every = 12
[training.subspace]
steps = 12
queries = 8
"""


def config(**changes: object) -> Config:
    return changed(Config.parse(TOML), {k.replace("__", "."): v for k, v in changes.items()})


@contextmanager
def trainer(configuration: Config | None = None) -> Iterator[Trainer]:
    """A trainer on a golden chip."""
    session = Session.of(configuration or config())
    with session.trainer(ChipKind.GOLDEN, load_for(session.config)) as made:
        yield made
