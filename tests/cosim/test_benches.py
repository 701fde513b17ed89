"""Builds the designs and runs the cocotb benches on them."""

from pathlib import Path

from zerotrain.cosim.build import to_verilog
from zerotrain.cosim.runner import run_bench
from zerotrain.gateware.chip import TrainingChip

from .designs import CHIP, Units

ROOT = Path(__file__).resolve().parents[2]


def test_units() -> None:
    """LFSR and perturbation, engine, loss unit, update unit."""
    run_bench(to_verilog(Units()), "tests.cosim.bench_units", root=ROOT, tests=4)


def test_chip() -> None:
    """Bus, and whole evaluate, RGE and CGE steps driven by the host's driver."""
    run_bench(to_verilog(TrainingChip(CHIP)), "tests.cosim.bench_chip", root=ROOT, tests=3)
