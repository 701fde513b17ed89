"""The cocotb runner, on the toy target: it must also see what goes wrong."""

from pathlib import Path

import pytest

from zerotrain.cosim.build import to_verilog
from zerotrain.cosim.runner import run_bench
from zerotrain.spec.files import cache_folder

from .toy import Toy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache in a folder with blanks, and what other runs of cocotb are told by variables."""
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(cache_folder() / "with blanks"))
    for name in ("WAVES", "GUI", "VERILATOR_BIN", "COCOTB_TEST_FILTER", "COCOTB_TEST_MODULES"):
        monkeypatch.setenv(name, "1")


def test_bus() -> None:
    run_bench(to_verilog(Toy()), "tests.cosim.bench_toy", root=ROOT, tests=2)


def test_a_missing_test_is_noticed() -> None:
    with pytest.raises(AssertionError, match="0 of 2 tests failed, 3 were expected to run"):
        run_bench(to_verilog(Toy()), "tests.cosim.bench_toy", root=ROOT, tests=3)


def test_a_failing_test_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "bench_bad.py").write_text(
        "import cocotb\n"
        "@cocotb.test(timeout_time=1, timeout_unit='us')\n"
        "async def fails(dut): assert 1 == 2, 'nonsense'\n"
        "@cocotb.test(timeout_time=1, timeout_unit='us')\n"
        "async def works(dut): pass\n"
    )
    with pytest.raises(AssertionError, match=r"(?s)1 of 2 tests failed, 2 were .* nonsense"):
        run_bench(to_verilog(Toy()), "bench_bad", root=tmp_path, tests=2)


def test_a_broken_module_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "bench_broken.py").write_text("import no_such_module\n")
    with pytest.raises(AssertionError, match="no_such_module"):
        run_bench(to_verilog(Toy()), "bench_broken", root=tmp_path, tests=1)
