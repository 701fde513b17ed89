"""The table [training.data]: what it takes, what it refuses, and where its files are."""

from pathlib import Path
from typing import Any

import pytest

from zerotrain.cli.options import override
from zerotrain.config.config import Config
from zerotrain.config.data import DataOptions, is_file

TOML = """
[[layers]]
type = "dense"
inputs = 2
outputs = 2
[training]
dataset = "d/own.csv"
[training.cge]
steps = 3
step_size = 0.1
final_step_size = 0.1
"""


def options(config: Config) -> tuple[str, DataOptions]:
    assert config.training is not None and config.training.data is not None
    return config.training.dataset, config.training.data


def test_names_and_files() -> None:
    assert [is_file(name) for name in ("digits", "own.csv", "d/own", "a.npz")] == [
        False, True, True, True,
    ]  # fmt: skip


def test_every_key_is_read_and_written() -> None:
    table = """[training.data]
    targets = ["a", -2]
    ignore = 1
    header = true
    test = "test.csv"
    validation = 25
    seed = 7
    scaling = "range"
    unit = "kg"
    """
    config = Config.parse(TOML + table)
    name, found = options(config)
    assert found.target_columns == ["a", -2] and found.ignored_columns == [1]
    assert (found.header, found.test, found.validation, found.seed) == (True, "test.csv", 25, 7)
    assert Config.parse(config.to_toml()) == config
    # A file without the table has its defaults.
    config = Config.parse(TOML)
    assert options(config) == ("d/own.csv", DataOptions())
    assert Config.parse(config.to_toml()) == config


def test_files_are_where_the_configuration_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.toml").write_text(TOML + '[training.data]\ntest = "~/t.csv"\n')
    monkeypatch.setenv("HOME", "/nobody")
    monkeypatch.chdir("/")
    name, found = options(Config.load(tmp_path / "net.toml"))
    assert (name, found.test, found.validation) == (f"{tmp_path}/d/own.csv", "/nobody/t.csv", 0.1)
    # What is named on the command line is in the current folder.
    changed = override(Config.load(tmp_path / "net.toml"), ["training.dataset=b.csv"])
    assert options(changed)[0] == "/b.csv"
    with pytest.raises(ValueError) as caught:
        override(changed, ["training.dataset=~nobody-at-all/b.csv"])
    assert str(caught.value) == (
        "'~nobody-at-all/b.csv' is in the home of no known user: name the whole path"
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("targets = 0", "targets is a column's name, its position from 1 (-1 is the last), or a "
         "list of these, not 0"),
        ("targets = []", "targets is a column's name, its position from 1 (-1 is the last), or a "
         "list of these, got none"),
        ("ignore = [1.5]", "ignore is a column's name, its position from 1 (-1 is the last), or a "
         "list of these, not [1.5]"),
        ("header = 1", "header is true or false, not 1"),
        ("test = 1.0", "test is a share of the samples between 0 and 1, a number of samples, or "
         "the name of a file, not 1.0"),
        ("validation = 0", "validation is a share of the samples between 0 and 1, a number of "
         "samples, or the name of a file, not 0"),
        ("seed = -1", "seed is 0 to 2**32 - 1, not -1"),
        ('scaling = "minmax"', "scaling is 'standard' or 'range' or 'symmetric' or 'none', not "
         "'minmax'"),
        ('unit = "a\\nb"', "unit is a text of up to 20 characters, not 'a\\nb'"),
    ],
)  # fmt: skip
def test_what_is_wrong(key: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config.parse(f"{TOML}[training.data]\n{key}\n", "net.toml")
    assert str(caught.value) == f"net.toml: [training.data] {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML + "[training.data]\ntarget = 1\n", "net.toml: Unknown key 'target' in "
         "[training.data]: did you mean 'targets'?"),
        (TOML.replace("d/own.csv", "digits") + "[training.data]\nseed = 1\n", "net.toml: "
         "[training] data says how a file becomes a data set, and 'digits' is the name of one: "
         "leave the table [training.data] out, or name a file"),
    ],
)  # fmt: skip
def test_tables_that_do_not_belong(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Config.parse(text, "net.toml")
    assert str(caught.value) == message


def test_options_from_python_are_checked_alike() -> None:
    wrong: dict[str, Any] = {"seed": "1"}
    with pytest.raises(ValueError, match=r"^seed is 0 to 2\*\*32 - 1, not '1'$"):
        DataOptions(**wrong)
