"""``zerotrain new``: what it proposes plans, whatever the sizes, or names sizes that do."""

import re
from math import prod
from pathlib import Path

import pytest

from zerotrain.cli.main import main
from zerotrain.cli.new import Wanted, modes, starting_text
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.host.session import Session

Capture = pytest.CaptureFixture[str]


def test_modes() -> None:
    assert modes(64, 3) == [4, 4, 4]
    assert modes(784, 4) == [4, 7, 7, 4]
    assert modes(10, 4) == [1, 5, 2, 1]
    assert modes(1, 2) == [1, 1]
    for n in range(1, 300):
        assert prod(modes(n, 3)) == n


@pytest.mark.parametrize("inputs", [*range(1, 40), 64, 100, 168, 256, 784, 1000, 4096])
def test_every_size_plans_or_names_one_that_does(inputs: int) -> None:
    outputs = 1 + inputs % 12
    wanted = Wanted("own", inputs, outputs, regression=outputs == 1)
    try:
        text = starting_text(wanted)
    except ValueError as error:
        found = re.search(r"modes are to be 16 at most; (\d+) or (\d+) inputs", str(error))
        assert found and int(found[1]) < inputs < int(found[2])
        assert starting_text(Wanted("own", int(found[2]), 3))
        return
    config = Config.parse(text)
    assert (config.network.n_inputs, config.network.n_outputs) == (inputs, outputs)
    assert f"{config.network.n_parameters:,} parameters" in text.splitlines()[0]
    assert config.training is not None and config.training.cge is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--inputs", "997", "--outputs", "3"],
         "997 inputs have the prime factor 997: modes are to be 16 at most; 990 or 1000 inputs can "
         "be split: leave some out, or add some that are 0"),
        (["--inputs", "8", "--outputs", "3", "--hidden", "19"],
         "19 hidden units have the prime factor 19: modes are to be 16 at most; 18 or 20 hidden "
         "units can be split: leave some out, or add some that are 0"),
        (["--inputs", "-1", "--outputs", "3"], "A network has 1 to 65,536 inputs, not -1"),
        (["--inputs", "8", "--outputs", "-1"], "A network has 1 output at least, not -1"),
        (["--inputs", "8"],
         "The sizes of the network are missing: expected --inputs and --outputs, or --dataset with "
         "a file that has them"),
        (["--dataset", "/nowhere/own.csv"],
         "There is no file /nowhere/own.csv: expected the data set there; name another, or give "
         "its sizes with --inputs and --outputs"),
        (["--inputs", "8", "--outputs", "1"],
         "Softmax cross-entropy needs at least 2 outputs, got 1; with --regression, outputs are "
         "target values"),
        (["--inputs", "8", "--outputs", "65"],
         "Network my has 65 outputs, a chip has at most 64: leave out classes or target values, or "
         "train several networks"),
        (["--inputs", "8", "--outputs", "3", "--rank", "-1"],
         "[layers.1] ranks are positive integers, got (-1,)"),
    ],
)  # fmt: skip
def test_refusals(capsys: Capture, tmp_path: Path, options: list[str], message: str) -> None:
    assert main(["new", str(tmp_path / "my.toml"), *options]) == 2
    assert capsys.readouterr().err == f"zerotrain: {message}\n"
    assert not (tmp_path / "my.toml").exists()


def test_the_file(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    options = ["new", str(path), "--inputs", "64", "--outputs", "10"]
    assert main(options) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"Next: zerotrain train --config {path} --chip golden",
        f"      zerotrain plan --config {path} --board icebreaker --set chip=auto",
    ]
    config = Config.load(path)
    assert config.training is not None and config.training.dataset == "digits"
    assert Session.of(config).plan.program.rows
    assert main(options) == 2
    assert capsys.readouterr().err == (
        f"zerotrain: {path} is there already: name another file, or overwrite it with --force\n"
    )
    assert main([*options, "--rank", "2", "--force"]) == 0
    assert Config.load(path).network.layers[0].ranks == (2, 2)


def test_own_data_are_called_after_the_file() -> None:
    training = Config.parse(starting_text(Wanted("iris", 4, 3))).training
    assert training is not None and training.dataset == "iris.csv"
    training = Config.parse(starting_text(Wanted("iris", 4, 3, dataset="x.npz"))).training
    assert training is not None and training.dataset == "x.npz"


def test_sizes_of_a_file(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named from where one types, and found from where the configuration is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = [f"{k},{k * k % 7},{k % 5},{'abc'[k % 3]}" for k in range(30)]
    (tmp_path / "data" / "own.csv").write_text("\n".join(["x,y,z,kind", *rows]) + "\n")
    (tmp_path / "nets").mkdir()
    assert main(["new", "nets/own.toml", "--dataset", "data/own.csv"]) == 0
    assert "nets/own.toml: 3 -> " in capsys.readouterr().out
    config = Config.load(tmp_path / "nets" / "own.toml")
    assert (config.network.n_inputs, config.network.n_outputs) == (3, 3)
    assert config.training is not None and config.training.batch == 16  # of 21 training samples
    assert load_for(config).classes == ("a", "b", "c")
    assert main(["new", "values.toml", "--dataset", "data/own.csv", "--regression"]) == 2
    assert capsys.readouterr().err == (
        f"zerotrain: {tmp_path}/data/own.csv: line 2, column kind, is 'a': expected a target "
        'value; for labels take loss = "softmax_cross_entropy", or name another column with '
        "targets\n"
    )
