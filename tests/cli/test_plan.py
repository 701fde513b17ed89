"""``zerotrain plan``: the run's own values, the board's clock, the whole schedule."""

import json
from pathlib import Path
from typing import Any

import pytest

from zerotrain.boards.catalogue import find_board
from zerotrain.cli.main import main
from zerotrain.cli.target import build_folder
from zerotrain.config.config import Config
from zerotrain.host.cost import ScheduleCost
from zerotrain.host.session import Session
from zerotrain.spec.registers import Baseline

Capture = pytest.CaptureFixture[str]


def report(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert main(["plan", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("preset", ["digits", "mnist-3962", "mnist-small"])
def test_steps_are_those_of_the_run(capsys: Capture, preset: str) -> None:
    session = Session.of(Config.preset(preset))
    training = session.training
    assert training.rge is not None
    found = report(capsys, "--preset", preset)
    baseline = {"mean": Baseline.MEAN, "base": Baseline.BASE}[training.rge.baseline]
    cost = session.plan.step_cost(
        "rge", batch=training.batch, queries=training.rge.queries, baseline=baseline
    )
    assert (found["queries"], found["batch"]) == (training.rge.queries, training.batch)
    assert found["steps"]["rge"]["estimated_cycles"] == cost.cycles
    schedule = found["schedule"]["estimated_cycles"]
    assert schedule["rge"] == training.rge.steps * cost.cycles
    if training.cge is not None:
        cge = session.plan.step_cost("cge", batch=training.batch).cycles
        assert schedule["cge"] == training.cge.steps * cge


def test_plain_tt_through_r_numbers(capsys: Capture) -> None:
    """Way by way: 21 inputs, or 768 units, to 4 numbers, and these to 768 units with a bias."""
    found = report(capsys, "--preset", "hjb-3209")
    assert found["parameters"] == 3209
    ways = [(way["layer"], way["name"], way["macs"]) for way in found["candidates"]["forward"]]
    assert (0, "merged 5·2", 84 + 3840) in ways and (1, "merged 5·5", 3072 + 3840) in ways
    assert found["macs_per_sample"]["dense"] == 22 * 768 + 769 * 768 + 769


@pytest.mark.parametrize(
    "change", ["training.rge.queries=12", "training.rge.baseline=base", "training.batch=16"]
)
def test_every_value_of_the_run_counts(capsys: Capture, change: str) -> None:
    before = report(capsys, "--preset", "digits")["steps"]["rge"]["estimated_cycles"]
    after = report(capsys, "--preset", "digits", "--set", change)["steps"]["rge"]
    assert after["estimated_cycles"] != before


def test_an_rge_step_without_its_queries_has_no_cost() -> None:
    plan = Session.of(Config.preset("digits")).plan
    with pytest.raises(ValueError) as caught:
        plan.step_cost("rge")
    assert str(caught.value) == (
        "What an RGE step costs depends on its queries and baseline: expected both, got None and "
        "None"
    )


def test_measurements() -> None:
    config = Config.preset("digits")
    session = Session.of(config)
    training = session.training
    cost = ScheduleCost.of(config, session.plan)
    assert cost is not None
    steps = training.max_steps
    at = {0, steps, *range(0, steps, training.evaluate_every)}
    assert cost.measurements == len(at)
    # The chip's memories hold 32 samples a bank.
    once = session.plan.step_cost("evaluate", batch=32).cycles
    assert cost.measurement_cycles == cost.measurements * once * 1000 // 32
    assert ScheduleCost.of(Config(config.network), Session.of(Config(config.network)).plan) is None


def test_the_clock_is_that_of_the_routed_chip_or_the_target(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routed = report(capsys, "--preset", "digits", "--board", "ulx3s-85f")["board"]
    assert (routed["clock_hz"], routed["clock_source"]) == (
        119.23e6, "this chip routed, median of 3 seeds",
    )  # fmt: skip
    options = ["--preset", "digits", "--board", "ulx3s-85f", "--lanes", "4"]
    other = report(capsys, *options)
    assert (other["board"]["clock_hz"], other["board"]["clock_source"]) == (
        100e6, "target clock of ulx3s-85f, not routed",
    )  # fmt: skip
    assert main(["plan", *options]) == 0
    printed = capsys.readouterr().out
    assert "Clock: 100 MHz, target clock of ulx3s-85f, not routed" in printed
    seconds = sum(other["schedule"]["estimated_cycles"].values()) / 100e6
    assert f"Whole training: {seconds:.2g} s, " in printed
    # What `route` wrote here counts, too.
    monkeypatch.chdir(tmp_path)
    folder = build_folder("digits", find_board("ulx3s-85f"))
    folder.mkdir(parents=True)
    row = {"network": "digits", "board": "ulx3s-85f", "lanes": 4, "median_mhz": 90.0,
           "config_hash": other["config_hash"], "seeds": {"1": {"mhz": 90.0}}}  # fmt: skip
    (folder / "routing.json").write_text(json.dumps(row))
    again = report(capsys, *options)["board"]
    assert (again["clock_hz"], again["clock_source"]) == (90e6, "this chip routed, one seed")


def test_the_lanes_of_a_preset_stay(capsys: Capture) -> None:
    found = report(capsys, "--preset", "mnist-3962", "--board", "ulx3s-85f")
    assert (found["chip"]["lanes"], found["board"]["changes"]) == (64, [])
    assert found["board"]["clock_hz"] == 102.29e6
    assert main(["plan", "--preset", "mnist-3962", "--board", "ulx3s-45f"]) == 0
    assert "16 lanes instead of 64, with merge_depth = 0, " in capsys.readouterr().out


def test_the_answer_comes_first(capsys: Capture) -> None:
    assert main(["plan", "--preset", "digits-small", "--board", "icebreaker"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "digits-small, 8 lanes, on icebreaker: fits, as it was routed.",
        "Clock: 28.38 MHz, this chip routed, median of 3 seeds.",
        "Whole training: 1:53, 3,215,761,900 cycles, for 300 steps of rge and 500 steps of cge at "
        "most.",
    ]
    assert lines[4] == (
        "It takes about 8 of 8 multipliers, 29 of 30 block RAMs, 4 of 4 SPRAMs, 4,666 of 5,280 "
        "logic cells."
    )
    assert main(["plan", "--preset", "digits"]) == 0
    assert capsys.readouterr().out.startswith(
        "digits, 8 lanes: whether it fits, --board says (icebreaker, ulx3s-25f, "
    )
    assert main(["plan", "--preset", "digits", "--board", "icebreaker"]) == 2
    printed = capsys.readouterr()
    first = printed.out.splitlines()[0]
    assert first.startswith("Does not fit. A chip of 8 lanes does not fit icebreaker: the ")
    assert first.endswith(
        "; what fits: --set chip=auto or --preset digits-small or --board ulx3s-25f"
    )
    assert printed.err == f"zerotrain: {first.removeprefix('Does not fit. ')}\n"


def test_a_chip_that_only_the_estimate_refuses(capsys: Capture) -> None:
    # A square of 21 bits takes four of the part's multipliers.
    options = ["--preset", "diabetes", "--board", "icebreaker", "--lanes", "5"]
    for key in ("core=compact", "cge=forward", "sample_banks=1"):
        options += ["--set", f"chip.{key}"]
    found = report(capsys, *options)["board"]
    assert found["verdict"] == "may not fit"
    assert found["resources_expected"]["multiplier"] == 9
    assert main(["plan", *options]) == 0
    assert capsys.readouterr().out.startswith(
        "diabetes, 5 lanes, on icebreaker: may not fit by estimate; generate --synthesis makes "
        "sure, --set chip=auto looks for one that does.\n"
    )


def test_the_chip_that_is_chosen_is_said(capsys: Capture) -> None:
    options = ["--preset", "digits", "--set", "chip=auto"]
    assert main(["plan", *options, "--board", "icebreaker"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("digits, 8 lanes, on icebreaker: fits by estimate; ")
    assert lines[1].startswith("Chosen for icebreaker: lanes = 8, ")
    assert main(["plan", *options]) == 2
    assert capsys.readouterr().err == (
        'zerotrain: chip = "auto" is a chip for a board: expected --board with plan, generate or '
        "route; what generate writes as config.toml trains on that chip\n"
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "\x00", "x" * 300, "名" * 300])
def test_folders_stay_below_build(name: str) -> None:
    folder = build_folder(name, None)
    assert folder.parent == Path("build") and folder.name not in ("", ".", "..")
    assert len(folder.name.encode()) < 200 and "\x00" not in folder.name
