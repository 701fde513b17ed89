"""Slowest paths of nextpnr's reports, in the gateware's names."""

from typing import Any

import pytest

from zerotrain.boards.timing_path import TimingPath, register_name, slowest_path


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("dut.engine.group_0.lane_3.acc_TRELLIS_FF_Q_12", "engine.group_0.lane_3.acc"),
        ("dut.engine.group_0.scratch_memory.0.13", "engine.group_0.scratch_memory"),
        ("dut.update.index_SB_DFFSR_Q_D_SB_LUT4_O_I1_SB_CARRY_CO", "update.index"),
        ("loss.sum_CCU2C_S0_COUT_CCU2C_CIN$nextpnr_1", "loss.sum"),
        ("captured_TRELLIS_FF_Q", "captured"),
    ],
)
def test_cells_have_the_names_of_signals(cell: str, name: str) -> None:
    assert register_name(cell) == name


def step(kind: str, delay: float, start: str, end: str) -> dict[str, Any]:
    return {"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}


def test_the_longest_path_within_a_clock_counts() -> None:
    a, b, c = "dut.a_TRELLIS_FF_Q", "dut.b_LUT4_Z_1", "dut.c_TRELLIS_FF_Q_3"
    long = [
        step("clk-to-q", 0.5, a, a), step("routing", 1.25, a, b), step("logic", 0.25, b, b),
        step("routing", 1.5, b, c), step("setup", 0.0, c, c),
    ]  # fmt: skip
    short = [step("clk-to-q", 0.5, c, c), step("routing", 0.5, c, a)]
    outside = [step("source", 0.0, a, a), step("routing", 9.0, a, c)]
    report = {
        "critical_paths": [
            {"from": "posedge clk", "to": "posedge clk", "path": short},
            {"from": "<async>", "to": "posedge clk", "path": outside},
            {"from": "posedge clk", "to": "posedge clk", "path": long},
        ]
    }
    found = slowest_path(report)
    assert found == TimingPath("a", "c", ("b",), delay_ns=3.5, wires_ns=2.75, levels=1)
    assert str(found) == ("a -> c by way of b: 3.5 ns, of which 2.8 ns wires, logic levels 1")
    assert slowest_path({"critical_paths": []}) is None
