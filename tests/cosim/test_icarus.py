"""The generated Verilog in Icarus: a whole step of each kind, against the golden model.

The golden chip runs the steps while every access of its driver is noted; a plain Verilog test
bench repeats the accesses, and must read the same words.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from zerotrain.compiler.planner import chip_for, plan
from zerotrain.cosim.build import to_verilog
from zerotrain.gateware.chip import TrainingChip
from zerotrain.golden.chip import GoldenChip
from zerotrain.host.driver import Driver
from zerotrain.spec.network import Activation, Layer, Network, dense
from zerotrain.spec.registers import Baseline, Command, UpdateRule, register
from zerotrain.spec.step import StepSettings

from ..golden import draw

NETWORK = Network((Layer((2, 3), (2, 2), (2,), True, Activation.RELU), dense(4, 3)), name="icarus")
PLAN = plan(NETWORK, chip_for(NETWORK, lanes=2, batch=3, queries=2), batch=3)
#: What the golden chip, which knows no time, reads as zero.
COUNTERS = [register(n).address for n in ("cycles_lo", "cycles_hi", "beats_lo", "loss_stalls")]
WRITE, READ, WAIT = range(3)
SECONDS = 60

BENCH = """
`timescale 1ns / 1ns
module bench;
  reg clk = 0, rst = 1, cyc = 0, we = 0;
  reg [29:0] adr = 0;
  reg [31:0] dat_w = 0;
  wire [31:0] dat_r;
  wire ack;
  top chip(
    .clk(clk), .rst(rst), .bus__adr(adr), .bus__dat_w(dat_w), .bus__dat_r(dat_r),
    .bus__sel(4'hf), .bus__cyc(cyc), .bus__stb(cyc), .bus__we(we), .bus__ack(ack)
  );
  always #5 clk = ~clk;

  reg [65:0] accesses [0:ACCESSES - 1];  // kind, byte address, word or mask
  reg [1:0] kind;
  reg [31:0] address, word;
  integer k = 0;

  // One access: its inputs change at falling edges, and its word is there in the cycle of ack.
  task access;
    begin
      adr = address[31:2];
      dat_w = word;
      we = kind == WRITE;
      cyc = 1;
      @(negedge clk);
      while (ack !== 1) @(negedge clk);
      if (kind == READ) $display("%h", dat_r);
    end
  endtask

  initial begin
    $readmemh("accesses.hex", accesses);
    repeat (2) @(negedge clk);
    rst = 0;
    for (k = 0; k < ACCESSES; k = k + 1) begin
      {kind, address, word} = accesses[k];
      access;
      while (kind == WAIT && (dat_r & word) !== word) begin
        cyc = 0;
        @(negedge clk);
        access;
      end
      cyc = 0;
      @(negedge clk);
    end
    $finish;
  end

  initial begin
    #500000 $display("access %0d of ACCESSES was not answered in time", k);
    $finish;
  end
endmodule
"""


class Notes:
    """The golden chip as a bus, with notes of all accesses and of what was read."""

    def __init__(self) -> None:
        self.golden = GoldenChip(PLAN.chip, NETWORK, PLAN.groups)
        self.accesses: list[tuple[int, int, int]] = []
        self.read_words: list[int] = []

    def read(self, address: int, count: int = 1) -> NDArray[np.uint32]:
        words = self.golden.read(address, count)
        self.accesses += [(READ, address + 4 * k, 0) for k in range(count)]
        self.read_words += words.tolist()
        return words

    def write(self, address: int, words: Sequence[int] | NDArray[np.integer]) -> None:
        self.golden.write(address, words)
        for k, word in enumerate(words):
            self.accesses.append((WRITE, address + 4 * k, int(word) & 0xFFFFFFFF))

    def wait(self, address: int, mask: int, value: int, timeout: float) -> None:
        self.golden.wait(address, mask, value, timeout)
        self.accesses.append((WAIT, address, value))

    def close(self) -> None:
        self.golden.close()


def steps() -> Notes:
    """An evaluate, an RGE and a CGE step of three samples, and all that they leave behind."""
    notes, rng = Notes(), np.random.default_rng(3)
    driver = Driver.loaded(notes, PLAN.chip, NETWORK, PLAN.program)
    driver.parameters = rng.integers(-(1 << 13), 1 << 13, NETWORK.n_parameters)
    driver.momentum = np.zeros(NETWORK.n_parameters, np.int64)
    driver.lfsr_state = 0x123456789ABC
    x, labels = draw.batch(rng, NETWORK, PLAN.chip.formats, 3)
    driver.load_batch(x, labels, 1)
    settings = StepSettings(
        2, Baseline.MEAN, UpdateRule.LINEAR, 99, gradient_shift=2, decay=14, step_mantissa=3,
        step_shift=9,
    )  # fmt: skip
    for command in (Command.EVALUATE, Command.RGE, Command.CGE):
        before = driver.parameters
        driver.step(command, settings, bank=1)
        assert (before == driver.parameters).all() == (command == Command.EVALUATE)
        assert driver.momentum.size and driver.lfsr_state
    return notes


@pytest.fixture(scope="module")
def verilog() -> str:
    return to_verilog(TrainingChip(PLAN.chip))


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus (iverilog) is not installed")
@pytest.mark.parametrize("generation", ["2005", "2012"])
def test_steps(generation: str, verilog: str, tmp_path: Path) -> None:
    notes = steps()
    bench = BENCH.replace("ACCESSES", str(len(notes.accesses)))
    for name, value in (("WRITE", WRITE), ("READ", READ), ("WAIT", WAIT)):
        bench = bench.replace(name, str(value))
    (tmp_path / "bench.v").write_text(bench)
    (tmp_path / "top.v").write_text(verilog)
    lines = (f"{kind << 64 | address << 32 | word:x}\n" for kind, address, word in notes.accesses)
    (tmp_path / "accesses.hex").write_text("".join(lines))
    compile_it = ["iverilog", f"-g{generation}", "-s", "bench", "-o", "bench", "bench.v", "top.v"]
    for command in (compile_it, ["vvp", "-N", "bench"]):
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    where = [address for kind, address, _ in notes.accesses if kind == READ]
    got = list(zip(where, done.stdout.split(), strict=True))
    expected = [(a, f"{word:08x}") for a, word in zip(where, notes.read_words, strict=True)]
    assert [g for g in got if g[0] not in COUNTERS] == [e for e in expected if e[0] not in COUNTERS]
    cycles = [int(word, 16) for address, word in got if address == register("cycles_lo").address]
    assert len(cycles) == 3 and min(cycles) > 100
