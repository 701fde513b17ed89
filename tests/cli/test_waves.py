"""A trace from the command line holds the golden model's losses, momentum and parameters."""

import re
import resource
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from vcd.reader import TokenKind, tokenize

from zerotrain.cli.main import main
from zerotrain.cli.waves import TRACE
from zerotrain.config.config import Config
from zerotrain.cosim.probes import Probe, probes
from zerotrain.cosim.traced import CYCLE
from zerotrain.data import load
from zerotrain.host.session import ChipKind, Session

pytestmark = pytest.mark.cosim

#: The step of each stage that is traced: the last of one, the first of the other.
SETTINGS = ["training.rge.steps=2", "training.evaluate_every=100"]
OPTIONS = ["--preset", "diabetes", *(word for s in SETTINGS for word in ("--set", s))]
LANES = 1
Ints = NDArray[np.int64]


@cache
def session() -> Session:
    values = Config.preset("diabetes").to_dict()
    values["training"]["rge"]["steps"] = 2
    values["training"]["evaluate_every"] = 100
    return Session.of(Config.from_dict(values))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("waves")


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What the command prints that traces an RGE and a CGE step."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("rich.console.Console.print", lambda self, text, **_: lines.append(text))
        arguments = ["--after", "1", "--steps", "2", "--show-lanes", str(LANES)]
        assert main(["waves", *OPTIONS, *arguments, "--output", str(folder)]) == 0
    return "\n".join(lines)


def names(path: Path) -> dict[str, tuple[str, tuple[int, int]]]:
    """Names in the trace, with their codes, and numbers of the highest and the lowest bit."""
    found: dict[str, tuple[str, tuple[int, int]]] = {}
    scopes: list[str] = []
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind == TokenKind.SCOPE:
                scopes.append(token.scope.ident)
            elif token.kind == TokenKind.UPSCOPE:
                scopes.pop()
            elif token.kind == TokenKind.VAR:
                # pyvcd takes a range of negative numbers for a part of the name.
                name, *numbers = re.split(r"[\[:\]]", token.var.reference.rstrip("]"))
                index = token.var.bit_index or (0, 0)
                if numbers:
                    index = (int(numbers[0]), int(numbers[1]))
                assert isinstance(index, tuple) and index[0] - index[1] == token.var.size - 1
                found[".".join([*scopes, name])] = (token.var.id_code, index)
            elif token.kind == TokenKind.ENDDEFINITIONS:
                break
    return found


def edges(path: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """Number of every traced cycle, and the bits of all codes after its rising edge."""
    now: dict[str, int] = {}
    time = -1
    for line in path.read_text().partition("$enddefinitions $end")[2].split("\n"):
        if line.startswith(("#", "!end")) or not line:
            if time >= 0 and time % CYCLE == 0 and line:
                yield time // CYCLE, now
            if line:
                time = int(line[1:])
        elif line.startswith("b"):
            bits, code = line[1:].split()
            now[code] = int(bits, 2)
        else:
            now[line[1:]] = int(line[0])


def value(probe: Probe, bits: int) -> int:
    negative = (probe.signed or probe.format) and bits >> (probe.width - 1)
    return bits - (1 << probe.width) if negative else bits


class _Words(dict[int, int]):
    """Words that a unit writes, by their addresses."""

    def array(self) -> list[int]:
        assert sorted(self) == list(range(len(self)))
        return [self[k] for k in range(len(self))]


def test_the_trace_is_the_golden_training(folder: Path, said: str) -> None:
    shown = {f"{p.group}.{p.name}": p for p in probes(session().chip, lanes=LANES)}
    codes = names(folder / TRACE)
    assert {p.path: p.range for p in shown.values()} == {
        n: index for n, (_, index) in codes.items()
    }
    code = {name: codes[probe.path][0] for name, probe in shown.items()}

    writes = {
        "loss.value": ("loss.write", "loss.evaluation"),
        "update.momentum": ("update.momentum_write", "update.momentum_index"),
        "update.theta": ("update.theta_write", "update.theta_index"),
    }
    steps: list[tuple[str, dict[str, _Words]]] = []
    states: set[int] = set()
    for _, now in edges(folder / TRACE):
        if now[code["controller.start"]]:
            command = shown["controller.command"].words[now[code["controller.command"]]]
            steps.append((command, {name: _Words() for name in writes}))
        if not steps:
            continue
        states.add(now[code["controller.evaluate_state"]])
        for name, (enable, index) in writes.items():
            if now[code[enable]]:
                steps[-1][1][name][now[code[index]]] = value(shown[name], now[code[name]])
    assert [command for command, _ in steps] == ["RGE", "CGE"]
    assert states == set(shown["controller.evaluate_state"].words)

    dataset = load("diabetes")
    with session().trainer(ChipKind.GOLDEN, dataset) as golden:
        golden.begin()
        golden.advance()
        for _, words in steps:
            golden.advance()
            driver = golden.driver
            assert words["update.theta"].array() == driver.parameters.tolist()
            assert words["update.momentum"].array() == driver.momentum.tolist()
            losses = words["loss.value"].array()
            raw = driver.bus.read(driver.windows["losses"].base, len(losses))
            assert losses == raw.view(np.int32).tolist()
    assert len(losses) == session().config.network.n_parameters + 1


def test_the_size_is_told_before(folder: Path, said: str) -> None:
    lines = said.splitlines()
    announced = next(line for line in lines if line.startswith("Tracing"))
    assert announced.startswith("Tracing steps 2 to 3 (sign-rge) with 1 of 8 lanes: about ")
    found = re.fullmatch(rf".*, ([\d.]+) MB, in {folder}", announced)
    assert found is not None
    size = (folder / TRACE).stat().st_size / 1e6
    assert 0.6 * size < float(found[1]) < 1.6 * size
    assert lines[-2:] == [
        f"  cd {folder} && gtkwave zerotrain.gtkw",
        f"  cd {folder} && surfer --command-file zerotrain.sucl",
    ]
    assert not list(folder.glob(".*.part"))


def test_a_trace_ends_where_it_was_told_to(
    tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--cycles", "100", "--show-lanes", str(LANES), "--output", str(tmp_path)]
    assert main(["waves", *OPTIONS, *arguments]) == 0
    assert "It ends after 100 cycles; --cycles allows more" in capsys.readouterr().out
    cycles = [cycle for cycle, _ in edges(tmp_path / TRACE)]
    assert len(cycles) in (99, 100) and cycles == list(range(cycles[0], cycles[0] + len(cycles)))


def test_a_full_disk(tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        code = main(["waves", *OPTIONS, "--show-lanes", str(LANES), "--output", str(tmp_path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    assert (
        capsys.readouterr().err == f"zerotrain: Cannot write {tmp_path / TRACE}: File too large\n"
    )
    assert not (tmp_path / TRACE).exists() and not list(tmp_path.glob(".*.part"))


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["waves", "--preset", "digits", "--run-folder", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "zerotrain: A run is traced with its own configuration: expected --run-folder alone, got "
        "options that would change it\n"
    )


def test_a_finished_run_has_no_step_to_trace(
    tmp_path: Path, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    short = ["--set", "training.cge.steps=1", "--run-folder", str(run), "--chip", "golden"]
    assert main(["train", *OPTIONS, *short]) == 0
    capsys.readouterr()
    assert main(["waves", "--run-folder", str(run), "--show-lanes", str(LANES)]) == 2
    assert capsys.readouterr().err == (
        "zerotrain: The training ends after step 3: expected a step to trace, got none; name an "
        "earlier one with --after, or a run that is not finished\n"
    )
