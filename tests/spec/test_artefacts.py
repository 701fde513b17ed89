"""Generated files: complete, deterministic, readable by their consumers, written whole or not."""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest
from litex.tools.remote.csr_builder import CSRBuilder

from zerotrain.spec.artefacts import Application, c_header, csr_csv, csr_json, write_artefacts
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Loss, Network, dense
from zerotrain.spec.program import Program
from zerotrain.spec.registers import (
    IDENTIFIER,
    REGISTERS,
    Baseline,
    Command,
    UpdateRule,
    register,
    windows,
)
from zerotrain.spec.step import StepSettings

CHIPS = [
    Chip(lanes=8),
    Chip(lanes=1, loss_ways=1, sample_depth=300),
    Chip(lanes=2, sample_banks=1, sample_depth=300),
    Chip(lanes=5, loss_ways=3, loss=Loss.MEAN_SQUARED_ERROR, target_depth=17),
]


@pytest.fixture(params=CHIPS, ids=lambda chip: f"{chip.lanes}-lanes")
def chip(request: pytest.FixtureRequest) -> Chip:
    found = request.param
    assert isinstance(found, Chip)
    return found


def test_csv_names_every_register_and_window(chip: Chip) -> None:
    text = csr_csv(chip, base=0x30000000)
    rows = [row for row in csv.reader(text.splitlines()) if not row[0].startswith("#")]
    assert {len(row) for row in rows} == {5}
    found = {(kind, name): (value, size, rest) for kind, name, value, size, rest in rows}
    assert len(found) == len(rows), "every name once"
    for r in REGISTERS:
        value, size, access = found["csr_register", f"zerotrain_{r.name}"]
        assert int(value, 0) == 0x30000000 + r.address
        assert (size, access) == ("1", "ro" if r.access == "r" else "rw")
    for w in windows(chip).values():
        value, size, _ = found["memory_region", f"zerotrain_{w.name}"]
        assert (int(value, 0), int(size)) == (0x30000000 + w.base, 4 * w.words)
    assert int(found["constant", "zerotrain_config_hash"][0]) == chip.config_hash


def test_json_holds_the_same_as_csv(chip: Chip) -> None:
    content = json.loads(csr_json(chip, APPLICATION))
    assert content["chip"] == json.loads(json.dumps(chip.to_dict()))
    registers = {key: value["addr"] for key, value in content["csr_registers"].items()}
    memories = {key: value["base"] for key, value in content["memories"].items()}
    from_csv: dict[str, dict[str, int]] = {}
    for kind, name, value, *_ in csv.reader(csr_csv(chip, APPLICATION).splitlines()[2:]):
        from_csv.setdefault(kind, {})[name] = int(value, 0)
    assert registers == from_csv["csr_register"]
    assert memories == from_csv["memory_region"]
    assert content["constants"] == from_csv["constant"]


#: A network of 19 samples on whatever chip, with distinct numbers everywhere.
APPLICATION = Application(
    Network((dense(6, 4),), name="small"),
    Program((1, 2, 3, 0), merge=0, forward=1, cge_merge=2, cge=3),
    19,
    {
        "rge": StepSettings(7, Baseline.BASE, UpdateRule.SIGN, 99, 11, 5, 33, 0),
        "cge": StepSettings(1, Baseline.BASE, UpdateRule.LINEAR, 1, 12, 14, 77, 21),
    },
)


# LiteX leaves the file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed")
def test_litex_reads_the_csv(tmp_path: Path, chip: Chip) -> None:
    """LiteX's own reader: registers can be written by name, windows and constants are there."""
    write_artefacts(chip, tmp_path, APPLICATION, base=0x30000000)
    written: dict[int, list[int]] = {}

    class Link:
        def read(self, address: int, length: int = 1) -> list[int]:
            return written[address]

        def write(self, address: int, data: list[int]) -> None:
            written[address] = data

    bus = CSRBuilder(Link(), str(tmp_path / "csr.csv"))
    assert (bus.csr_data_width, bus.csr_bus_address_width) == (32, 32)
    assert bus.bases.zerotrain == 0x30000000
    for r in REGISTERS:
        found = getattr(bus.regs, f"zerotrain_{r.name}")
        assert (found.addr, found.length) == (0x30000000 + r.address, 1)
    for w in windows(chip).values():
        region = getattr(bus.mems, f"zerotrain_{w.name}")
        assert (region.base, region.size) == (0x30000000 + w.base, 4 * w.words)
    # All that starts a step is among the constants.
    for name in APPLICATION.registers(chip):
        value = getattr(bus.constants, f"zerotrain_{name}")
        getattr(bus.regs, f"zerotrain_{name}").write(value)
        assert getattr(bus.regs, f"zerotrain_{name}").read() == value
    assert len(written) == 9
    assert bus.constants.zerotrain_program_forward == 1
    assert bus.constants.zerotrain_n_outputs == 4
    assert bus.constants.zerotrain_passes == -(-19 // chip.lanes)
    assert bus.constants.zerotrain_rge_mu == 99


def test_a_host_writes_every_register_of_a_step(chip: Chip) -> None:
    """What can be written is a constant, an application's, a step's, or the host's own state."""
    own = {"command", "bank", "lfsr_lo", "lfsr_hi"}
    settings = set(StepSettings.__dataclass_fields__)
    writable = {r.name for r in REGISTERS if r.access == "rw"}
    assert writable == own | settings | set(APPLICATION.registers(chip))


def test_c_functions_start_a_step(tmp_path: Path, chip: Chip) -> None:
    program = """
    #include <stdio.h>
    #include "zerotrain.h"
    int main(void)
    {
        static uint32_t memory[64];
        uintptr_t base = (uintptr_t)memory;
        zerotrain_configure(base);
        zerotrain_configure_cge(base);
        zerotrain_configure_rge(base);
        zerotrain_start(base, ZEROTRAIN_COMMAND_RGE, 1);
        for (int k = 0; k < 64; k++) printf("%u ", (unsigned)memory[k]);
        return 0;
    }
    """
    found = _compile(tmp_path, chip, program, APPLICATION)
    settings = APPLICATION.steps["rge"]
    expected = APPLICATION.registers(chip) | {
        name: int(getattr(settings, name)) for name in StepSettings.__dataclass_fields__
    }
    expected |= {"command": int(Command.RGE), "bank": 1}
    assert {r.name: found[r.address // 4] for r in REGISTERS} == {
        r.name: expected.get(r.name, 0) for r in REGISTERS
    }


def test_text_depends_on_the_chip_alone() -> None:
    for function in (csr_csv, csr_json, c_header):
        assert function(CHIPS[0]) == function(Chip(lanes=8))
        assert function(CHIPS[0]) != function(CHIPS[1])
        assert str(Path.cwd()) not in function(CHIPS[0])


def _compile(
    tmp_path: Path, chip: Chip, program: str, application: Application | None = None
) -> list[int]:
    """Compile a program against the header with all warnings as errors, run it, read integers."""
    write_artefacts(chip, tmp_path, application)
    (tmp_path / "main.c").write_text(program)
    strict = ["-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic"]
    subprocess.run(["gcc", *strict, "main.c", "-o", "main"], cwd=tmp_path, check=True, timeout=60)
    run = subprocess.run(
        [tmp_path / "main"], check=True, timeout=10, capture_output=True, text=True
    )
    return [int(word) for word in run.stdout.split()]


def test_header_compiles_and_computes_window_addresses(tmp_path: Path, chip: Chip) -> None:
    program = """
    #include <stdio.h>
    #include "zerotrain.h"
    #include "zerotrain.h"
    int main(void)
    {
        static uint32_t memory[1024];
        uintptr_t base = (uintptr_t)memory;
        int before = zerotrain_present(base);
        zerotrain_write(base, ZEROTRAIN_REG_IDENTIFIER, ZEROTRAIN_IDENTIFIER);
        zerotrain_write(base, ZEROTRAIN_REG_VERSION, ZEROTRAIN_VERSION);
        zerotrain_write(base, ZEROTRAIN_REG_CONFIG_HASH, ZEROTRAIN_CONFIG_HASH);
        printf("%d %d %u %u ", before, zerotrain_present(base),
               ZEROTRAIN_REG_MU, (unsigned)memory[0]);
        printf("%u %u ", ZEROTRAIN_PARAMETERS_BASE, ZEROTRAIN_PROGRAM_WORDS);
        printf("%u %u\\n", (unsigned)zerotrain_sample_offset(ZEROTRAIN_SAMPLE_BANKS - 1, 11, 2, 16),
               (unsigned)zerotrain_target_offset(ZEROTRAIN_SAMPLE_BANKS - 1, 11, 0, 1));
        return 0;
    }
    """
    found = windows(chip)
    # The rules of spec.registers.windows, for sample 11, last bank.
    bank = chip.sample_banks - 1
    lane, pass_ = 11 % chip.lanes, 11 // chip.lanes
    sample_bits = (chip.sample_depth - 1).bit_length()
    target_bits = (chip.target_depth - 1).bit_length()
    sample = (lane << sample_bits + bank) | (bank << sample_bits) | (pass_ * 16 + 2)
    row = pass_ * -(-chip.lanes // chip.loss_ways) + lane // chip.loss_ways
    target = ((lane % chip.loss_ways) << target_bits + bank) | (bank << target_bits) | row
    assert _compile(tmp_path, chip, program) == [
        0, 1, register("mu").address, IDENTIFIER,
        found["parameters"].base, found["program"].words,
        found["samples"].base + 4 * sample, found["targets"].base + 4 * target,
    ]  # fmt: skip


def test_files_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_artefacts(CHIPS[0], tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["csr.csv", "csr.json", "zerotrain.h"]
    before = written[0].read_text()

    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match=r"the file system of .* is full"):
        write_artefacts(CHIPS[1], written[0].parent)
    assert written[0].read_text() == before
    assert sorted(os.listdir(written[0].parent)) == ["csr.csv", "csr.json", "zerotrain.h"]
