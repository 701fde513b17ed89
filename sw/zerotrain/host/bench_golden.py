"""Speed of the golden model at the paper's size, for ``make bench``."""

import time
from typing import Any

import numpy as np

from zerotrain.golden.fast.engine import engine_of
from zerotrain.golden.fast.threads import thread_count
from zerotrain.golden.fixed import Flags
from zerotrain.golden.steps import Model, State, cge_step, rge_step
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.session import Session
from zerotrain.spec.config import Config
from zerotrain.spec.registers import Baseline
from zerotrain.spec.step import StepSettings

__all__ = ["measure_golden"]

#: 11 evaluations; steps too small to leave the formats.
_SETTINGS = StepSettings(queries=10, baseline=Baseline.BASE, mu=256, gradient_shift=12)


def measure_golden(turns: int, preset: str = "mnist-3962") -> dict[str, Any]:
    """Wall and processor time of one RGE and one CGE step, best of ``turns``.

    The samples are random, a fifth of their pixels not zero, like those of handwritten digits: what
    the model computes does not depend on more than that.
    """
    session = Session.of(Config.preset(preset))
    network, formats = session.config.network, session.chip.formats
    model = Model.of(session.chip, network, session.plan.groups)
    rng, batch = np.random.default_rng(1), session.training.batch
    one = 1 << formats.input.frac_bits
    lit = rng.random((batch, network.n_inputs)) < 0.2
    x = np.where(lit, rng.integers(0, one, lit.shape), 0)
    labels = rng.integers(0, network.n_outputs, batch)
    theta = initial_parameters(network, formats, 1)
    out: dict[str, Any] = {"preset": preset, "batch": batch, "threads": thread_count()}
    engine = engine_of(model)
    for name, step in (("rge", rge_step), ("cge", cge_step)):
        found = []
        for _ in range(turns + 1):  # the first one compiles
            state = State(theta, np.zeros_like(theta), 1)
            begin = time.perf_counter(), time.process_time()
            step(model, _SETTINGS, state, x, labels, Flags(), engine)
            found.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
        wall, cpu = (min(column[1:]) for column in zip(*found, strict=True))
        out[name] = {"wall_seconds": round(wall, 6), "processor_seconds": round(cpu, 6)}
    return out
