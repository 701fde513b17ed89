"""Whole runs: interruption and resume, the running hash, verification."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.cli.options import override
from zerotrain.config.config import Config
from zerotrain.data.mixing import words as random_words
from zerotrain.host.digest import RunningHash
from zerotrain.host.driver import Evaluation, StepResult
from zerotrain.host.folder import RunFolder
from zerotrain.host.health import Health
from zerotrain.host.initialise import initial_parameters
from zerotrain.host.run import conclude
from zerotrain.host.session import ChipKind, Progress, Session, train
from zerotrain.host.trainer import Trainer
from zerotrain.host.verify import verify
from zerotrain.spec.bus import Bus
from zerotrain.spec.formats import Formats
from zerotrain.spec.network import Network, dense
from zerotrain.spec.registers import Baseline, Command, Saturation, register, windows

from . import small
from .small import Wrapper

STEPS = 17


def digests(wrap: Callable[[Bus], Bus] = lambda bus: bus, state_every: int = 1) -> list[str]:
    """The running hash of a whole run after every step."""
    with small.trainer(wrap, state_every=state_every) as trainer:
        found = [trainer.begin().digest]
        while (row := trainer.advance()) is not None:
            found.append(row.digest)
        return found


def end_state(trainer: Trainer) -> tuple[object, ...]:
    driver = trainer.driver
    return (
        driver.parameters.tolist(), driver.momentum.tolist(), driver.lfsr_state,
        trainer.hash.value, trainer.schedule.save(),
    )  # fmt: skip


def folder_run(path: Path, cuts: Sequence[int], *changes: str) -> tuple[object, ...]:
    """A run that is interrupted at the given steps and resumed from its folder each time."""
    folder = RunFolder(path)
    folder.begin(override(small.config(), list(changes)))
    for turn, cut in enumerate([*cuts, STEPS + 1]):
        folder = RunFolder(path)
        saved = folder.resume()[1] if turn else None
        with small.trainer(configuration=Config.load(folder.config_path)) as trainer:
            if saved is not None:
                trainer.restore(saved)
            session = Session.of(small.config())
            complete = train(session, trainer, folder, stop=lambda: trainer.step >= cut)  # noqa: B023
            if complete:
                conclude(session, trainer, folder, ChipKind.GOLDEN, health=Health.of(trainer))
                return end_state(trainer)
    raise AssertionError("the run did not end")


@pytest.mark.parametrize("shift", [(0, 0), (0, 1), (1, 0)])
def test_one_bank_of_samples_gives_the_same_numbers(shift: tuple[int, int]) -> None:
    """Also where a stage follows whose images move otherwise than those that were loaded ahead."""
    ends = []
    for banks in (1, 2):
        changes = [
            f"training.{stage}.shift={n}" for stage, n in zip(("rge", "cge"), shift, strict=True)
        ]
        changed = override(small.config(), [f"chip.sample_banks={banks}", *changes])
        with small.trainer(configuration=changed) as trainer:
            trainer.begin()
            while trainer.advance() is not None:
                pass
            ends.append(end_state(trainer))
    assert ends[0] == ends[1]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[object, ...]]:
    path = tmp_path_factory.mktemp("whole")
    return path, folder_run(path, [])


@pytest.mark.parametrize(
    "cuts", [[0], [1], [4], [8], [9], [10], [16], [3, 9, 10], [0, 1, 2, 3], [17]], ids=str
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, cuts: list[int], reference: tuple[Path, tuple[object, ...]]
) -> None:
    path, state = reference
    assert folder_run(tmp_path, cuts) == state
    log = (tmp_path / "log.csv").read_text()
    assert log == (path / "log.csv").read_text()
    assert len(log.splitlines()) == STEPS + 2


def test_shifted_images_are_the_same_after_an_interruption(
    tmp_path: Path, reference: tuple[Path, tuple[object, ...]]
) -> None:
    states = [reference[1]]
    for stage in ("rge", "cge"):
        shift = f"training.{stage}.shift=1"
        states.append(folder_run(tmp_path / stage, [], shift))
        assert folder_run(tmp_path / f"{stage}-cut", [3, 12], shift) == states[-1]
    assert states[0] != states[1] != states[2] != states[0]


def test_a_crash_between_log_and_checkpoint_is_no_loss(
    tmp_path: Path, reference: tuple[Path, tuple[object, ...]]
) -> None:
    """The log is written first: rows after the checkpoint are dropped and taken again."""
    path, state = reference
    folder, session = RunFolder(tmp_path), Session.of(small.config())
    folder.begin(small.config())
    with small.trainer() as trainer:
        train(session, trainer, folder, stop=lambda: trainer.step >= 6)
        older = folder.checkpoint_path.read_bytes()
        train(session, trainer, folder, stop=lambda: trainer.step >= 12)
    folder.checkpoint_path.write_bytes(older)
    folder = RunFolder(tmp_path)
    _, checkpoint = folder.resume()
    with small.trainer() as trainer:
        trainer.restore(checkpoint)
        assert trainer.step == 6
        assert train(session, trainer, folder)
        assert end_state(trainer) == state
    assert folder.log_path.read_text() == (path / "log.csv").read_text()


def test_run_folder(reference: tuple[Path, tuple[object, ...]]) -> None:
    path, _ = reference
    names = {"config.toml", "log.csv", "checkpoint.ztc", "curves.png", "summary.json"}
    assert {p.name for p in path.iterdir()} == names
    assert (path / "curves.png").read_bytes().startswith(b"\x89PNG")
    values = json.loads((path / "summary.json").read_text())
    assert (values["steps"], values["rge_steps"], values["cge_steps"]) == (STEPS, 9, 8)
    assert values["golden_equal"] is None and values["cycles"] is None
    assert Config.load(path / "config.toml") == small.config()


def test_the_loss_falls() -> None:
    longer = small.config()
    assert longer.training is not None and longer.training.cge is not None
    cge = replace(longer.training.cge, steps=150)
    with small.trainer(
        configuration=replace(longer, training=replace(longer.training, cge=cge))
    ) as trainer:
        first = trainer.begin()
        rows = [row for _ in range(159) if (row := trainer.advance()) is not None]
    assert first.loss is not None and first.metric is not None
    assert rows[-1].loss is not None and rows[-1].metric is not None
    assert rows[-1].loss < 0.6 * first.loss
    assert rows[-1].metric > 0.8


def test_counted_work() -> None:
    """The losses of a CGE step share its work: none of them counts twice."""
    session = Session.of(small.config())
    with small.trainer() as trainer:
        while trainer.advance() is not None:
            pass
        counters = trainer.counters
    assert (counters.rge_steps, counters.cge_steps) == (9, 8)
    assert (
        counters.rge_macs
        == 9 * session.plan.step_cost("rge", queries=4, baseline=Baseline.MEAN).macs
    )
    assert counters.cge_macs == 8 * session.plan.step_cost("cge").macs


class Flip(Wrapper):
    """Flips one bit of one word of a window or register, at one access after some steps."""

    def __init__(self, bus: Bus, trainer_chip: Session, what: str, step: int, bit: int) -> None:
        super().__init__(bus)
        area = windows(trainer_chip.chip).get(what)
        self.address = area.base + 4 if area else register(what).address
        self.step, self.bit, self.commands, self.armed = step, bit, 0, False

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        found = self.bus.read(address, count)
        index = (self.address - address) // 4
        if self.armed and 0 <= index < count:
            self.armed = False
            found = found.copy()
            found[index] ^= np.uint32(1 << self.bit)
        return found

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        if address == register("command").address and int(words[0]) != Command.EVALUATE:
            self.commands += 1
            self.armed = self.commands == self.step
        self.bus.write(address, words)


@pytest.fixture(scope="module")
def golden_digests() -> list[str]:
    return digests()


@pytest.mark.parametrize("what", ["parameters", "momentum", "losses", "lfsr_lo", "saturation"])
@pytest.mark.parametrize("step", [1, 6, 13, STEPS])
def test_one_flipped_bit_anywhere_is_found(what: str, step: int, golden_digests: list[str]) -> None:
    bit = int(random_words(1, step, len(what))[0] % np.uint64(8))
    flipped = digests(lambda bus: Flip(bus, Session.of(small.config()), what, step, bit))
    assert flipped[:step] == golden_digests[:step]
    assert flipped[step] != golden_digests[step]
    with small.trainer(state_every=1) as trainer:
        result = verify(trainer, flipped)
    assert (result.equal, result.first_difference) == (False, step)
    assert str(result) == f"The golden model differs from step {step} on."


class FlipMemory(Flip):
    """Flips a bit in the chip's own parameter memory, as a faulty chip would."""

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        if self.armed:
            self.armed = False
            word = int(self.bus.read(self.address)[0])
            self.bus.write(self.address, [word ^ 1 << self.bit])
        return self.bus.read(address, count)


def test_one_flipped_bit_in_the_chip_is_found(golden_digests: list[str]) -> None:
    session = Session.of(small.config())
    flipped = digests(lambda bus: FlipMemory(bus, session, "parameters", 5, 0))
    equal = [a == b for a, b in zip(flipped, golden_digests, strict=True)]
    # From the step after which the parameters are read, on to the end.
    assert equal == [True] * 5 + [False] * (STEPS - 4)


@pytest.mark.parametrize(("step", "known"), [(6, 4), (9, 8), (12, 8), (13, 12), (STEPS, 16)])
def test_a_difference_in_the_state_is_bounded(step: int, known: int) -> None:
    """With the state hashed every four steps, a wrong loss names its step; a wrong parameter is
    found in the next step's losses, or where the state is hashed."""
    session = Session.of(small.config())
    flipped = digests(lambda bus: Flip(bus, session, "losses", step, 1), state_every=4)
    with small.trainer(state_every=4) as trainer:
        result = verify(trainer, flipped)
    assert (result.equal, result.first_difference, result.last_state) == (False, step, known)
    since = f"; all parameters were last compared, and equal, after step {known}"
    assert str(result) == (
        f"The golden model differs from step {step} on{'' if known + 1 == step else since}."
    )


class FlipAfterStep(Flip):
    """Flips a bit in the chip's own parameter memory at the end of a step."""

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        return self.bus.read(address, count)

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        self.bus.wait(address, mask, value, timeout)
        if self.armed:
            self.armed = False
            word = int(self.bus.read(self.address)[0])
            self.bus.write(self.address, [word ^ 1 << self.bit])


@pytest.mark.parametrize("step", [5, 7, 8, 14, STEPS])
def test_a_wrong_parameter_is_found_without_being_read(step: int) -> None:
    """In the next step's losses, or at once where the state is hashed."""
    session = Session.of(small.config())
    flipped = digests(lambda bus: FlipAfterStep(bus, session, "parameters", step, 9), state_every=4)
    with small.trainer(state_every=4) as trainer:
        result = verify(trainer, flipped)
    due = step % 4 == 0 or step == STEPS
    assert (result.equal, result.first_difference) == (False, step if due else step + 1)
    assert result.last_state == (step - 1) // 4 * 4


def test_the_state_is_read_where_it_is_due() -> None:
    """Every so many steps and after the last, not after the others."""
    reads: list[int] = []

    class Spy(Wrapper):
        def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
            if address == window.base:
                reads.append(trainer.step)
            return self.bus.read(address, count)

    window = windows(Session.of(small.config()).chip)["momentum"]
    with small.trainer(Spy, state_every=5) as trainer:
        trainer.begin()
        while trainer.advance() is not None:
            pass
    assert reads == [0, 5, 10, 15, STEPS]


def test_a_state_is_hashed_every_so_many_steps() -> None:
    with pytest.raises(ValueError, match=r"^The state is hashed every 1 or more steps, not 0$"):
        RunningHash(state_every=0)


def test_verification_of_an_equal_run() -> None:
    seen: list[int] = []
    with small.trainer() as trainer:
        result = verify(trainer, digests(state_every=16), seen.append)
    assert (result.equal, result.steps, result.first_difference) == (True, STEPS, None)
    assert seen == list(range(STEPS + 1))
    assert str(result) == (
        f"The golden model holds the same losses at every one of {STEPS} steps, and the same "
        "parameters every 16 steps and at the end."
    )


def test_verification_of_a_log_that_is_too_long_or_empty(golden_digests: list[str]) -> None:
    with small.trainer(state_every=1) as trainer:
        assert not verify(trainer, [*golden_digests, "00"]).equal
    with small.trainer(state_every=1) as trainer:
        assert not verify(trainer, []).equal


def test_every_part_of_the_running_hash_counts() -> None:
    theta, momentum = np.array([1, 2]), np.array([3, -4])
    result = StepResult(Command.RGE, np.array([5, 6]), 1, 1, 0, Saturation(0), 0)
    plain: list[Callable[[RunningHash], None]] = [
        lambda h: h.state(theta, momentum, 9),
        lambda h: h.step(result),
        lambda h: h.evaluation(Evaluation(1, 2, 3)),
    ]
    changed: list[list[Callable[[RunningHash], None]]] = [
        [
            lambda h: h.state(theta ^ 1, momentum, 9),
            lambda h: h.state(theta, momentum ^ 1, 9),
            lambda h: h.state(theta, momentum, 8),
            lambda h: h.state(momentum, theta, 9),
        ],
        [
            lambda h: h.step(replace(result, losses=np.array([5, 7]))),
            lambda h: h.step(replace(result, losses=np.array([6, 5]))),
            lambda h: h.step(replace(result, saturation=Saturation.LOSS)),
            lambda h: h.step(replace(result, command=Command.CGE)),
        ],
        [
            lambda h: h.evaluation(Evaluation(2, 2, 3)),
            lambda h: h.evaluation(Evaluation(1, 1, 3)),
        ],
    ]

    def value(actions: list[Callable[[RunningHash], None]]) -> str:
        running = RunningHash()
        for action in actions:
            action(running)
        return running.value

    expected = value(plain)
    for place, options in enumerate(changed):
        for option in options:
            assert value([*plain[:place], option, *plain[place + 1 :]]) != expected
    # Counters are no part of the numerics.
    assert value([plain[0], lambda h: h.step(replace(result, cycles=99)), plain[2]]) == expected


def test_minibatches_are_permutations_of_whole_epochs() -> None:
    with small.trainer() as trainer:
        per_epoch = 77 // 8
        epochs = [
            np.concatenate([trainer.batch_indices(e * per_epoch + k) for k in range(per_epoch)])
            for e in range(3)
        ]
        again = [trainer.batch_indices(k) for k in range(3 * per_epoch)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == per_epoch * 8
    assert epochs[0].tolist() != epochs[1].tolist()
    assert np.concatenate(again).tolist() == np.concatenate(epochs).tolist()


def test_double_buffering_loads_while_a_step_runs() -> None:
    """Between a command and the wait for it, the next batch is written."""
    events: list[str] = []

    class Spy(Wrapper):
        def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
            if address == register("command").address:
                events.append("start")
            elif window.base <= address < window.base + 4 * window.words:
                events.append("load")
            self.bus.write(address, words)

        def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
            events.append("wait")
            self.bus.wait(address, mask, value, timeout)

    window = windows(Session.of(small.config()).chip)["samples"]
    with small.trainer(Spy) as trainer:
        trainer.begin()
        trainer.advance()
        events.clear()
        trainer.advance()
    assert events == ["start", "load", "load", "load", "wait"]


def test_progress_is_reported() -> None:
    session, seen = Session.of(small.config()), list[Progress]()
    with small.trainer() as trainer:
        path = Path(__file__)

        class Memory(RunFolder):
            def save(self, checkpoint: object) -> None:
                pass

        train(session, trainer, Memory(path), observe=seen.append)
    assert [p.row.step for p in seen] == list(range(STEPS + 1))
    assert seen[0].remaining is None and seen[-1].remaining == 0.0
    assert all(p.max_steps == STEPS for p in seen)


def test_remaining_without_first_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first step of each kind may compile: here they take a hundred times as long."""
    session, seen = Session.of(small.config()), list[Progress]()
    rge = session.plan.step_cost("rge", batch=8, queries=4, baseline=Baseline.MEAN).cycles
    cge = session.plan.step_cost("cge", batch=8).cycles
    steps = [rge] * 9 + [cge] * 8
    times = np.cumsum([0, 100 * rge, *steps[1:9], 100 * cge, *steps[10:]]).tolist()
    clock = SimpleNamespace(perf_counter=iter(times).__next__, monotonic=time.monotonic)
    monkeypatch.setattr("zerotrain.host.session.time", clock)
    with small.trainer() as trainer:
        folder = RunFolder(tmp_path / "run")
        folder.begin(small.config())
        train(session, trainer, folder, observe=seen.append)
    assert [p.remaining for p in seen[:2]] == [None, None]
    assert [p.remaining for p in seen[2:]] == pytest.approx(
        [sum(steps[k:]) for k in range(2, STEPS + 1)]
    )


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^There is no run in .*: expected "
                       r"checkpoint\.ztc there, which every run has$"):  # fmt: skip
        RunFolder(tmp_path).resume()
    folder_run(tmp_path, [])
    log = tmp_path / "log.csv"
    text = log.read_text()
    log.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        RunFolder(tmp_path).resume()
    assert str(caught.value) == (
        f"There is no run in {tmp_path}: expected log.csv there, which every run has"
    )
    log.write_text(text)
    log.write_text("\n".join(log.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(ValueError, match=r"log\.csv does not belong to the checkpoint beside it"):
        RunFolder(tmp_path).resume()
    log.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"log\.csv is not a log of this version of Zerotrain$"):
        RunFolder(tmp_path).resume()


def test_initial_parameters() -> None:
    network = small.config().network
    one = initial_parameters(network, Formats(), 1)
    assert one.tolist() == initial_parameters(network, Formats(), 1).tolist()
    assert one.tolist() != initial_parameters(network, Formats(), 2).tolist()
    wide = Network((dense(400, 100),))
    theta = initial_parameters(wide, Formats(), 1)
    weights = theta[:40000] / 2**13
    assert weights.std() == pytest.approx(400**-0.5, rel=0.02)
    assert not theta[40000:].any()


def test_unsuitable_data_are_refused() -> None:
    config = small.config()
    with small.trainer() as trainer:
        driver, training = trainer.driver, config.training
        assert training is not None
        dataset = small.dataset()
        with pytest.raises(ValueError, match=r"^Data set small has 6 inputs and 4 classes, network "
                           r"small has 6 inputs and 3 outputs: "
                       r"let outputs of layer 2 be 4$"):  # fmt: skip
            Trainer(driver, training, replace(dataset, n_outputs=4))
        with pytest.raises(ValueError, match=r"^The batch has at most the 77 training samples of "
                           r"small, not 78$"):  # fmt: skip
            Trainer(driver, replace(training, batch=78), dataset)
        with pytest.raises(ValueError, match=r"^The chip holds batches of up to 9 samples, got a "
                           r"batch of 10: generate"):  # fmt: skip
            Trainer(driver, replace(training, batch=10), dataset)


def test_a_chip_without_cge_refuses_the_stage() -> None:
    configuration = override(small.config(), ["chip.cge=none"])
    with pytest.raises(ValueError, match=r"^The chip does no CGE \(chip.cge = 'none'\), the train"):
        with small.trainer(configuration=configuration):
            pass
