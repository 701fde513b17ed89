"""The schedule: stages, plateau, state."""

import json
from dataclasses import replace

import numpy as np
import pytest

from zerotrain.config.training import CgeStage, Decay, RgeStage, Rule, Training
from zerotrain.data.mixing import words
from zerotrain.host.schedule import Schedule
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Baseline, Command

FORMATS = Formats()
CGE = CgeStage(10, 0.03, 0.001, momentum=0.9)
RGE = RgeStage(20, 2e-3, 5e-4, momentum=0.5, mu=0.03, queries=8)


def run(training: Training, losses: list[int]) -> list[tuple[str, bool]]:
    """Phases that a schedule goes through when it is shown these losses."""
    schedule, seen = Schedule(training, FORMATS), []
    for loss in losses:
        planned = schedule.next()
        if planned is None:
            break
        seen.append((planned.phase, planned.clear_momentum))
        schedule.record(np.array([loss, loss]), planned)
    return seen


def test_stages_without_plateau() -> None:
    seen = run(Training("digits", rge=RGE, cge=CGE), [10] * 99)
    assert [phase for phase, _ in seen] == ["sign-rge"] * 20 + ["cge"] * 10
    assert [k for k, (_, clear) in enumerate(seen) if clear] == [0, 20]


@pytest.mark.parametrize(
    ("training", "phases"),
    [
        (Training("digits", rge=RGE), ["sign-rge"] * 20),
        (Training("digits", rge=replace(RGE, rule=Rule.LINEAR)), ["rge"] * 20),
        (Training("digits", cge=CGE), ["cge"] * 10),
    ],
)
def test_single_stages(training: Training, phases: list[str]) -> None:
    assert [phase for phase, _ in run(training, [10] * 99)] == phases


def test_a_plateau_ends_the_coarse_stage() -> None:
    stage = replace(RGE, plateau_window=3, plateau_tolerance=0.1)
    training = Training("digits", rge=stage, cge=CGE)

    def coarse(losses: list[int]) -> int:
        return sum(phase == "sign-rge" for phase, _ in run(training, losses + [1] * 99))

    # The second window is 9 % below the first: a plateau. At 11 % it goes on.
    assert coarse([100] * 3 + [91] * 3) == 6
    assert coarse([100] * 3 + [89] * 3 + [88] * 3) == 9
    assert coarse([100] * 3 + [200] * 3) == 6
    # Halved in every window: never a plateau.
    assert coarse([2 ** (60 - k // 3) for k in range(30)]) == 20


def test_max_steps_shrinks_at_a_plateau() -> None:
    stage = replace(RGE, plateau_window=2)
    schedule = Schedule(Training("digits", rge=stage, cge=CGE), FORMATS)
    assert schedule.max_steps == 30
    while (planned := schedule.next()) is not None and planned.command == Command.RGE:
        schedule.record(np.array([5, 5]), planned)
    assert schedule.max_steps == 14


def test_step_sizes() -> None:
    linear = replace(CGE, steps=3, step_size=0.04, final_step_size=0.01)
    assert [linear.size_at(k) for k in range(4)] == pytest.approx([0.04, 0.025, 0.01, 0.01])
    exponential = replace(linear, decay=Decay.EXPONENTIAL)
    assert [exponential.size_at(k) for k in range(3)] == pytest.approx([0.04, 0.02, 0.01])
    constant = replace(linear, decay=Decay.CONSTANT, final_step_size=0.04)
    assert {constant.size_at(k) for k in range(3)} == {0.04}
    assert replace(constant, steps=1).size_at(0) == 0.04


@pytest.mark.parametrize("cut", range(0, 30, 3))
def test_state_survives_json_at_every_step(cut: int) -> None:
    stage = replace(RGE, plateau_window=4, plateau_tolerance=0.05)
    training = Training("digits", rge=stage, cge=CGE)
    losses = (words(64, 9) >> np.uint64(30)).astype(np.int64).reshape(-1, 2)

    def follow(cut_at: int) -> list[object]:
        schedule, seen = Schedule(training, FORMATS), []
        for k in range(32):
            if k == cut_at:
                saved = json.loads(json.dumps(schedule.save()))
                schedule = Schedule(training, FORMATS)
                schedule.restore(saved)
            planned = schedule.next()
            if planned is None:
                break
            schedule.record(losses[k], planned)
            seen += [planned, schedule.save()]
        return seen

    assert follow(cut) == follow(-1)


def test_a_foreign_state_is_refused() -> None:
    schedule = Schedule(Training("digits", cge=CGE), FORMATS)
    with pytest.raises(ValueError, match=r"^A schedule's state has extra, last_sum, .*, got step$"):
        schedule.restore({"step": 3})


def test_mean_loss() -> None:
    training = Training("digits", batch=4, rge=replace(RGE, baseline="base"), cge=CGE)
    schedule = Schedule(training, FORMATS)
    planned = schedule.next()
    assert planned is not None
    losses = np.array([2 << 22, 0, 0])
    assert schedule.mean_loss(losses, planned) == 2.0
    mean = replace(planned, settings=replace(planned.settings, baseline=Baseline.MEAN))
    assert schedule.mean_loss(losses, mean) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 31}, {"step": 3, "rge_steps": 4}, {"rge_over": 0}, {"window_count": 1},
        {"step": 1.0}, {"step": 20, "rge_steps": 20}, {"step": 2, "rge_steps": 1}, {"last_sum": -2},
    ],
)  # fmt: skip
def test_states_that_never_are_are_refused(wrong: dict[str, object]) -> None:
    schedule = Schedule(Training("digits", rge=RGE, cge=CGE), FORMATS)
    values = schedule.save() | wrong
    shown = ", ".join(f"{k} = {v}" for k, v in values.items())
    with pytest.raises(ValueError) as caught:
        schedule.restore(values)
    assert str(caught.value) == (
        f"A schedule of up to 20 RGE and 10 CGE steps is never in the state {shown}"
    )
    assert schedule.state.step == 0
