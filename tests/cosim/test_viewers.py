"""What GTKWave and Surfer are told of a trace's signals."""

from pathlib import PurePosixPath

from zerotrain.cosim.probes import Probe
from zerotrain.cosim.viewers import viewer_files
from zerotrain.spec.formats import QFormat

SHOWN = (
    Probe("bus", "address", 32, "chip.a"),
    Probe("unit", "state", 2, "chip.b", words={0: "Idle", 1: "Merge Wait", 2: "Done"}),
    Probe("unit", "weight", 16, "chip.c", QFormat(16, 13)),
    Probe("unit", "sum", 40, "chip.d", signed=True),
    Probe("unit", "busy", 1, "chip.e"),
    Probe("saturation", "clamped", 1, "chip.f"),
)
FILES = viewer_files(SHOWN, "trace.vcd")


def test_the_files_name_no_folder() -> None:
    assert [str(name) for name in FILES] == [
        "trace.gtkw", "trace.sucl", "state.filter", ".surfer/mappings/state.txt"
    ]  # fmt: skip
    assert "/" not in FILES[PurePosixPath("trace.gtkw")] + FILES[PurePosixPath("trace.sucl")]


def test_gtkwave() -> None:
    """Flags in hexadecimal: 20 right-justified, 2 hexadecimal, 4 decimal, 8 binary, 400 signed,
    2000 a filter file, 40000000 a point, which ``[fpshift_count]`` places."""
    assert FILES[PurePosixPath("trace.gtkw")].splitlines() == [
        '[dumpfile] "trace.vcd"', "[size] 1600 900", "[signals_width] 320",
        "[treeopen] wrapper.signals.",
        "@800200", "-bus",
        "@22", "+{address} wrapper.signals.bus.address[31:0]",
        "@1000200", "-bus",
        "@800200", "-unit",
        "@2028", "^1 state.filter", "+{state} wrapper.signals.unit.state[1:0]",
        "[fpshift_count] 13",
        "@40000420", "+{weight Q2.13} wrapper.signals.unit.weight[2:-13]",
        "@420", "+{sum} wrapper.signals.unit.sum[39:0]",
        "@28", "+{busy} wrapper.signals.unit.busy",
        "@1000200", "-unit",
        "@c00200", "-saturation",
        "@28", "+{clamped} wrapper.signals.saturation.clamped",
        "@1401200", "-saturation",
    ]  # fmt: skip
    assert FILES[PurePosixPath("state.filter")] == "00 Idle\n01 Merge Wait\n10 Done\n"


def test_surfer() -> None:
    """Items are numbered from a; a divider is one."""
    signals = "wrapper.signals"
    assert FILES[PurePosixPath("trace.sucl")].splitlines() == [
        "load_file trace.vcd",
        "divider_add bus",
        f"variable_add {signals}.bus.address",
        f"item_focus b_{signals}.bus.address", "item_set_format Hexadecimal",
        "divider_add unit",
        f"variable_add {signals}.unit.state",
        f"item_focus d_{signals}.unit.state", "item_set_format state",
        f"variable_add {signals}.unit.weight",
        f"item_focus e_{signals}.unit.weight", "item_set_format Signed fixed point",
        f"variable_add {signals}.unit.sum",
        f"item_focus f_{signals}.unit.sum", "item_set_format Signed",
        f"variable_add {signals}.unit.busy",
        f"item_focus g_{signals}.unit.busy", "item_set_format Bit",
        "divider_add saturation",
        f"variable_add {signals}.saturation.clamped",
        f"item_focus i_{signals}.saturation.clamped", "item_set_format Bit",
        "item_unfocus",
        "zoom_fit",
    ]  # fmt: skip
    assert FILES[PurePosixPath(".surfer/mappings/state.txt")] == (
        "Name = state\nBits = 2\n0b00 Idle\n0b01 Merge Wait\n0b10 Done\n"
    )
    many = tuple(Probe("unit", f"bit_{k}", 1, "chip.a") for k in range(20))
    assert (
        "item_focus be_wrapper.signals.unit.bit_19"
        in viewer_files(many, "trace.vcd")[PurePosixPath("trace.sucl")]
    )
