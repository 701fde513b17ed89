"""The command line: what it prints, what it writes, and one sentence for every mistake."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from zerotrain.boards.catalogue import find_board
from zerotrain.boards.estimate import least_resources
from zerotrain.boards.family import Resource
from zerotrain.boards.suit import with_board, with_fitting_banks
from zerotrain.cli.display import display, duration
from zerotrain.cli.doctor import examine
from zerotrain.cli.help import GROUPS
from zerotrain.cli.main import main
from zerotrain.cli.options import override, select_schedule
from zerotrain.config.config import Config
from zerotrain.host.metric import metrics_of
from zerotrain.host.session import Progress
from zerotrain.host.trainer import Row
from zerotrain.spec.losses import Loss

Capture = pytest.CaptureFixture[str]
SHORT = [
    "train", "--preset", "digits", "--chip", "golden", "--rge-steps", "6", "--cge-steps", "4",
    "--set", "training.evaluate_every=5",
]  # fmt: skip


def failure(capture: Capture, arguments: list[str], code: int) -> str:
    """The one sentence with which a command fails."""
    assert main(arguments) == code
    text = capture.readouterr().err
    assert text.startswith("zerotrain: ") and text.count("\n") == 1
    return text.removeprefix("zerotrain: ").rstrip("\n")


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    return ["--run-folder", str(tmp_path / "run")]


def test_train_verify_resume_evaluate(capsys: Capture, tmp_path: Path, run: list[str]) -> None:
    assert main([*SHORT, "--verify", *run]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^step 5/10  sign-rge  loss \d\.\d{4}  test accuracy \d+\.\d%", printed, re.M)
    assert printed.rstrip().endswith(
        "The golden model holds the same losses at every one of 10 steps, and the same parameters "
        "every 16 steps and at the end."
    )
    folder = tmp_path / "run"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["golden_equal"] is True and summary["steps"] == 10
    assert {
        "test_accuracy", "steps", "cycles", "train_seconds", "cycles_per_cpu_second",
        "multiplier_use_rge", "multiplier_use_cge", "golden_equal",
    } <= set(summary)  # fmt: skip

    # Resuming a finished run takes no step and ends the same.
    log = (folder / "log.csv").read_text()
    assert main(["train", "--resume", "--chip", "golden", *run]) == 0
    assert (folder / "log.csv").read_text() == log
    assert (
        json.loads((folder / "summary.json").read_text())["running_hash"]
        == (summary["running_hash"])
    )
    capsys.readouterr()
    assert main(["evaluate", "--chip", "golden", *run]) == 0
    printed = capsys.readouterr().out
    match = re.search(r"^test +accuracy .* \((\d+) of 360\)", printed, re.M)
    assert match is not None
    assert int(match.group(1)) == round(summary["test_accuracy"] * 360)


def test_a_wrong_log_is_not_verified(
    capsys: Capture, tmp_path: Path, run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code tells scripts that the golden model differs."""
    from zerotrain.host.driver import Driver

    honest = Driver.wait
    count = 0

    def wait(self: Driver) -> object:
        nonlocal count
        count += 1
        result = honest(self)
        if count == 20:
            result.losses[0] ^= 1
        return result

    monkeypatch.setattr(Driver, "wait", wait)
    assert main([*SHORT, "--verify", *run]) == 1
    assert re.search(
        r"The golden model differs from step \d+ on(; .*)?\.\n$", capsys.readouterr().out
    )
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["golden_equal"] is False


def test_ctrl_c_keeps_a_checkpoint_that_resumes_exactly(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = [sys.executable, "-c", "import sys; from zerotrain.cli.main import main; "
               "sys.exit(main())", "train"]  # fmt: skip
    options = ["--preset", "digits", "--chip", "golden", "--rge-steps", "60", "--cge-steps", "9",
               "--set", "training.evaluate_every=5"]  # fmt: skip

    def finish(arguments: list[str]) -> int:
        return subprocess.run([*command, *arguments], check=False, timeout=120).returncode

    assert finish([*options, "--run-folder", str(whole)]) == 0
    process = subprocess.Popen(
        [*command, *options, "--run-folder", str(cut)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    for line in process.stdout:  # until training is under way
        if line.startswith("step 10/") or time.monotonic() > deadline:
            break
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert re.search(r"^Interrupted after step \d+; continue with: zerotrain train --resume "
                     rf"--chip golden --run-folder {cut}$", output, re.M)  # fmt: skip
    assert not (cut / "summary.json").exists()
    assert finish(["--resume", "--chip", "golden", "--run-folder", str(cut)]) == 0
    assert (cut / "log.csv").read_bytes() == (whole / "log.csv").read_bytes()
    assert {p.name for p in cut.iterdir()} == {p.name for p in whole.iterdir()}


def test_options_reach_the_configuration(tmp_path: Path, run: list[str]) -> None:
    options = ["--schedule", "rge", "--lanes", "5", "--batch", "11", "--seed", "9",
               "--hold-out-validation", "--set", "training.rge.step_size=0.01"]  # fmt: skip
    command = ["train", "--preset", "digits", "--chip", "golden", "--rge-steps", "3"]
    assert main([*command, *options, *run]) == 0
    config = Config.load(tmp_path / "run" / "config.toml")
    training = config.training
    assert training is not None and training.rge is not None and training.cge is None
    assert (training.batch, training.seed, training.hold_out_validation) == (11, 9, True)
    assert (training.rge.rule, training.rge.steps, training.rge.step_size) == ("linear", 3, 0.01)
    assert config.chip.lanes == 5


def test_configuration_file(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(Config.preset("digits").to_toml())
    assert main(["plan", "--config", str(path)]) == 0
    assert "digits: 510 parameters, 8 lanes, batches of 32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "Name either a preset (--preset) or a configuration file (--config), got "
         "neither; presets are black-scholes, burgers, diabetes, digits, digits-small, heat, "
         "hjb-3209, hjb-7745, hjb-small, hjb-tiny, mnist-2698, mnist-3962, mnist-3962-fast, "
         "mnist-8314, mnist-dense-7940, mnist-dense-814090, mnist-small, poisson"),
        (["plan", "--preset", "digit"], "There is no preset 'digit': did you mean 'digits'?"),
        (["plan", "--preset", "digits", "--board", "icebraker"],
         "Unknown board 'icebraker'; did you mean 'icebreaker'?"),
        (["plan", "--preset", "digits", "--set", "chip.lane=3"],
         "Unknown key 'lane' in [chip]: did you mean 'lanes'?"),
        (["plan", "--preset", "digits", "--set", "trainin.seed=3"],
         "There is no table 'trainin' for 'trainin.seed': did you mean 'training'?"),
        (["plan", "--preset", "digits", "--set", "lanes"],
         "An override is written key=value, e.g. training.cge.steps=100, got 'lanes'"),
        (["plan", "--preset", "digits", "--lanes", "65"], "A chip has 1 to 64 lanes, not 65"),
        (["plan", "--preset", "digits", "--set", "layers.1.out_modes=[2, 4, 2, 3]"],
         "Layer 2 takes as many inputs as layer 1 has outputs: expected 48, got 32 "
         "(modes (2, 4, 2, 2))"),
        (["plan", "--preset", "digits", "--set", "chip.formats.weight=3"],
         "[chip.formats.weight] A number format is written like 'Q2.13' (2 integer and 13 fraction "
         "bits besides the sign), not 3"),
        (["plan", "--preset", "digits", "--set", f"training.rge.mu={'9' * 400}"],
         "training.rge.mu is an integer of 64 bits at most, not one of 1330 bits"),
        (["plan", "--preset", "digits", "--set", f"training.rge.mu={'9' * 5000}"],
         "training.rge.mu is a number, not '9999"),
        (["plan", "--preset", "digits", "--set", f"layers.{'9' * 5000}.bias=true"],
         "There is no table '999"),
        (["plan", "--preset", "mnist-dense-814090"],
         "Network mnist-dense-814090 has 814,090 parameters, a chip has at most 65,536"),
        (["plan", "--preset", "digits", "--set", "layers.2.out_modes=[2, 5, 5, 5]"],
         "Network digits has 250 outputs, a chip has at most 64"),
        (["generate", "--preset", "digits", "--synthesis"],
         "Synthesis needs a board to synthesise for: expected --board, got none"),
        (["train", "--resume", "--lanes", "3"], "A run is resumed with its own configuration: "
         "expected --resume with --run-folder, got options that would change it"),
        (["train", "--presets", "digits"], "No such option: --presets"),
        (["train", "--preset", "digits", "--chip", "gold"], "Invalid value for '--chip'"),
        (["trian"], "No such command 'trian'"),
        (["train", "--preset", "digits", "--schedule", "cge", "--rge-steps", "5"],
         "--rge-steps is for the stage [training.rge], which --schedule cge leaves out: leave one "
         "of the two away"),
        (["train", "--preset", "digits", "--schedule", "sign-rge", "--set",
          "training.cge.momentum=0.5"],
         "--set training.cge.momentum=0.5 is for the stage [training.cge], which --schedule "
         "sign-rge leaves out: leave one of the two away"),
        (["train", "--preset", "mnist-small", "--cge-steps", "9"],
         "[training.cge] 2 keys are missing: expected step_size (a number), final_step_size (a "
         "number)"),
    ],
)  # fmt: skip
def test_bad_requests(capsys: Capture, arguments: list[str], message: str) -> None:
    assert failure(capsys, arguments, 2).startswith(message)


def test_what_is_endless_is_cut(capsys: Capture) -> None:
    for change in (f"{'x' * 9000}.y=3", f"{'x' * 9000}", f"layers.1.in_modes={[0] * 9000}"):
        sentence = failure(capsys, ["plan", "--preset", "digits", "--set", change], 2)
        assert len(sentence) < 820 and "..." in sentence


def test_missing_files_and_damaged_checkpoints(
    capsys: Capture, tmp_path: Path, run: list[str]
) -> None:
    absent = tmp_path / "absent.toml"
    assert failure(capsys, ["plan", "--config", str(absent)], 1) == (
        f"Cannot open {absent}: there is no such file or folder"
    )
    folder = tmp_path / "run"
    assert failure(capsys, ["train", "--resume", *run], 1) == (
        f"There is no run in {folder}: expected checkpoint.ztc there, which every run has"
    )
    assert main([*SHORT, *run]) == 0
    capsys.readouterr()
    path = folder / "checkpoint.ztc"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert failure(capsys, ["train", "--resume", "--chip", "golden", *run], 2) == (
        f"Checkpoint {path} is truncated or damaged: its checksum does not match; start the run "
        "again"
    )
    path.write_bytes(whole)
    config = folder / "config.toml"
    text = config.read_text()
    config.write_text(text.replace("lanes = 8", "lanes = 7"))
    assert failure(capsys, ["train", "--resume", "--chip", "golden", *run], 2) == (
        f"{config}: The checkpoint is of a run with chip.lanes = 8, this one has chip.lanes = 7: "
        "put it back as it was, or start a new run"
    )
    config.write_text(text.replace('activation = "relu"', 'activation = "none"', 1))
    assert failure(capsys, ["evaluate", "--chip", "golden", *run], 2) == (
        f'{config}: The checkpoint is of a run with layers.1.activation = "relu", this one has '
        'layers.1.activation = "none": put it back as it was, or start a new run'
    )


def test_missing_data(
    capsys: Capture, tmp_path: Path, run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ZEROTRAIN_DATA", raising=False)
    command = ["train", "--preset", "mnist-3962", "--chip", "golden", *run]
    assert failure(capsys, command, 1).startswith("The MNIST files are not there: expected ")
    assert not (tmp_path / "run").exists()


def test_missing_compiler(
    capsys: Capture, tmp_path: Path, run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command = ["train", "--preset", "digits", "--chip", "verilated", *run]
    message = failure(capsys, command, 1)
    assert "g++" in message and "apt-get install" in message


PARTIAL = """
[[layers]]
in_modes = [2, 5]
out_modes = [2, 4]
ranks = 2
activation = "relu"
[[layers]]
type = "dense"
inputs = 8
outputs = 1
"""


def test_options_complete_a_configuration(capsys: Capture, tmp_path: Path, run: list[str]) -> None:
    """Keys that the file has not may come from options, and all that are missing are named."""
    path = tmp_path / "net.toml"
    path.write_text(f"loss = 'mean_squared_error'{PARTIAL}[training]\n[training.rge]\nmu = 0.03\n")
    command = ["train", "--config", str(path), "--chip", "golden", *run]
    assert failure(capsys, command, 2) == (
        f"{path}: [training.rge] 3 keys are missing: expected steps (an integer), step_size (a "
        "number), final_step_size (a number)"
    )
    command += ["--rge-steps", "4"]
    assert failure(capsys, command, 2) == (
        f"{path}, with the options: [training.rge] 2 keys are missing: expected step_size (a "
        "number), final_step_size (a number)"
    )
    command += ["--set", "training.rge.step_size=0.01", "--set",
                "training.rge.final_step_size=0.001", "--cge-steps", "3"]  # fmt: skip
    assert failure(capsys, command, 2) == (
        f"{path}, with the options: [training.cge] 2 keys are missing: expected step_size (a "
        "number), final_step_size (a number)"
    )
    command += [
        "--set",
        "training.cge.step_size=0.01",
        "--set",
        "training.cge.final_step_size=0.01",
    ]
    assert failure(capsys, command, 2) == (
        f"{path}, with the options: training.dataset is missing: expected a text"
    )
    assert main([*command, "--set", "training.dataset=diabetes"]) == 0
    training = Config.load(tmp_path / "run" / "config.toml").training
    assert training is not None and training.rge is not None and training.cge is not None
    assert (training.rge.steps, training.cge.steps, training.rge.mu) == (4, 3, 0.03)
    path.write_text("name = ")
    capsys.readouterr()
    assert failure(capsys, command, 2).startswith(f"{path} is not valid TOML: ")


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"zerotrain \d+\.\d+\.\d+( \(commit \S+\))?", lines[0])
    names = [line.split()[0] for line in lines]
    assert {"amaranth", "numpy", "verilator"} <= set(names)


@pytest.mark.parametrize("arguments", [[], ["--traceback"]])
def test_without_a_command_there_is_help(capsys: Capture, arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: zerotrain [OPTIONS] COMMAND [ARGS]...\n")


def test_traceback_switch() -> None:
    with pytest.raises(ValueError, match="There is no preset"):
        main(["--traceback", "plan", "--preset", "digit"])


def test_plan(capsys: Capture) -> None:
    assert main(["plan", "--preset", "digits", "--board", "ulx3s-85f", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parameters"] == 510 and report["board"]["name"] == "ulx3s-85f"
    needed = report["board"]["resources_at_least"]["multiplier"]
    assert needed == {"needed": 8, "available": 156}
    assert main(["plan", "--preset", "digits", "--board", "ulx3s-85f"]) == 0
    printed = capsys.readouterr().out
    for step in ("evaluate", "rge", "cge"):
        assert f"{report['steps'][step]['estimated_cycles']:,}" in printed


def test_merge_unit_where_the_part_has_room() -> None:
    digits = Config.preset("digits")
    small, large = (
        with_board(digits, find_board(name), 8).build_chip() for name in ("icebreaker", "ulx3s-85f")
    )
    assert not small.merge_depth and large.merge_depth
    assert with_board(digits, None, None).build_chip() == large


def test_one_bank_of_samples_where_two_do_not_fit(capsys: Capture) -> None:
    changes = ["training.batch=64"]
    config = override(Config.preset("digits"), changes)
    chip = config.build_chip()
    board = find_board("ulx3s-85f")
    two = least_resources(chip, board)[Resource.BLOCK_RAM]
    one = least_resources(replace(chip, sample_banks=1), board)[Resource.BLOCK_RAM]
    assert one < two

    def banks(blocks: int, config: Config) -> int:
        smaller = replace(board, resources={**board.resources, Resource.BLOCK_RAM: blocks})
        return with_fitting_banks(config, smaller).build_chip().sample_banks

    assert [banks(n, config) for n in (two, two - 1, one, one - 1)] == [2, 1, 1, 2]
    assert banks(one, override(config, ["chip.sample_banks=2"])) == 2
    arguments = ["plan", "--preset", "digits", "--board", "ulx3s-85f"]
    for change in (*changes, "chip.sample_banks=1"):
        arguments += ["--set", change]
    assert main(arguments) == 0
    assert f"Two banks would take {two} block RAMs." in capsys.readouterr().out


def test_a_network_too_large_for_the_board(capsys: Capture, tmp_path: Path) -> None:
    for command in ("plan", "generate"):
        output = ["--output", str(tmp_path / "out")] if command == "generate" else []
        arguments = [command, "--preset", "mnist-3962", "--board", "icebreaker", *output]
        assert main(arguments) == 2
        message = capsys.readouterr().err
        assert re.match(
            r"zerotrain: A chip of 64 lanes does not fit icebreaker: the iCE40UP5K-SG48 has 8 "
            r"multipliers, the chip needs 64, 56 too many; and 30 block RAMs, the chip needs .*; "
            r"what fits: --set chip=auto \(without CGE\) or --preset mnist-small or --board "
            r"ulx3s-45f$",
            message,
        )
    assert not (tmp_path / "out").exists()


def test_generate(capsys: Capture, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = ["generate", "--preset", "digits", "--lanes", "2", "--set", "chip.loss_ways=1"]
    assert main([*command, "--output", str(output)]) == 0
    names = {"zerotrain.v", "plan.json", "config.toml", "csr.csv", "csr.json", "zerotrain.h"}
    assert {p.name for p in output.iterdir()} == names
    verilog = (output / "zerotrain.v").read_text()
    assert "module top(" in verilog and str(Path.cwd()) not in verilog
    plan = json.loads((output / "plan.json").read_text())
    chip = Config.load(output / "config.toml").build_chip()
    assert plan["config_hash"] == f"{chip.config_hash:#010x}" and chip.lanes == 2
    content = {p.name: p.read_bytes() for p in output.iterdir()}
    assert main([*command, "--output", str(output)]) == 0
    assert {p.name: p.read_bytes() for p in output.iterdir()} == content


def test_lists(capsys: Capture) -> None:
    assert main(["boards"]) == 0
    assert "ulx3s-85f" in capsys.readouterr().out
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"mnist-3962 .* 3962 ", printed)
    assert re.findall(r"^│ (\S+) .*for comparison", printed, re.MULTILINE) == ["mnist-dense-814090"]


def test_doctor(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(finding.ok or not finding.needed for finding in examine())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "MISSING  program g++" in printed and "apt-get install g++" in printed
    assert "ok       package amaranth: 0.5.10" in printed
    assert printed.rstrip().endswith("Something is missing.")


def test_help(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb in ("train", "generate", "plan", "boards", "doctor", "evaluate", "presets", "demo"):
        assert re.search(rf"^ +{verb} ", printed, re.M)


def test_the_first_screen(capsys: Capture) -> None:
    """Verbs in the order of their use, a line each, and how to begin; also without arguments."""
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == printed
    assert [line for line in printed.splitlines() if re.match(r"\w.*:$", line)][1:6] == [
        "Begin:", "Plan:", "Train:", "Make a chip:", "Keep results:",
    ]  # fmt: skip
    known = {name for names in GROUPS.values() for name in names}
    for verb in (line.split()[0] for line in printed.splitlines() if re.match(r"  [a-z]", line)):
        assert verb in known | {"zerotrain"}, f"{verb}: its help takes two lines, or has no group"
    assert "  zerotrain new my.toml --inputs 64 --outputs 10\n" in printed


def test_schedule_selection() -> None:
    config = Config.preset("digits")
    cge = select_schedule(config, "cge")  # type: ignore[arg-type]
    assert cge.training is not None and cge.training.rge is None
    with pytest.raises(ValueError, match=r"^Schedule hybrid needs a stage \[training\.rge\], which "
                       r"configuration digits has not$"):  # fmt: skip
        select_schedule(cge, "hybrid")  # type: ignore[arg-type]


def test_override_of_texts_and_lists() -> None:
    config = override(Config.preset("digits"), ["name=x y", "layers.2.ranks=[2, 3, 2]"])
    assert config.network.name == "x y"
    assert config.network.layers[1].ranks == (2, 3, 2)


def test_duration() -> None:
    assert [duration(s) for s in (None, 0.4, 61, 3599.6, 7325)] == [
        "-:--", "0:00", "1:01", "1:00:00", "2:02:05",
    ]  # fmt: skip


def test_bar_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w") as file:
        console = Console(file=file, force_terminal=True, width=100)
        (metric,) = metrics_of(Loss.SOFTMAX_CROSS_ENTROPY)
        with display(console, "test", metric) as observe:
            for step, value in ((0, 0.1), (1, None), (2, 0.75)):
                row = Row(step, "cge", 2.0, 0.1, value, "", 0, 0, 0, "")
                observe(Progress(row, 3, 65.0))
    text = path.read_text()
    for part in ("cge", "2/3", "loss 2.000", "test accuracy 75.0%", "1:05 left"):
        assert part in text
