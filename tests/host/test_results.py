"""Published results."""

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from zerotrain.cli.options import ScheduleKind, override, select_schedule
from zerotrain.config.config import Config
from zerotrain.host.folder import RunFolder
from zerotrain.host.health import Health
from zerotrain.host.publish import publish
from zerotrain.host.results import Result, load_all, pack_parameters
from zerotrain.host.session import ChipKind, Session, summary, train
from zerotrain.host.table import END, insert_tables, marker, table

from . import small


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    config = small.config()
    folder.begin(config)
    with small.trainer() as trainer:
        assert train(Session.of(config), trainer, folder)
        test = trainer.measure(small.dataset().test)
        session = Session.of(config)
        values = summary(
            session, trainer, ChipKind.GOLDEN, found=test, health=Health.of(trainer),
            verification=None,
        )  # fmt: skip
        folder.finish(values)
        theta = trainer.driver.parameters
    np.save(folder.path / "theta.npy", theta)
    return folder


def test_a_result_says_what_the_run_did(finished: RunFolder, tmp_path: Path) -> None:
    path = publish(finished, small.dataset(), tmp_path / "results")
    result = Result.load(path)
    values = json.loads(finished.summary_path.read_text())
    assert np.array_equal(result.parameters, np.load(finished.path / "theta.npy"))
    assert result.main == values["test_accuracy"] == result.test_correct / result.test_count
    assert (result.steps, result.cge_steps) == (values["steps"], values["cge_steps"])
    training = small.config().training
    assert training is not None and training.rge is not None
    per_rge = training.rge.queries + (training.rge.baseline == "base")
    count = small.config().network.n_parameters
    rge_steps = result.steps - result.cge_steps
    assert result.loss_evaluations == rge_steps * per_rge + result.cge_steps * (count + 1)

    with path.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [row for row in finished.rows if row.metric is not None]
    assert [int(row["step"]) for row in rows] == [row.step for row in measured]
    assert int(rows[-1]["loss_evaluations"]) == result.loss_evaluations
    first = [row.loss for row in finished.rows[1:] if row.step <= measured[1].step]
    assert float(rows[1]["loss"]) == pytest.approx(np.mean(np.array(first, float)), abs=1e-5)


def test_a_result_is_measured_again(finished: RunFolder, tmp_path: Path) -> None:
    data = small.dataset()
    result = Result.load(publish(finished, data, tmp_path))
    assert result.agrees(result.measure(data))
    # Other parameters give another loss: the measurement is one.
    changed = replace(result, theta=pack_parameters(result.parameters[::-1]))
    assert not changed.agrees(changed.measure(data))


#: What the other form of an HJB equation has in place of its preset's.
OTHER_ANSATZ = [
    'equation.ansatz="(1 - t) * f + sum(x) + 1 - t"', "training.subspace.queries=10",
    "training.subspace.steps=100", "training.subspace.damping=0.003",
    "training.subspace.final_damping=0.003", "training.subspace.step_size=0.3",
    "training.subspace.final_step_size=0.3",
]  # fmt: skip


def test_published_runs_are_those_of_the_documented_commands() -> None:
    results = load_all(Path(__file__).parents[2] / "docs" / "results")
    assert results
    for result in results:
        name = result.config["name"]
        config = Config.preset(name.removesuffix("-unshifted").removesuffix("-d"))
        if name.endswith("-d"):
            config = override(config, [f"name={name}", *OTHER_ANSATZ])
        if name.endswith("-unshifted"):
            config = override(config, [f"name={name}", "training.cge.shift=0"])
        if result.title.endswith("-coarse"):
            config = override(config, ["training.rge.steps=5500"])
            config = select_schedule(config, ScheduleKind.SIGN_RGE)
        config = override(config, [f"training.seed={result.config['training']['seed']}"])
        assert Config.from_dict(result.config) == config
        assert result.groups == [list(sizes) for sizes in Session.of(config).plan.groups]


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_pages_show_the_published_results(page: str) -> None:
    root = Path(__file__).parents[2]
    text = (root / page).read_text(encoding="utf-8")
    assert insert_tables(text, load_all(root / "docs" / "results"))[0] == text


def test_other_data_is_refused(finished: RunFolder, tmp_path: Path) -> None:
    data = small.dataset()
    wrong = replace(data, test=data.test.take(np.arange(5)))
    pattern = (
        r'The checkpoint is of a run with data\.test = "23 samples, hash \w{16}", this one has '
        r'data\.test = "5 samples, hash \w{16}": put it back as it was, or start a new run'
    )
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        publish(finished, wrong, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_summary_of_another_run_is_refused(finished: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(finished.path, folder.path)
    values = folder.summary()
    folder.summary_path.write_text(json.dumps(values | {"running_hash": "ab"}))
    with pytest.raises(ValueError) as caught:
        publish(folder, small.dataset(), tmp_path / "results")
    assert str(caught.value) == (
        f"{folder.summary_path} does not belong to the checkpoint beside it: expected the "
        f"running_hash {values['running_hash']}, got 'ab'; run the training again"
    )
    folder.summary_path.write_text("[" * 100_000)
    with pytest.raises(ValueError) as caught:
        publish(folder, small.dataset(), tmp_path / "results")
    assert str(caught.value) == f"{folder.summary_path} is damaged: run the training again"
    folder.summary_path.write_text(json.dumps(values | {"test_correct": 1}))
    pattern = (
        r"The run's parameters have accuracy \d+\.\d\d% on 23 test samples, its summary says "
        r"0\.\d+ on 23: it was made with other data or by another version"
    )
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        publish(folder, small.dataset(), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_names_tell_results_apart(finished: RunFolder, tmp_path: Path) -> None:
    path = publish(finished, small.dataset(), tmp_path)
    (whole,) = load_all(tmp_path)
    training = whole.config["training"]
    fine = replace(
        whole, config=whole.config | {"training": {k: training[k] for k in training if k != "rge"}}
    )
    assert (whole.name, fine.name) == ("small, seed 1", "small-fine, seed 1")
    # The same run again is no other result; another one of its name is not overwritten.
    assert publish(finished, small.dataset(), tmp_path) == path
    other = json.dumps(asdict(replace(whole, loss_evaluations=1)))
    path.write_text(other)
    with pytest.raises(FileExistsError) as caught:
        publish(finished, small.dataset(), tmp_path)
    assert str(caught.value) == (
        f"{path} is another run's result: name another folder with --results, or overwrite it with "
        "--force"
    )
    assert path.read_text() == other
    publish(finished, small.dataset(), tmp_path, force=True)
    assert load_all(tmp_path) == [whole]
    copy = tmp_path / "copy.json"
    copy.write_text(other)
    with pytest.raises(ValueError) as collision:
        load_all(tmp_path)
    assert str(collision.value) == (
        f"{copy} and {path} are both named small, seed 1: remove one, or publish it with another "
        "name of the network"
    )


def test_unfinished_and_held_out_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^There is no finished run in "):
        publish(RunFolder(tmp_path), small.dataset(), tmp_path)
    old = RunFolder(tmp_path / "old")
    old.begin(small.config())
    with small.trainer() as trainer:
        assert train(Session.of(small.config()), trainer, old)
    old.finish({})
    with pytest.raises(ValueError, match="is of another version: expected an entry 'groups'"):
        publish(old, small.dataset(), tmp_path)
    config = override(small.config(), ["training.hold_out_validation=true"])
    folder = RunFolder(tmp_path / "held")
    folder.begin(config)
    with small.trainer(configuration=config) as trainer:
        assert train(Session.of(config), trainer, folder)
        folder.finish({})
    with pytest.raises(ValueError, match="held the validation part out"):
        publish(folder, small.dataset(), tmp_path)


def test_table(finished: RunFolder, tmp_path: Path) -> None:
    publish(finished, small.dataset(), tmp_path)
    (result,) = load_all(tmp_path)

    def run(seed: int, correct: int, reached: int) -> Result:
        training = result.config["training"] | {"seed": seed}
        return replace(
            result,
            config=result.config | {"training": training},
            test_correct=correct,
            test_count=200,
            test_metrics=None,
            cge_steps=20,
            epoch_steps=8,
            evaluations_to_milestone=reached,
        )

    seeds = [run(1, 190, 1200), run(2, 194, 3400)]
    name, count = result.config["name"], len(result.parameters)
    lines = table(seeds).splitlines()
    assert lines[2:] == [f"| {name} | {count} | 1, 2 | 96.00 % ± 1.41 | 95.00 % | 2.5 | 3,400 |"]
    assert "| not reached |" in table([replace(seeds[0], evaluations_to_milestone=None)])


def test_the_paper_is_named_where_it_has_the_network(finished: RunFolder, tmp_path: Path) -> None:
    publish(finished, small.dataset(), tmp_path)
    (result,) = load_all(tmp_path)
    assert "paper" not in table([result])
    published = load_all(Path(__file__).parents[2] / "docs" / "results")
    of_mnist = [result for result in published if result.dataset == "mnist"]
    assert "| paper |" in table(of_mnist).splitlines()[0]
    assert "| paper |" not in table([r for r in published if r not in of_mnist])


def of_dataset(result: Result, name: str, **changes: object) -> Result:
    training = result.config["training"] | {"dataset": name}
    return replace(result, config=result.config | {"training": training} | changes)


def test_every_data_set_has_its_place(finished: RunFolder, tmp_path: Path) -> None:
    publish(finished, small.dataset(), tmp_path)
    (result,) = load_all(tmp_path)
    other = replace(
        of_dataset(result, "my data: x.csv", loss="mean_squared_error"),
        test_metrics={"rmse": 2.5, "r2": 0.5},
        unit="kg",
    )
    both = [result, other]
    tables = [table([one]) for one in both]
    assert table(both) == "\n".join(tables)
    assert tables[1].startswith(
        "| network | parameters | seeds | test RMSE, kg | worst | R² | CGE epochs |\n"
    )
    places = [marker(one.dataset) for one in both]
    page = f"a\n{places[1]}\nold\n{END}\nb\n{places[0]}\n{END}\nc\n"
    text, missing = insert_tables(page, both)
    assert text == f"a\n{places[1]}\n{tables[1]}{END}\nb\n{places[0]}\n{tables[0]}{END}\nc\n"
    assert missing == []
    assert insert_tables(text, both) == (text, [])
    alone = f"a\n{places[0]}\n{END}\n"
    filled = f"a\n{places[0]}\n{tables[0]}{END}\n"
    assert insert_tables(alone, both) == (filled, ["my data: x.csv"])
    # A place without a name has all.
    whole = f"{marker()}\n{END}\n"
    assert insert_tables(whole, both) == (f"{marker()}\n{table(both)}{END}\n", [])


def test_pages_without_a_place_are_refused(finished: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        insert_tables("before\nafter\n", [])
    assert str(caught.value) == (
        f"The page has no place for the table: expected the lines {marker()} and {END}"
    )
    with pytest.raises(ValueError) as caught:
        insert_tables(f"{marker('x')}\n", [])
    assert str(caught.value) == (
        f"The page has no line {END} after {marker('x')}: expected one there"
    )


def test_no_result(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("", "[]", '{"config": {}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"^{path} is not a published result of this version$"):
            Result.load(path)


def test_damaged_results_are_none(finished: RunFolder, tmp_path: Path) -> None:
    """Every entry replaced by everything that it is not."""
    path = publish(finished, small.dataset(), tmp_path)
    values = json.loads(path.read_text())
    junk: list[object] = [None, -1, 0.5, "x", "eJw=", [], [[]], {}, {"name": 3}, float("nan")]
    for key in values:
        for wrong in [w for w in junk if w != values[key]]:
            path.write_text(json.dumps(values | {key: wrong}))
            try:
                (result,) = load_all(tmp_path)
            except ValueError as error:
                assert str(error) == f"{path} is not a published result of this version"
            else:
                table([result])
                result.agrees(result.measure(small.dataset()))
