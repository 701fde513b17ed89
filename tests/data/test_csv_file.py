"""CSV files: separators, headers, columns, and one sentence for everything that is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerotrain.config.data import DataOptions
from zerotrain.data import table
from zerotrain.data.csv_file import read_csv
from zerotrain.data.labels import Labels
from zerotrain.data.mixing import uniform, words
from zerotrain.data.table import Table

GOOD = "a,b,kind\n1,2,red\n3,4.5,blue\n-5e-1,6,red\n"


def read(folder: Path, content: str | bytes, *, labels: bool = True, **options: Any) -> Table:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path, DataOptions(**options), labels=labels)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", ", "),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.replace("\n", "\n\n") + "  \n",
        GOOD.rstrip("\n"),
        GOOD.replace("red", '"red"').replace("4.5", '"4.5"'),
        "\ufeff" + GOOD,
        GOOD.partition("\n")[2],
    ],
)
def test_dialects(tmp_path: Path, content: str) -> None:
    found = read(tmp_path, content)
    assert found.x.tolist() == [[1, 2], [3, 4.5], [-0.5, 6]]
    assert isinstance(found.y, Labels)
    assert [found.y.names[k] for k in found.y.codes] == ["red", "blue", "red"]
    assert found.columns in (("column a", "column b"), ("column 1", "column 2"))


def test_quoted_cells_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    content = '"a, b","c ""d""",kind\n1,2,"red, or\nblue"\n"3",4,green\nx,1,green\n'
    with pytest.raises(ValueError, match=r"t\.csv: line 5, column a, b, is 'x': expected a number"):
        read(tmp_path, content)
    found = read(tmp_path, content.replace("x,1", "5,1"))
    assert found.columns == ("column a, b", 'column c "d"')
    assert isinstance(found.y, Labels) and found.y.names == ("red, or\nblue", "green")


def test_columns_are_chosen(tmp_path: Path) -> None:
    content = "id,a,y,b\n7,1,2,3\n8,4,5,6\n"
    found = read(tmp_path, content, labels=False, targets=["y", -1], ignore="id")
    assert found.x.tolist() == [[1], [4]]
    assert isinstance(found.y, np.ndarray) and found.y.tolist() == [[2, 3], [5, 6]]
    assert (found.columns, found.targets) == (("column a",), ("column y", "column b"))
    found = read(tmp_path, content, targets=3, ignore=[1])
    assert found.x.tolist() == [[1, 3], [4, 6]]
    # A header of numbers, or none, has to be told.
    numbers = content.replace("id,a,y,b", "2019,2020,2021,2022")
    assert len(read(tmp_path, numbers).x) == 3
    assert len(read(tmp_path, numbers, header=True).x) == 2


@pytest.mark.parametrize(
    ("content", "labels", "options", "message"),
    [
        ("", True, {}, "{} is empty"),
        ("\n \n", True, {}, "{}: expected columns with a comma, a semicolon or a tab between them, "
         "got an empty file"),
        ("a b c\n1 2 3\n", True, {}, "{}: expected columns with a comma, a semicolon or a tab "
         "between them, got 'a b c'"),
        ("a,b\n", True, {}, "{}: there is 1 row: expected many"),
        (GOOD.replace("4.5", ""), True, {}, "{}: line 3, column b, has no value: fill it in, or "
         'drop the row, or leave the column out with ignore = ["b"]'),
        (GOOD.replace("4.5", "NA"), True, {}, "{}: line 3, column b, has no value but 'NA': fill "
         'it in, or drop the row, or leave the column out with ignore = ["b"]'),
        (GOOD.replace("4.5", "nan"), True, {}, "{}: line 3, column b, has no value but 'nan': fill "
         'it in, or drop the row, or leave the column out with ignore = ["b"]'),
        (GOOD.replace("blue", ""), True, {}, "{}: line 3, column kind, has no label: fill it in, "
         "or drop the row"),
        (GOOD.replace("blue", "2.5"), True, {}, "{}: line 3, column kind, is '2.5': expected a "
         "label, a text or a whole number; for values to be predicted take loss = "
         '"mean_squared_error", as new --regression does'),
        (GOOD.replace("4.5", "1e999"), True, {}, "{}: line 3, column b, is '1e999': expected a "
         "finite number"),
        (GOOD.replace(",", ";").replace("4.5", "4,5"), True, {}, "{}: line 3, column b, is '4,5': "
         "write numbers with a decimal point, not a comma"),
        (GOOD.replace("4.5", "big"), True, {}, "{}: line 3, column b, is 'big': expected a number; "
         'write categories as columns of 0 and 1, or leave the column out with ignore = ["b"]'),
        (GOOD.replace("4.5", "4_5"), True, {}, "{}: line 3, column b, is '4_5': expected a number; "
         'write categories as columns of 0 and 1, or leave the column out with ignore = ["b"]'),
        (GOOD.partition("\n")[2].replace("4.5", "٤"), True, {}, "{}: line 2, column 2, is '٤': "
         "expected a number; write categories as columns of 0 and 1, or leave the column out with "
         "ignore = [2]"),
        (GOOD.replace("4.5", "4.5,9"), True, {}, "{}: line 3 has 4 cells, line 1 has 3: expected "
         "as many in every line; quote cells that hold a ','"),
        (GOOD, False, {}, "{}: line 2, column kind, is 'red': expected a target value; for labels "
         'take loss = "softmax_cross_entropy", or name another column with targets'),
        (GOOD, True, {"targets": ["a", "b"]}, "{}: labels are in one column, got 2 targets; for "
         'values take loss = "mean_squared_error"'),
        (GOOD, True, {"targets": "kin"}, "{}: there is no column 'kin': did you mean 'kind'?"),
        (GOOD, True, {"targets": 4}, "{}: there are 3 columns, 1 to 3 or from the end -1 to -3: "
         "got 4"),
        (GOOD, True, {"ignore": ["kind"]}, "{}: column kind is named twice in targets and ignore: "
         "expected once"),
        (GOOD, True, {"ignore": ["a", 2]}, "{}: all 3 columns are targets or ignored: expected at "
         "least one input"),
        (GOOD.replace("b", "a"), True, {"ignore": "a"}, "{}: 2 columns are named 'a': give a "
         "position"),
        (GOOD.partition("\n")[2], True, {"targets": "kind"}, "{}: there is no header, columns have "
         "positions 1 to 3 or from the end -1 to -3: got 'kind'"),
        ("1,b,kind\n1,2,red\n", True, {}, "{}: the first row may have names or values: say which, "
         "with header = true or header = false in [training.data]"),
        ("0,1,2\n1,2,3\n", True, {}, "{}: the first row may have names or values: say which, "
         "with header = true or header = false in [training.data]"),
        (GOOD + '"7"7,8,red\n', True, {}, "{}: line 5 has quotes where none belong, or too long a "
         "cell (',' expected after '\"'): quote whole cells, and double a quote inside"),
        (GOOD + '"7,8,red\n', True, {}, "{}: line 5 has quotes where none belong, or too long a "
         "cell (unexpected end of data): quote whole cells, and double a quote inside"),
        (GOOD.encode("utf-16"), True, {}, "{} is not a text file in UTF-8 (byte 0xff): export it "
         "as CSV in UTF-8"),
        (GOOD + "1,2," + 120 * "x" + "\n", True, {}, "{}: line 5, column kind, is a text of 120 "
         "characters: expected a label, up to 100"),
        ("a,b\n" + "".join(f"{k},{k}\n" for k in range(1001)), True, {}, "{}: column b has more "
         "than 1000 different labels: expected a few classes; for values to be predicted take "
         'loss = "mean_squared_error", as new --regression does'),
        ("a,b\n" + (1 << 20) * "1", True, {}, "{}: line 2 has more than 1,048,576 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong(
    tmp_path: Path, content: str | bytes, labels: bool, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, content, labels=labels, **options)
    assert str(caught.value) == message.format(tmp_path / "t.csv")


def test_both_ways_of_reading_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks without quotes are parsed by NumPy, all others cell by cell."""
    monkeypatch.setattr("zerotrain.data.csv_file._BLOCK", 7)
    values = uniform(300, 1) * 10.0 ** (words(300, 2) % np.uint64(40)).astype(float)
    rows = [f"{a!r},{b:.3g},{'no' if k % 3 else 'yes'}" for k, (a, b) in
            enumerate(values.reshape(-1, 2).tolist())]  # fmt: skip
    plain = read(tmp_path, "a,b,kind\n" + "\n".join(rows))
    quoted = read(tmp_path, 'a,b,"kind"\n' + "\n".join(rows))
    slow = read(tmp_path, "a,b,kind\n" + "\n".join(rows).replace("yes", '"yes"'))
    for found in (quoted, slow):
        assert found.x.tobytes() == plain.x.tobytes()
        assert isinstance(found.y, Labels) and isinstance(plain.y, Labels)
        assert found.y.names == plain.y.names == ("yes", "no")
        assert found.y.codes.tolist() == plain.y.codes.tolist()
    with pytest.raises(ValueError, match=r"t\.csv: line 152, column b, is 'x': expected a number"):
        read(tmp_path, "a,b,kind\n" + "\n".join([*rows, "1,x,no"]))
    with pytest.raises(
        ValueError, match=r"t\.csv: line 40, column a, has no value but 'nan': fill"
    ):
        read(tmp_path, "a,b,kind\n" + "\n".join([*rows[:38], "nan,1,no", *rows[39:]]))


def test_limits_of_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerotrain.data.csv_file.MOST_VALUES", 5)
    with pytest.raises(ValueError, match=r"^.*t\.csv: there are more than 5 numbers: take fewer "
                       r"rows or columns$"):  # fmt: skip
        read(tmp_path, GOOD)
    monkeypatch.setattr(table, "_MOST_BYTES", 30)
    with pytest.raises(ValueError, match=r"^.*t\.csv has 40 bytes: expected at most 30; take fewer "
                       r"samples$"):  # fmt: skip
        read(tmp_path, GOOD)
