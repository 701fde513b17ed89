"""Changes of single entries."""

from pathlib import Path
from typing import Any

import pytest

from zerotrain.config.changes import assign, changed
from zerotrain.config.config import Config


def test_entries_are_changed() -> None:
    config = Config.preset("digits")
    wider = changed(config, {"layers.1.ranks": 4, " training.cge.steps ": 7, "name": "other"})
    assert wider.network.name == "other" and wider.network.layers[0].ranks == (4, 4, 4)
    assert wider.training is not None and wider.training.cge is not None
    assert wider.training.cge.steps == 7
    assert changed(wider, {}) == wider


def test_data_files_are_in_the_current_folder() -> None:
    config = changed(Config.preset("digits"), {"training.dataset": "own.csv"})
    assert config.training is not None
    assert config.training.dataset == str(Path("own.csv").absolute())


@pytest.mark.parametrize(
    "key",
    ["chip.lanes", "chip.formats.weight", "training.seed", "training.data.unit",
     "training.rge.mu", "training.cge.steps"],
)  # fmt: skip
def test_tables_that_may_be_left_out_are_added(key: str) -> None:
    tree: dict[str, Any] = {"layers": [{}]}
    assign(tree, {key: 1, "layers.1.ranks": 2})
    *parents, name = key.split(".")
    table = tree
    for parent in parents:
        table = table[parent]
    assert table == {name: 1} and tree["layers"] == [{"ranks": 2}]


def test_a_chip_for_a_board_keeps_its_formats() -> None:
    tree: dict[str, Any] = {"chip": {"lanes": 4, "formats": {"weight": "Q3.12"}}}
    assign(tree, {"chip": "auto", "chip.clock": 1})
    assert tree == {"chip": {"auto": True, "formats": {"weight": "Q3.12"}, "clock": 1}}
    bare: dict[str, Any] = {}
    assign(bare, {"chip": "auto"})
    assert bare == {"chip": {"auto": True}}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("training.cgee.steps",
         "There is no table 'cgee' for 'training.cgee.steps': did you mean 'cge'?"),
        ("layers.3.ranks", "There is no table '3' for 'layers.3.ranks': known are 1, 2"),
        ("layers.1", "'layers.1' does not name an entry of a table"),
        ("name.x", "There is no table 'name' for 'name.x': known are chip, layers, training"),
    ],
)  # fmt: skip
def test_there_is_no_such_table(key: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        changed(Config.preset("digits"), {key: 1})
    assert str(caught.value) == message
