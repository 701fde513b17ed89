"""The documents say what the code computes: numbers, tables, names of files, verbs and options.

A number is found by a pattern with one group. Where the text has changed its words, mend the
pattern here; where the code has changed its number, mend the text.
"""

import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from zerotrain.bench import __main__ as bench
from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.family import Resource
from zerotrain.cli.main import app, main
from zerotrain.config.config import Config, preset_names
from zerotrain.gateware.registers import READ_LATENCY
from zerotrain.host.session import Session
from zerotrain.spec import tables
from zerotrain.spec.chip import Chip
from zerotrain.spec.lfsr import TAPS, mix_seed
from zerotrain.spec.program import MAX_LEVELS, STREAMS
from zerotrain.spec.registers import Baseline, Saturation, UpdateRule, register

ROOT = Path(__file__).resolve().parent.parent
NUMERICS, ARCHITECTURE, README = "docs/numerics.md", "docs/architecture.md", "README.md"
SMALL = "docs/small-chips.md"
DOCUMENTS = (
    README,
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def line(name: str, match: re.Match[str]) -> str:
    """Where a match is, as ``file:line``."""
    return f"{name}:{text(name).count(chr(10), 0, match.start()) + 1}"


def number(word: str) -> int:
    """``3,962``, ``14`` or ``two``."""
    lower = word.lower()
    return WORDS.index(lower) if lower in WORDS else int(word.replace(",", ""))


def found(name: str, pattern: str) -> list[re.Match[str]]:
    """Where a document has such words, across line ends."""
    return list(re.finditer(pattern.replace(" ", r"\s+"), text(name)))


PIPELINED, MERGING = Chip(2), Chip(2, merge_depth=512)
ICEBREAKER = BOARDS["icebreaker"].resources

#: File, pattern with one number, what the code computes. Every one occurs at least once.
NUMBERS: list[tuple[str, str, int]] = [
    ("hw/zerotrain/gateware/registers.py", r"takes (\d+) cycles to write", 2),
    ("hw/zerotrain/gateware/registers.py", r"and (\d+) \(\d+\) to read", READ_LATENCY + 5),
    ("hw/zerotrain/gateware/registers.py", r"and \d+ \((\d+)\) to read", READ_LATENCY + 4),
    (ARCHITECTURE, r"A beat takes (\d+) cycles", PIPELINED.timing.gap_cycles),
    (ARCHITECTURE, r"(\w+) less where only a merge",
     PIPELINED.timing.gap_cycles - MERGING.timing.gap_cycles),
    (ARCHITECTURE, r"a pipeline of (\w+) stages", PIPELINED.timing.lane_latency),
    (ARCHITECTURE, r"a weight arrives (\w+) cycles later", MERGING.timing.weight_lead),
    (ARCHITECTURE, r"Up to (\d+) lanes are a group", len(Chip(64).lane_groups[0])),
    (ARCHITECTURE, r"a nest of up to (\w+) counters", MAX_LEVELS),
    (ARCHITECTURE, r"over (\w+) affine address streams", len(STREAMS)),
    (SMALL, r"([\d,]+) logic cells, \d+ block RAMs of 4", ICEBREAKER[Resource.LOGIC]),
    (SMALL, r"(\d+) block RAMs of 4", ICEBREAKER[Resource.BLOCK_RAM]),
    (SMALL, r"MNIST network of ([\d,]+) parameters",
     Config.preset("mnist-3962").network.n_parameters),
    (NUMERICS, r"`LOG2E = (\d+)`", tables.LOG2E),
    (NUMERICS, r"`LN2 = (\d+)`", tables.LN2),
    (NUMERICS, r"Fine logits have (\d+) fraction bits", tables.FINE_BITS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pattern", "expected"), NUMBERS)
def test_numbers(name: str, pattern: str, expected: int) -> None:
    matches = found(name, pattern)
    assert matches, f"{name} has no {pattern!r} any more: mend NUMBERS in tests/test_docs.py"
    for match in matches:
        assert number(match[1]) == expected, (
            f"{line(name, match)} says {match[0]!r}, the code {expected}: mend the text"
        )


def integers(name: str, after: str, count: int) -> list[int]:
    """The first integers behind a text."""
    start = text(name).index(after) + len(after)
    return [int(word) for word in re.findall(r"\d+", text(name)[start:])[:count]]


def test_tables_of_the_loss() -> None:
    assert integers(NUMERICS, "`EXP2[0..64]`:", 65) == list(tables.EXP2)
    assert integers(NUMERICS, "`LOG2[0..64]`:", 65) == list(tables.LOG2)


def rows(name: str, header: str) -> Iterator[list[str]]:
    """Cells of the table with that header line."""
    lines = [part.strip() for part in text(name).splitlines()]
    for part in lines[lines.index(header) + 2 :]:
        if not part.startswith("|"):
            return
        yield [cell.strip() for cell in part.strip("|").split("|")]


def test_generator() -> None:
    listed = {}
    for degree, taps, polynomial in rows(NUMERICS, "| degree | taps | polynomial |"):
        listed[int(degree)] = (int(degree), *(int(tap) for tap in taps.split(", ")))
        powers = ["x" if tap == 1 else f"x^{tap}" for tap in listed[int(degree)]]
        assert polynomial == " + ".join([*powers, "1"])
    assert listed == TAPS
    constants = re.findall(r"0x[0-9A-F]{16}", text(NUMERICS))
    assert constants == re.findall(r"0x[0-9A-F]{16}", inspect.getsource(mix_seed))


def test_flags() -> None:
    listed = {name: int(bit) for name, bit, _ in rows(NUMERICS, "| flag | bit | values |")}
    assert listed == {str(flag.name): flag.value for flag in Saturation}


def test_settings() -> None:
    """Every value that a register of that width holds."""
    listed = list(rows(NUMERICS, "| setting | values | meaning |"))
    assert len(listed) == 8
    for name, values, _ in listed:
        top = int(re.findall(r"\d+", values)[-1])
        assert top == (1 << register(name.strip("`")).width) - 1, name
    meanings = {name.strip("`"): meaning for name, _, meaning in listed}
    choices: dict[str, Any] = {"baseline": Baseline, "update_rule": UpdateRule}
    for name, choice in choices.items():
        for value in choice:
            assert f"{value.value} `{value.name.lower()}`" in meanings[name]


def test_parameters_of_presets() -> None:
    """Rows that begin with a preset's name go on with its number of parameters."""
    sizes = {name: Config.preset(name).network.n_parameters for name in preset_names()}
    for match in found(README, r"\n\| `?([a-z]+-\d+)`? \| ([\d,]+,\d{3}) \|"):
        if match[1] in sizes:
            assert number(match[2]) == sizes[match[1]], line(README, match)
    for match in found(README, r"a network of ([\d,]+) parameters over"):
        assert number(match[1]) == sizes["digits"], line(README, match)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_names_in_the_code(name: str) -> None:
    """Properties of chips, packages, and, in parentheses, files of the gateware."""
    gateware = ROOT / "hw" / "zerotrain" / "gateware"
    for match in found(name, r"`Chip\.(\w+)`"):
        assert hasattr(PIPELINED, match[1]), line(name, match)
    for match in found(name, r"`(zerotrain(?:\.\w+)+)`"):
        owner, _, last = match[1].rpartition(".")
        assert (
            match[1] in GENERATED
            or find_spec(match[1])
            or last in vars(__import__(owner, fromlist=[last]))
        ), f"{line(name, match)}: there is no {match[1]}"
    if name == ARCHITECTURE:
        for match in found(name, r"\(`([a-z_]+)`\)"):
            there = [*gateware.rglob(f"{match[1]}.py"), *gateware.glob(match[1])]
            assert there, f"{line(name, match)}: the gateware has no {match[1]}.py"


#: Where a document may mean that a path begins.
FOLDERS = (
    "", "docs", "boards/zerotrain", "hw/zerotrain", "sim/zerotrain", "sw/zerotrain",
    "hw/zerotrain/compiler", "hw/zerotrain/gateware", "hw/zerotrain/config/presets",
)  # fmt: skip
#: What commands make.
MADE = (".venv", "build", "runs")
GENERATED = ("plan.json", "config.toml", "zerotrain.v", "zerotrain.h")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_exist(name: str) -> None:
    quoted = r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|toml|md|cpp|v))`"
    for match in (*found(name, quoted), *found(name, r"\]\(([^)#:]+)\)")):
        path = match[1].rstrip("/")
        beside = (ROOT / name).parent / path
        if path.split("/")[0] not in MADE and path not in GENERATED:
            assert beside.exists() or any((ROOT / folder / path).exists() for folder in FOLDERS), (
                f"{line(name, match)}: there is no {path}"
            )


@cache
def options() -> dict[str, set[str]]:
    """Options of every verb of ``zerotrain``."""
    command: Any = typer.main.get_command(app)
    return {
        verb: {"--help", *(option for p in sub.params for option in (*p.opts, *p.secondary_opts))}
        for verb, sub in command.commands.items()
    }


def bench_options() -> set[str]:
    return set(re.findall(r"\"(--[a-z-]+)\"", inspect.getsource(bench)))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_verbs_and_options(name: str) -> None:
    """What stands behind ``zerotrain`` is a verb, and what follows are its options."""
    known = set().union(*options().values()) | bench_options()
    for match in found(name, r"(?:`|\n    |/)zerotrain ([a-z]+)([^`\n]*)"):
        verb, rest = match[1], match[2]
        assert verb in options(), f"{line(name, match)}: there is no verb {verb!r}"
        # What is quoted is another tool's.
        for option in re.findall(r"--[a-z-]+", re.sub(r'".*?"', "", rest)):
            assert option in options()[verb], f"{line(name, match)}: {verb} has no {option}"
    for match in found(name, r"`(--[a-z-]+)[^`]*`"):
        for option in re.findall(r"--[a-z-]+", match[0]):
            assert option in known, f"{line(name, match)}: nothing has an option {option}"
    for match in found(name, r"--preset ([\w-]+)"):
        assert match[1] in preset_names(), line(name, match)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_make_targets(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE)
    for match in found(name, r"(?:`|\n    )make ([a-z-]+)"):
        assert match[1] in targets, f"{line(name, match)}: the Makefile has no {match[1]}"


@pytest.mark.parametrize("name", [README, "docs/README.md"])
def test_commands_are_found_by_the_shell(name: str) -> None:
    """Who reads ``zerotrain`` has been told how it comes onto the path."""
    assert ". .venv/bin/activate" in text(name).replace("\n", " ")


def test_the_index_leads_to_every_page() -> None:
    index = set(re.findall(r"\]\(([\w/.-]+\.md)\)", text("docs/README.md")))
    pages = {name.removeprefix("docs/") for name in DOCUMENTS if name.startswith("docs/")}
    assert pages - index == {"README.md"}


#: Pages of the guide whose commands are run, and what is left out: minutes.
REPLAYED = {"docs/guide/first-network.md": (), "docs/guide/my-board.md": ("--synthesis",)}


@pytest.mark.parametrize("name", REPLAYED)
def test_the_guide_as_typed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands, in an empty folder and in their order; output that it quotes comes true."""
    monkeypatch.chdir(tmp_path)
    quoted, printed = [], ""
    for part in text(name).splitlines():
        words = part.strip()
        if not part.startswith("    ") or any(skip in words for skip in REPLAYED[name]):
            continue
        if not words.startswith("zerotrain "):
            quoted.append(words)
            continue
        code = main(shlex.split(words)[1:])
        out = capsys.readouterr()
        printed += out.out
        assert code == 0 or (code == 2 and "does not fit" in out.err), out.err
        for end in re.findall(r'ends with "(what fits.*?)"', text(name)):
            assert code != 2 or out.err.rstrip().endswith(end)
    assert quoted
    for line_ in quoted:
        known = line_.removesuffix(" ...").partition("  0:00 left")[0]
        assert known in printed, f"{name} quotes {line_!r}"


def toml_blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", text(README), re.DOTALL)


@pytest.mark.parametrize("block", toml_blocks())
def test_toml_blocks_plan(block: str) -> None:
    """Configurations that the README shows are whole, and a chip can be made for them."""
    assert Session.of(Config.parse(block, README)).plan.program.rows
