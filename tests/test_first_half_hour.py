"""A stranger's first half hour, replayed from the README: its commands as they stand there, in a
copy of the repository, then data and networks of one's own. `make demo`, which the README begins
with, is run by continuous integration before the tests.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
#: What is not in a clone.
NOT_CLONED = (".git", ".venv", "build", "runs", ".*_cache", "__pycache__", "*.egg-info")
#: Seconds for a command: far more than any takes.
LIMIT = 240

Run = Callable[[str], str]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in a folder whose name has a blank."""
    path = tmp_path_factory.mktemp("first half hour") / "zerotrain"
    shutil.copytree(ROOT, path, ignore=shutil.ignore_patterns(*NOT_CLONED))
    return path


@pytest.fixture
def run(clone: Path) -> Run:
    """Type a command in the copy; what it prints. The package that runs is the copy's."""
    parts = [str(clone / part) for part in ("hw", "sw", "sim", "boards")]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(parts),
    }

    def typed(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=clone, env=environment, text=True, timeout=LIMIT,
            capture_output=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert done.stderr == "", f"{command}\n{done.stderr}"
        return done.stdout

    return typed


def commands(text: str) -> Iterator[str]:
    """Commands of the README's table, in its order."""
    table = re.search(r"^\| command \| \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    for row in table[1].splitlines():
        for code in re.findall(r"`(.*?)`", row.split(" | ")[0]):
            yield code if code.startswith("zerotrain ") else f"zerotrain {code}"


def number(pattern: str, text: str) -> float:
    """The last number that a pattern with a group finds."""
    found = re.findall(pattern, text)
    assert found, text
    return float(found[-1])


#: Verbs of the README's table that want a table of one's own, or minutes.
ELSEWHERE = {"new", "publish", "results"}


def test_the_package_that_runs_is_the_copy(clone: Path, run: Run) -> None:
    code = "import zerotrain.spec.chip as c, zerotrain.host.run as r; print(c.__file__, r.__file__)"
    assert run(f'python -c "{code}"').count(str(clone)) == 2


def test_the_readme_as_typed(clone: Path, run: Run) -> None:
    text = (clone / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    (clone / "my.toml").write_text(block[1], encoding="utf-8")
    printed = {}
    for command in commands(text):
        verb = shlex.split(command)[1]
        if verb not in ELSEWHERE:
            printed[verb] = run(command)
    assert set(printed) >= {"presets", "plan", "train", "evaluate", "export", "generate", "boards"}
    assert "on ulx3s-25f: fits" in printed["plan"]
    assert number(r"[Tt]est accuracy ([\d.]+)%", printed["train"]) > 90
    assert (clone / "build" / "digits.npz").is_file(), printed["export"]
    assert list((clone / "build").glob("*/zerotrain.v")), printed["generate"]


def test_labels_of_ones_own(clone: Path, run: Run) -> None:
    """Three kinds of flowers, whose names are the labels."""
    rng = np.random.default_rng(1)
    kind = rng.integers(3, size=240)
    x = rng.normal(size=(240, 4)) + 2.5 * np.eye(4)[kind]
    names = np.array(["aster", "dahlia", "lily"])[kind]
    rows = [
        ",".join([*(f"{v:.2f}" for v in row), name]) for row, name in zip(x, names, strict=True)
    ]
    (clone / "flowers.csv").write_text("\n".join(["a,b,c,d,kind", *rows]) + "\n", encoding="utf-8")
    run("zerotrain new flowers.toml --dataset flowers.csv")
    short = "--set training.rge.steps=60 --set training.cge.steps=60"
    run(f"zerotrain train --config flowers.toml --chip golden {short}")
    measured = run("zerotrain evaluate --chip golden")
    assert "0 aster, 1 dahlia, 2 lily" in measured
    assert number(r"test +accuracy ([\d.]+)%", measured) > 70
    run("zerotrain export --output flowers.npz")
    with np.load(clone / "flowers.npz") as arrays:
        assert len(arrays.files) > 4
    planned = run("zerotrain plan --config flowers.toml --board icebreaker --set chip=auto")
    assert "on icebreaker: fits" in planned


def test_values_of_ones_own(clone: Path, run: Run) -> None:
    """A house's price, in a file of a folder of its own."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 6))
    price = 100 + 20 * x[:, 0] - 10 * x[:, 1] + rng.normal(size=300)
    (clone / "my data").mkdir()
    rows = [";".join(f"{v:.3f}" for v in (*row, p)) for row, p in zip(x, price, strict=True)]
    path = clone / "my data" / "houses.csv"
    path.write_text("\n".join(["a;b;c;d;e;f;price", *rows]) + "\n", encoding="utf-8")
    run("zerotrain new houses.toml --dataset 'my data/houses.csv' --regression")
    out = run("zerotrain train --config houses.toml --chip golden --run-folder 'runs/my houses'")
    assert number(r"[Tt]est RMSE ([\d.]+)", out) < 0.5 * price.std()
    again = run("zerotrain evaluate --chip golden --run-folder 'runs/my houses'")
    trained = number(r"[Tt]est RMSE ([\d.]+)", out)
    assert number(r"test +RMSE ([\d.]+)", again) == pytest.approx(trained, rel=1e-3)


def test_a_network_of_ones_own(clone: Path, run: Run) -> None:
    """Three layers, one of them dense, at another batch and rank."""
    (clone / "deep.toml").write_text(
        """name = "deep"
layers = [
    { in_modes = [8, 8], out_modes = [4, 6], ranks = 5, activation = "relu" },
    { in_modes = [4, 6], out_modes = [4, 4], ranks = 4, activation = "relu" },
    { type = "dense", inputs = 16, outputs = 10 },
]

[training]
dataset = "digits"
batch = 24
rge = { steps = 50, step_size = 0.004, final_step_size = 0.001, momentum = 0.875 }
cge = { steps = 60, step_size = 0.03, final_step_size = 0.005, momentum = 0.9375 }
""",
        encoding="utf-8",
    )
    out = run("zerotrain train --config deep.toml --chip golden --seed 3")
    assert number(r"[Tt]est accuracy ([\d.]+)%", out) > 60
    assert "on ulx3s-25f: fits" in run("zerotrain plan --config deep.toml --board ulx3s-25f")
