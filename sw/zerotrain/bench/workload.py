"""The steps that are measured: those of a preset's training, on one batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerotrain.compiler.plan import StepCost, StepKind
from zerotrain.config.config import Config
from zerotrain.data.digits import load_digits
from zerotrain.host.driver import Driver
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.session import Session
from zerotrain.host.settings import step_settings
from zerotrain.spec.bus import Bus
from zerotrain.spec.registers import Baseline, Command
from zerotrain.spec.step import StepSettings

__all__ = ["COMMANDS", "KINDS", "Workload", "epoch_samples"]

Ints = NDArray[np.int64]

#: Steps in the order in which they are shown; "evaluate" is one loss of the batch.
KINDS: tuple[StepKind, ...] = ("evaluate", "rge", "cge")
COMMANDS = {"evaluate": Command.EVALUATE, "rge": Command.RGE, "cge": Command.CGE}
#: Not zero; cycles do not depend on it.
_LFSR_STATE = 0x1234567
#: Seconds for one step of a simulated chip of 64 lanes.
_TIMEOUT = 3600.0


def epoch_samples(dataset: str) -> int:
    """Samples that a final run trains on. MNIST's files need not be there."""
    if dataset == "mnist":
        return 60_000
    data = load_digits()
    return len(data.training) + len(data.validation)


@dataclass(frozen=True)
class Workload:
    """A configuration, its chip, the settings of its steps, and a batch.

    The samples are random, a fifth of their pixels not zero, like those of handwritten digits:
    nothing that is measured depends on more than that.

    Attributes
    ----------
    session : Session
        Chip and plan.
    x : int64[batch, n_inputs]
        Raw, format ``input``.
    labels : int64[batch]
        Classes.
    theta : int64[d]
        Initial parameters, raw.
    settings : dict
        Of the first RGE and the first CGE step, as the preset trains.
    """

    session: Session
    x: Ints
    labels: Ints
    theta: Ints
    settings: dict[StepKind, StepSettings]

    @classmethod
    def of(cls, config: Config) -> "Workload":
        """The steps of a configuration that has both stages."""
        session = Session.of(config)
        training, network, formats = session.training, config.network, session.chip.formats
        if training.rge is None or training.cge is None:
            raise ValueError(
                f"Configuration {network.name} is measured in both stages: expected "
                "[training.rge] and [training.cge]"
            )
        rng, batch = np.random.default_rng(1), training.batch
        lit = rng.random((batch, network.n_inputs)) < 0.2
        x = np.where(lit, rng.integers(0, 1 << formats.input.frac_bits, lit.shape), 0)
        settings: dict[StepKind, StepSettings] = {
            "evaluate": StepSettings(),
            "rge": step_settings(training.rge, formats, batch, training.rge.step_size),
            "cge": step_settings(training.cge, formats, batch, training.cge.step_size),
        }
        labels = rng.integers(0, network.n_outputs, batch)
        return cls(session, x, labels, initial_parameters(network, formats, 1), settings)

    @property
    def batch(self) -> int:
        return len(self.x)

    def losses(self, kind: StepKind, settings: StepSettings | None = None) -> int:
        """Losses of the batch that a step takes, by default one as the preset trains."""
        if kind == "rge":
            settings = settings or self.settings["rge"]
            return settings.queries + (settings.baseline == Baseline.BASE)
        return 1 if kind == "evaluate" else self.session.config.network.n_parameters + 1

    def macs(self, kind: StepKind, settings: StepSettings | None = None) -> int:
        """Multiply-accumulates of a step."""
        return self.session.plan.step_macs(kind, self.batch, self.losses(kind, settings))

    def cost(self, kind: StepKind, settings: StepSettings | None = None) -> StepCost:
        """The planner's estimate of a step."""
        chosen = settings or self.settings[kind]
        return self.session.plan.step_cost(
            kind, batch=self.batch, queries=chosen.queries, baseline=chosen.baseline
        )

    def driver(self, bus: Bus) -> Driver:
        """A driver with program, parameters and batch loaded: ready for steps on bank 0."""
        network, chip = self.session.config.network, self.session.chip
        driver = Driver.loaded(bus, chip, network, self.session.plan.program, timeout=_TIMEOUT)
        driver.parameters, driver.momentum = self.theta, np.zeros_like(self.theta)
        driver.lfsr_state = _LFSR_STATE
        driver.load_batch(self.x, self.labels, 0)
        return driver
