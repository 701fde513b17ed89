"""Extended runs: what they are, and what they are not."""

from dataclasses import replace
from pathlib import Path

import pytest

from zerotrain.cli.options import override
from zerotrain.config.config import Config
from zerotrain.host.extension import extended, is_finished
from zerotrain.host.folder import RunFolder
from zerotrain.host.session import Session, train
from zerotrain.host.trainer import Trainer
from zerotrain.host.verify import verify

from . import small

#: Hybrid, either stage alone, and a coarse stage that a plateau ends early.
SCHEDULES = {
    "hybrid": "",
    "cge": "rge",
    "rge": "cge",
    "plateau": "cge",
}


def configured(schedule: str, *extensions: int) -> Config:
    values = small.config().to_dict()
    values["training"].pop(SCHEDULES[schedule], None)
    if schedule == "plateau":
        values["training"]["rge"] |= {"plateau_window": 2, "plateau_tolerance": 0.9}
    if extensions:
        values["training"]["extensions"] = list(extensions)
    return Config.from_dict(values)


def go_on(folder: RunFolder, *, until: int = 1000, extend: int = 0) -> Trainer:
    """Begin or resume the folder's run, perhaps extend it, and stop after some step."""
    begun = folder.checkpoint_path.exists()
    config, checkpoint = folder.resume() if begun else (Config.load(folder.config_path), None)
    if extend:
        assert checkpoint is not None
        config, checkpoint = extended(config, checkpoint, extend)
    with small.trainer(configuration=config) as trainer:
        if checkpoint is not None:
            trainer.restore(checkpoint)
            folder.go_on(config, checkpoint)
        train(Session.of(config), trainer, folder, stop=lambda: trainer.step >= until)
        return trainer


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_extended_run_is_that_of_its_configuration(schedule: str, tmp_path: Path) -> None:
    """Bit for bit, wherever it was interrupted, and on the model that verifies it."""
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    whole.begin(configured(schedule, 5, 3))
    end = go_on(whole)
    parts.begin(configured(schedule))
    length = go_on(parts).step
    go_on(parts, extend=5, until=length)  # extended, and not a step taken
    go_on(parts, until=length + 2)
    assert go_on(parts).step == length + 5
    assert go_on(parts, extend=3).step == end.step == length + 8
    for name in ("config.toml", "log.csv"):
        assert (whole.path / name).read_bytes() == (parts.path / name).read_bytes()
    saved = [folder.state()[1] for folder in (whole, parts)]
    assert saved[0].theta.tolist() == saved[1].theta.tolist()
    assert saved[0].momentum.tolist() == saved[1].momentum.tolist()
    assert (saved[0].lfsr_state, saved[0].schedule) == (saved[1].lfsr_state, saved[1].schedule)
    with small.trainer(configuration=configured(schedule, 5, 3)) as golden:
        assert verify(golden, [row.digest for row in parts.rows]).equal
    # What was the end has been measured, as at every end.
    assert parts.rows[length].metric is not None and parts.rows[length + 5].metric is not None


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_extension_goes_on_at_the_final_step_size(schedule: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(configured(schedule, 4))
    trainer = go_on(folder)
    stage = trainer.training.cge or trainer.training.rge
    assert stage is not None
    sizes = {row.step_size for row in folder.rows[-4:]}
    assert len(sizes) == 1
    assert sizes.pop() == pytest.approx(stage.final_step_size, rel=0.03)
    assert {row.phase for row in folder.rows[-4:]} == {folder.rows[-5].phase}
    assert trainer.schedule.max_steps == trainer.step == len(folder.rows) - 1


def test_momentum_goes_on(tmp_path: Path) -> None:
    with small.trainer(configuration=configured("cge", 1)) as trainer:
        trainer.begin()
        for _ in range(8):
            trainer.advance()
        planned = trainer.schedule.next()
        assert planned is not None and not planned.clear_momentum
        assert trainer.driver.momentum.any()


def test_a_longer_schedule_is_another_run(tmp_path: Path) -> None:
    rows = []
    for name, config in (
        ("extended", configured("hybrid", 4)),
        ("longer", override(small.config(), ["training.cge.steps=12"])),
    ):
        folder = RunFolder(tmp_path / name)
        folder.begin(config)
        go_on(folder)
        rows.append([row.digest for row in folder.rows])
    assert len(rows[0]) == len(rows[1])
    assert rows[0][-5] != rows[1][-5]


def test_a_run_that_is_not_finished_is_not_extended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(small.config())
    go_on(folder, until=11)
    config, checkpoint = folder.resume()
    assert not is_finished(config, checkpoint)
    with pytest.raises(ValueError) as caught:
        extended(config, checkpoint, 5)
    assert str(caught.value) == (
        "Only a finished run can be extended, this one stands after step 11 of up to 17: finish it "
        "first, with --resume alone"
    )


def test_a_crash_while_the_extension_is_noted_is_no_loss(tmp_path: Path) -> None:
    """The checkpoint is written before the configuration."""
    folder = RunFolder(tmp_path)
    folder.begin(small.config())
    go_on(folder)
    config, checkpoint = folder.resume()
    longer, saved = extended(config, checkpoint, 5)
    folder.summary_path.touch()
    saved.save(folder.checkpoint_path)
    assert Config.load(folder.config_path) == config
    assert folder.state()[0] == longer
    # Another difference is none of an extension.
    folder.config_path.write_text(override(config, ["training.seed=2"]).to_toml())
    with pytest.raises(ValueError) as caught:
        folder.state()
    assert str(caught.value).startswith(
        f"{folder.config_path}: The checkpoint is of a run with training.seed = 1, this one has "
        "training.seed = 2 (1 other entry differs too): "
    )
    folder.config_path.write_text(config.to_toml())
    assert go_on(folder, until=18).step == 18
    assert Config.load(folder.config_path) == longer
    # Once a step of it was taken, an extension that is missing was removed.
    folder.config_path.write_text(config.to_toml())
    with pytest.raises(ValueError) as caught:
        folder.state()
    assert str(caught.value) == (
        f"{folder.config_path}: The checkpoint is of a run with training.extensions = [5], this "
        "one has no training.extensions: put it back as it was, or start a new run"
    )


def test_an_extension_takes_the_summary_away(tmp_path: Path) -> None:
    """It is of the run that was."""
    folder = RunFolder(tmp_path)
    folder.begin(small.config())
    go_on(folder)
    folder.summary_path.touch()
    go_on(folder, extend=2, until=17)
    assert not folder.summary_path.exists()


def test_extensions_are_part_of_the_configuration() -> None:
    config = configured("hybrid", 5, 3)
    assert config.training is not None and config.training.max_steps == 17 + 8
    assert Config.parse(config.to_toml()) == config
    assert "extensions" not in small.config().to_toml()
    for wrong, message in (
        ("[0]", "[training] extensions are of at least 1 step each, not [0]"),
        ("3", "training.extensions is a list of integers, not 3"),
        ("[1.5]", "training.extensions is a list of integers, not [1.5]"),
    ):
        with pytest.raises(ValueError) as caught:
            override(small.config(), [f"training.extensions={wrong}"])
        assert str(caught.value) == message


def test_states_beyond_an_extension_are_refused() -> None:
    with small.trainer(configuration=configured("hybrid", 5)) as trainer:
        state = trainer.schedule.save() | {
            "step": 20, "rge_steps": 9, "rge_over": True, "extra": 3,
        }  # fmt: skip
        trainer.schedule.restore(state)
        assert trainer.schedule.max_steps == 22 and not trainer.schedule.at_end
        for wrong in ({"extra": 2}, {"extra": 6, "step": 23}, {"extra": -1}):
            with pytest.raises(ValueError) as caught:
                trainer.schedule.restore(state | wrong)
            assert str(caught.value).startswith(
                "A schedule of up to 9 RGE and 8 CGE steps, extended by 5, is never in the state "
            )
        training = replace(trainer.training, extensions=())
        assert training.max_steps == 17
