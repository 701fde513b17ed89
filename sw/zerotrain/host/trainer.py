"""The training loop: schedule, data and driver together, interruptible between any two steps."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerotrain.config.training import Training
from zerotrain.data.augment import shift_images
from zerotrain.data.dataset import Dataset, Split
from zerotrain.data.mixing import permutation
from zerotrain.exchange.fit import Start
from zerotrain.host.checkpoint import Checkpoint, Counters
from zerotrain.host.digest import RunningHash
from zerotrain.host.driver import Driver, StepResult
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.metric import Measurement, measure, metrics_of
from zerotrain.host.schedule import PlannedStep, Schedule
from zerotrain.spec.chip import Cge
from zerotrain.spec.lfsr import mix_seed
from zerotrain.spec.registers import Command, Saturation

__all__ = ["Row", "Trainer"]

#: First part of the keys of the random streams drawn from a run's seed.
_PARAMETER_STREAM, _ORDER_STREAM, _SHIFT_STREAM = 0, 1, 2


@dataclass(frozen=True)
class Row:
    """One line of the log: a step, or the evaluation before the first.

    ``metric`` is that of the run's loss on the watched part of the data, None where it was not
    measured. ``loss`` is per sample. ``step_size`` is what the chip takes.
    """

    step: int
    phase: str
    loss: float | None
    step_size: float | None
    metric: float | None
    saturation: str
    cycles: int
    beats: int
    loss_stalls: int
    digest: str


class Trainer:
    """One run on one chip.

    Parameters
    ----------
    driver : Driver
        The chip, its program loaded.
    training : Training
        What to do.
    dataset : Dataset
        What to learn.
    step_macs : callable, optional
        ``(kind, batch, losses) -> MACs``, :meth:`zerotrain.compiler.plan.Plan.step_macs`.
    identity : dict, optional
        :func:`~zerotrain.host.identity.identity` of the run, for its checkpoints.
    start : Start, optional
        The parameters to begin with; by default random ones.
    """

    def __init__(
        self,
        driver: Driver,
        training: Training,
        dataset: Dataset,
        *,
        step_macs: Callable[[Any, int, int], int] | None = None,
        identity: dict[str, Any] | None = None,
        start: Start | None = None,
    ) -> None:
        dataset.check(driver.network)
        if training.cge is not None and driver.chip.cge == Cge.NONE:
            raise ValueError(
                "The chip does no CGE (chip.cge = 'none'), the training has a stage "
                "[training.cge]: train without it, or generate a chip with CGE"
            )
        for name, stage in (("rge", training.rge), ("cge", training.cge)):
            if stage is not None and stage.shift and dataset.image_shape is None:
                raise ValueError(
                    f"[training.{name}] shift moves images, and the samples of data set "
                    f"{dataset.name} are none: expected 0, got {stage.shift}"
                )
        self.driver, self.training, self.dataset = driver, training, dataset
        self.metric = metrics_of(driver.network.loss, dataset.scale.unit)[0]
        self.schedule = Schedule(training, driver.chip.formats)
        self.identity, self.start = identity or {}, start
        self._step_macs = step_macs or (lambda kind, batch, losses: 0)
        held_out = training.hold_out_validation
        learned = dataset.training if held_out else dataset.training.join(dataset.validation)
        formats = driver.chip.formats
        self._train = learned.quantize(formats)
        self.watched = training.watched
        self._watch = getattr(dataset, self.watched).quantize(formats)
        if training.batch > len(learned):
            raise ValueError(
                f"The batch has at most the {len(learned)} training samples of {dataset.name}, "
                f"not {training.batch}"
            )
        if training.batch > driver.max_batch:
            raise ValueError(
                f"The chip holds batches of up to {driver.max_batch} samples, got a batch of "
                f"{training.batch}: generate the chip for this batch or train with a smaller one"
            )
        self.counters = Counters()
        self.hash = RunningHash()
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        #: Step whose batch each bank holds and how far its images may be moved, or None.
        self._banked: list[tuple[int, int] | None] = [None] * driver.chip.sample_banks

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.schedule.state.step

    # Data.

    def batch_indices(self, step: int) -> NDArray[np.int64]:
        """Training samples of a step: every epoch all samples in a new order, whole batches."""
        size = self.training.batch
        per_epoch = len(self._train) // size
        epoch, position = divmod(step, per_epoch)
        if self._epoch[0] != epoch:
            key = (self.training.seed, _ORDER_STREAM, epoch)
            self._epoch = (epoch, permutation(len(self._train), *key))
        return self._epoch[1][position * size : (position + 1) * size]

    def _bank(self, step: int, reach: int) -> int:
        """Make sure that a step's batch is on the chip, and say in which bank."""
        bank = step % len(self._banked)
        if self._banked[bank] != (step, reach):
            index = self.batch_indices(step)
            x = self._train.x[index]
            if reach:
                key, shape = (self.training.seed, _SHIFT_STREAM, step), self.dataset.image_shape
                assert shape is not None
                x = shift_images(x, shape, reach, *key)
            self.driver.load_batch(x, self._train.targets[index], bank)
            self._banked[bank] = (step, reach)
        return bank

    def _forget_batches(self) -> None:
        self._banked = [None] * len(self._banked)

    # State.

    def begin(self) -> Row:
        """Put the chip into the initial state of the run and measure it."""
        seed, driver = self.training.seed, self.driver
        formats = driver.chip.formats
        if self.training.initial and self.start is None:
            raise ValueError(
                f"The training begins with the weights of {self.training.initial}: expected them, "
                "got none (zerotrain.host.start loads them)"
            )
        theta = (
            initial_parameters(driver.network, formats, seed, _PARAMETER_STREAM)
            if self.start is None
            else self.start.theta
        )
        driver.parameters = theta
        driver.momentum = np.zeros_like(theta)
        driver.lfsr_state = mix_seed(seed, driver.chip.lfsr_degree)
        self._hash_state()
        found = self._evaluate()
        loss = found.evaluation.mean_loss
        phase = "start" if self.start is None else "warm start"
        return Row(0, phase, loss, None, found.main, "", 0, 0, 0, self.hash.value)

    def checkpoint(self) -> Checkpoint:
        """Everything that :meth:`restore` needs."""
        driver = self.driver
        return Checkpoint(
            self.identity, driver.chip.config_hash, driver.parameters, driver.momentum,
            driver.lfsr_state, self.schedule.save(), self.hash.value, asdict(self.counters),
            self.hash.state_every,
        )  # fmt: skip

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put chip and schedule into a checkpoint's state, which must be of this run."""
        driver = self.driver
        checkpoint.check(self.identity, driver.chip)
        self.identity = checkpoint.identity  # with what the run began with, too
        self.schedule.restore(checkpoint.schedule)
        driver.parameters = checkpoint.theta
        driver.momentum = checkpoint.momentum
        driver.lfsr_state = checkpoint.lfsr_state
        self.hash = RunningHash(checkpoint.digest, checkpoint.state_every)
        self.counters = Counters(**checkpoint.counters)

    def _hash_state(self) -> None:
        self.hash.state(self.driver.parameters, self.driver.momentum, self.driver.lfsr_state)

    def _evaluate(self) -> Measurement:
        """The watched part of the data measured; that uses all banks."""
        self._forget_batches()
        found = measure(self.driver, self._watch, self.dataset.scale)
        self.hash.evaluation(found.evaluation)
        return found

    def measure(self, split: Split) -> Measurement:
        """Any samples measured on the chip; not part of the run."""
        self._forget_batches()
        return measure(self.driver, split.quantize(self.driver.chip.formats), self.dataset.scale)

    # Steps.

    def advance(self) -> Row | None:
        """Take one step, or return None at the end of the schedule."""
        planned = self.schedule.next()
        if planned is None:
            return None
        started = time.perf_counter()
        driver, step = self.driver, self.step
        if planned.clear_momentum:
            driver.momentum = np.zeros(driver.network.n_parameters, np.int64)
        driver.start(planned.command, planned.settings, bank=self._bank(step, planned.shift))
        if len(self._banked) == 2:
            # Loads while the chip works; a new stage that moves images otherwise loads again.
            self._bank(step + 1, planned.shift)
        result = driver.wait()
        self.schedule.record(result.losses, planned)
        last = self.schedule.at_end
        self.hash.step(result)
        if self.hash.state_due(self.step, last=last):
            self._hash_state()
        metric = None
        if self.step % self.training.evaluate_every == 0 or last:
            metric = self._evaluate().main
        self._count(planned, result)
        self.counters.seconds += time.perf_counter() - started
        return Row(
            self.step, planned.phase, self.schedule.mean_loss(result.losses, planned),
            planned.step_size, metric, _flags(result.saturation), result.cycles, result.beats,
            result.loss_stalls, self.hash.value,
        )  # fmt: skip

    def _count(self, planned: PlannedStep, result: StepResult) -> None:
        counters, batch = self.counters, self.training.batch
        counters.saturation |= result.saturation
        if planned.command == Command.CGE:
            counters.cge_steps += 1
            counters.cge_cycles += result.cycles
            counters.cge_macs += self._step_macs("cge", batch, len(result.losses))
        else:
            counters.rge_steps += 1
            counters.rge_cycles += result.cycles
            counters.rge_macs += self._step_macs("rge", batch, len(result.losses))


def _flags(saturation: Saturation) -> str:
    return "+".join(f.name.lower() for f in Saturation if f in saturation and f.name)
