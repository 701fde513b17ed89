"""The Python API: the golden model's bits, on every kind of chip, with and without files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.host import small

from zerotrain.api import Design, Row, Run, arrays
from zerotrain.api.prediction import predict
from zerotrain.cli.main import main
from zerotrain.data.dataset import Split
from zerotrain.golden.fixed import Flags
from zerotrain.golden.loss import softmax_loss, squared_error_loss
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Saturation


def design(**changes: Any) -> Design:
    return Design(small.config(), {k.replace("__", "."): v for k, v in changes.items()})


@pytest.fixture(scope="module")
def run() -> Run:
    return design().train(small.dataset())


def test_a_run_without_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Row] = []
    again = design().train(small.dataset(), each=seen.append)
    assert again.complete and again.folder is None and not again.divergence
    assert tuple(seen) == again.rows and [row.step for row in seen] == list(range(18))
    assert again.checkpoint.digest == run.checkpoint.digest
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_run_of_the_trainer(run: Run) -> None:
    """Bit for bit, parameters and measurement."""
    with small.trainer() as trainer:
        trainer.begin()
        while trainer.advance():
            pass
        assert (trainer.driver.parameters == run.raw.vector).all()
        assert trainer.hash.value == run.checkpoint.digest
        found = trainer.measure(trainer.dataset.test)
        assert (found, found.main) == (run.measured, run.metric)
        assert found.evaluation.mean_loss == run.loss
        assert trainer.measure(trainer.dataset.validation) == run.measure(run.data.validation)


def test_parameters_by_layer(run: Run) -> None:
    formats, network = run.session.chip.formats, run.config.network
    raw, real = run.raw.layers, run.real.layers
    assert [core.shape for core in raw[0].tt_cores] == [(1, 3, 2, 2), (2, 2, 3, 1)]
    assert raw[0].bias is not None and raw[0].bias.shape == (6,)
    assert raw[1].tt_cores[0].shape == (1, 3, 6, 1)
    for block in network.blocks():
        part = raw[block.layer].bias if block.tt_core is None else (
            raw[block.layer].tt_cores[block.tt_core])  # fmt: skip
        assert part is not None and part.dtype == np.int64
        assert (part == block.natural(run.raw.vector)).all()
    for whole, exact in zip(raw, real, strict=True):
        assert (
            exact.matrix == whole.matrix * formats.weight.resolution ** len(whole.tt_cores)
        ).all()


def raw_loss(run: Run, part: Split, formats: Formats) -> int:
    """Loss of samples by the formula of the numerics, from the predicted integers."""
    samples, found = part.quantize(formats), run.predict(part.x)
    if part.labelled:
        return int(softmax_loss(found.raw, samples.targets, formats, Flags()).sum())
    return int(squared_error_loss(found.raw, samples.targets, formats).sum())


def test_predictions_are_what_the_chip_evaluates(run: Run) -> None:
    """The chip tells losses and the number of correct predictions, and no outputs."""
    test, formats = run.data.test, run.session.chip.formats
    found = run.predict(test.x)
    assert found.classes is not None and found.values is None
    assert (found.classes == test.targets).sum() == run.measured.evaluation.correct
    assert raw_loss(run, test, formats) == run.measured.evaluation.loss
    assert (found.logits == found.raw * formats.logit.resolution).all()
    assert found.clamped == run.measured.evaluation.saturation
    one = [run.predict(test.x[k : k + 1]).raw[0] for k in range(5)]
    assert (np.array(one) == found.raw[:5]).all()
    assert run.predict(test.x[:0]).raw.shape == (0, 3)


def test_what_has_no_prediction(run: Run) -> None:
    x = run.data.test.x[:3].copy()
    x[1, 2] = np.nan
    with pytest.raises(ValueError) as caught:
        run.predict(x)
    assert str(caught.value) == "Samples are finite numbers: got nan as input 3 of sample 2"


def test_a_design_is_of_a_dict() -> None:
    with pytest.raises(ValueError) as caught:
        Design.of(None)  # type: ignore[arg-type]
    assert str(caught.value) == "A design is a dict with what a TOML file holds, not NoneType"


def test_predictions_say_what_is_clamped(run: Run) -> None:
    theta = np.full(run.config.network.n_parameters, run.session.chip.formats.weight.raw_max)
    found = predict(run.session, theta, run.data.test.x, run.data.scale)
    assert Saturation.LOGIT in found.clamped, found.clamped


@pytest.mark.cosim
def test_a_simulated_chip_finds_the_same(tmp_path: Path) -> None:
    """A regression, whose losses are those of the predictions, bit for bit."""
    steps = {"training.rge.steps": 3, "training.cge.steps": 3}
    preset = Design.preset("diabetes", steps)
    simulated, golden = preset.train(chip="verilated"), preset.train()
    assert [row.digest for row in simulated.rows] == [row.digest for row in golden.rows]
    assert all(row.cycles > 0 for row in simulated.rows[1:])
    formats = preset.chip.formats
    loss = raw_loss(simulated, simulated.data.test, formats)
    assert loss == simulated.measured.evaluation.loss
    found, scale = simulated.predict(simulated.data.test.x), simulated.data.scale
    assert found.values is not None and found.classes is None
    assert (found.values == found.logits * scale.factor + scale.offset).all()


def stop_at(step: int) -> Any:
    return lambda row: row.step == step


@pytest.mark.parametrize("folder", [True, False])
def test_what_was_stopped_goes_on(run: Run, folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "run" if folder else None
    stopped = design().train(small.dataset(), folder=path, each=stop_at(5))
    assert not stopped.complete and stopped.rows[-1].step == 5
    seen: list[Row] = []

    def watch(row: Row) -> bool:
        seen.append(row)
        return row.step == 11

    twice = stopped.resume(each=watch)
    assert not twice.complete and [row.step for row in seen] == list(range(6, 12))
    whole = twice.resume()
    assert whole.complete and whole.checkpoint.digest == run.checkpoint.digest
    assert whole.measured == run.measured
    assert [row.digest for row in whole.rows] == [row.digest for row in run.rows]


@pytest.mark.parametrize("folder", [True, False])
def test_a_complete_run_is_extended(folder: bool, tmp_path: Path) -> None:
    """It ends like the run whose configuration has the extension from the start."""
    path, data = tmp_path / "run" if folder else None, small.dataset()
    first = design().train(data, folder=path, each=stop_at(5))
    with pytest.raises(ValueError) as caught:
        first.extend(3)
    assert str(caught.value) == (
        "Only a finished run can be extended, this one stands after step 5 of up to 17: finish it "
        "first, with --resume alone"
    )
    cut = first.resume().extend(3, each=stop_at(18))
    assert not cut.complete and cut.config == design(training__extensions=[3]).config
    whole = (Run.load(path, data) if path else cut).resume()
    assert whole.complete and whole.rows[-1].step == 20
    start = design(training__extensions=[3]).train(data)
    assert whole.checkpoint.digest == start.checkpoint.digest


@pytest.mark.parametrize("folder", [True, False])
def test_the_best_is_chosen_by_the_validation_part(run: Run, folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "run" if folder else None
    # A step size that lets the metric rise and fall.
    changes = {"hold_out_validation": True, "evaluate_every": 1, "cge.step_size": 3.0,
               "cge.final_step_size": 3.0}  # fmt: skip
    held_out = Design(small.config(), {f"training.{k}": v for k, v in changes.items()})
    whole = held_out.train(small.dataset(), folder=path, each=stop_at(12)).resume()
    for found in (whole, Run.load(path, whole.data)) if path else (whole,):
        best = found.best()
        assert best.metric == max(row.metric for row in whole.rows if row.metric is not None)
        assert best.rows[-1].metric == best.metric != whole.metric and best.folder is None
        again = best.resume()
        assert again.complete and again.checkpoint.digest == whole.checkpoint.digest
    with pytest.raises(ValueError) as caught:
        run.best()
    assert str(caught.value) == (
        "The run has no best checkpoint: it held no validation part out, and the test part chooses "
        "nothing; take the last one, or hold the validation part out of the training"
    )


def test_folders_are_those_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = Design.preset("diabetes", {"training.rge.steps": 4, "training.cge.steps": 4})
    stopped = preset.train(folder="runs/a", each=stop_at(3))
    assert main(["train", "--resume", "--run-folder", "runs/a", "--chip", "golden"]) == 0
    loaded, whole = Run.load("runs/a"), preset.train()
    assert loaded.complete and loaded.checkpoint.digest == whole.checkpoint.digest
    assert (loaded.metric, loaded.rows[3].digest) == (whole.metric, stopped.rows[3].digest)
    assert loaded.measured.evaluation == whole.measured.evaluation
    assert main(["evaluate", "--run-folder", "runs/a", "--chip", "golden"]) == 0
    before = (Path("runs/a") / "checkpoint.ztc").read_bytes()
    Run.load("runs/a")
    assert (Path("runs/a") / "checkpoint.ztc").read_bytes() == before
    with pytest.raises(FileExistsError) as caught:
        preset.train(folder="runs/a")
    assert str(caught.value).startswith("There is a run in runs/a already (checkpoint.ztc): ")
    again = preset.train(folder="runs/a", force=True, each=stop_at(0))
    assert len(again.rows) == 1 and not again.complete


def test_own_data_are_part_of_what_a_run_is(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(90, 6))
    data = arrays(x, np.argmax(x[:, :3], axis=1), name="mine", test=20, validation=10)
    stopped = design().train(data, folder=tmp_path / "run", each=stop_at(3))
    assert stopped.config.training is not None and stopped.config.training.dataset == "mine"
    assert Run.load(tmp_path / "run", data).rows == stopped.rows
    with pytest.raises(ValueError) as caught:
        Run.load(tmp_path / "run")
    assert str(caught.value).startswith("There is no data set 'mine': ")
    other = arrays(x + 1e-3, np.argmax(x[:, 1:4], axis=1), name="mine", test=20, validation=10)
    with pytest.raises(ValueError, match="^The checkpoint is of a run with data.training = "):
        Run.load(tmp_path / "run", other)


def test_exports_of_a_run(run: Run, tmp_path: Path) -> None:
    run.export(tmp_path / "x.npz")
    run.export(tmp_path / "dense.npz", dense=True)
    for name in ("x.npz", "dense.npz"):
        warm = design().train(small.dataset(), initial=tmp_path / name, each=stop_at(0))
        assert warm.rows[0].phase == "warm start"
        assert abs(warm.raw.vector - run.raw.vector).max() == 0 or name == "dense.npz"
        assert warm.rows[0].metric == run.metric
        assert warm.notes[-1].startswith(f"Begins with the weights of {tmp_path / name} (hash ")


def test_designs() -> None:
    values = {
        "layers": [{"type": "dense", "inputs": 4, "outputs": 2}],
        "training": {"cge": {"steps": 1, "step_size": 0.1, "final_step_size": 0.1}},
    }
    made = Design.of(values, {"chip.lanes": 2})
    assert made.config.training is not None and made.config.training.dataset == "arrays"
    assert (made.chip.lanes, made.network.n_parameters) == (2, 10)
    assert "dataset" not in values["training"]
    assert made.cost()["steps"]["cge"]["macs"] > 0 and made.plan.program.rows
    wider = made.changed({"chip.lanes": 4})
    assert (wider.chip.lanes, made.chip.lanes) == (4, 2)


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (lambda: Design.preset("digit"), "There is no preset 'digit': did you mean 'digits'?"),
        (lambda: design(training__sed=1),
         "Unknown key 'sed' in [training]: did you mean 'seed'?"),
        (lambda: design().train(small.dataset(), chip="gold"),
         "chip is 'golden' or 'verilated' or 'cocotb', not 'gold'"),
        (lambda: Design.of({"layers": [{"type": "dense", "inputs": 4, "outputs": 2}]}).train(),
         "Configuration network has no [training] section: expected one with a data set and a "
         "stage [training.rge] or [training.cge]"),
        (lambda: design().train(small.dataset(), initial={"0.weight": np.ones((2, 2))}),
         "arrays holds 1 layers (0), network small has 2"),
        (lambda: arrays(np.ones((4, 2)), np.ones(3)),
         "arrays: the training part has 4 rows of inputs and 3 targets: expected as many"),
        (lambda: arrays(np.full((4, 2), np.inf), np.ones(4)),
         "arrays: inputs of the training part, sample 1, number 1, is inf: expected finite "
         "numbers; fill missing values in, or drop the sample"),
        (lambda: arrays(np.ones((4, 2)), np.array(["a"] * 4)),
         "arrays: all labels are 'a': expected at least two classes"),
        (lambda: arrays(np.ones((4, 2)), np.ones(4), test=4),
         "arrays has 4 samples, of which 4 are for the test and 1 for validation: expected some "
         "for training; give more samples, or smaller parts"),
    ],
)  # fmt: skip
def test_mistakes_are_a_sentence(attempt: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        attempt()
    assert str(caught.value) == sentence


def test_samples_of_another_size(run: Run) -> None:
    with pytest.raises(ValueError) as caught:
        run.predict(np.ones((3, 5)))
    assert str(caught.value) == ("Samples are an array [n, 6] for network small, got shape (3, 5)")
