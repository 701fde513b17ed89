"""From options to a configuration: what they complete, and what they contradict."""

from pathlib import Path

import pytest

from zerotrain.cli.options import ScheduleKind, check_stages, load_config

TEXT = """
name = "mine"
[[layers]]
type = "dense"
inputs = 64
outputs = 10
[training]
dataset = "digits"
[training.rge]
step_size = 0.1
"""
STEPS, FINAL = "training.rge.steps = 5", "training.rge.final_step_size=0.01"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "my.toml").write_text(TEXT)
    return tmp_path / "my.toml"


def test_an_option_gives_what_the_file_lacks(path: Path) -> None:
    found = load_config(None, path, [STEPS, FINAL])
    assert found.training is not None and found.training.rge is not None
    assert (found.training.rge.steps, found.training.rge.final_step_size) == (5, 0.01)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ([], ": [training.rge] 2 keys are missing: expected steps (an integer), final_step_size (a "
         "number)"),
        ([STEPS], ", with the options: training.rge.final_step_size is missing: expected a number"),
        ([STEPS, FINAL, "training.cge.steps=3"],
         ", with the options: [training.cge] 2 keys are missing: expected step_size (a number), "
         "final_step_size (a number)"),
    ],
)  # fmt: skip
def test_all_that_is_missing_is_said_at_once(
    path: Path, assignments: list[str], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        load_config(None, path, assignments)
    assert str(caught.value) == f"{path}{message}"


def test_steps_of_a_stage_that_is_not_run() -> None:
    check_stages(None, {"training.rge.steps": 3}, [])
    check_stages(ScheduleKind.CGE, {"training.cge.steps": 3, "training.rge.steps": None}, [])
    with pytest.raises(ValueError) as caught:
        check_stages(ScheduleKind.CGE, {"training.rge.steps": 3}, [])
    assert str(caught.value) == (
        "--rge-steps is for the stage [training.rge], which --schedule cge leaves out: leave one "
        "of the two away"
    )
