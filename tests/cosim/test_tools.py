"""The programs behind a simulation: what they are told, and what is said when one fails."""

import errno
import os
from pathlib import Path

import pytest

from zerotrain.cosim import runner
from zerotrain.cosim.tools import BuildError, environment, failure, tool_environment

Patch = pytest.MonkeyPatch


def test_variables_of_other_builds_are_dropped(monkeypatch: Patch) -> None:
    foreign = (
        "WAVES", "GUI", "VERILATOR_BIN", "VERILATOR_OPTIONS", "COCOTB_TEST_FILTER",
        "COCOTB_TEST_MODULES", "COCOTB_RANDOM_SEED", "GPI_EXTRA", "PYGPI_PYTHON_BIN",
        "AMARANTH_verbose", "YOWASP_MOUNT", "SIM_CMD_PREFIX", "SIM_CMD_SUFFIX", "MAKEFILES",
        "MAKELEVEL", "MFLAGS", "GNUMAKEFLAGS", "OBJCACHE", "VM_PARALLEL_BUILDS", "OPT", "OPT_FAST",
        "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDLIBS", "PERL5OPT", "DEPENDENCIES_OUTPUT",
    )  # fmt: skip
    kept = {"LANG": "C", "CXX": "clang++", "OPTIMISM": "1", "WAVES_OF": "1", "TMPDIR": "/a b"}
    for name in foreign:
        monkeypatch.setenv(name, "hostile")
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VERILATOR_ROOT", "hostile")
    monkeypatch.setenv("MAKEFLAGS", "-n")
    found = tool_environment()
    assert [name for name in foreign if name in found] == []
    assert [name for name, value in found.items() if value in ("hostile", "-n")] == []
    assert {name: found[name] for name in kept} == kept
    with environment():
        assert "WAVES" not in os.environ
    assert os.environ["WAVES"] == "hostile"


def test_where_yosys_keeps_its_code(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.delenv("YOWASP_CACHE_DIR", raising=False)
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "YOWASP_CACHE_DIR" not in tool_environment()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert tool_environment()["YOWASP_CACHE_DIR"] == str(tmp_path / "ours" / "yowasp")
    monkeypatch.setenv("YOWASP_CACHE_DIR", "elsewhere")
    assert tool_environment()["YOWASP_CACHE_DIR"] == "elsewhere"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hm\n%Error: no such signal\nmake: *** [all] Error 1\n", "%Error: no such signal"),
        ("error: here\ncc1plus: fatal: No space left on device\n",
         "cc1plus: fatal: No space left on device"),
        ("make: *** missing separator.  Stop.\n", "make: *** missing separator.  Stop."),
        ("", "no output"),
    ],
)  # fmt: skip
def test_a_failed_build_is_a_sentence(
    tmp_path: Path, monkeypatch: Patch, text: str, told: str
) -> None:
    monkeypatch.setenv("ZEROTRAIN_CACHE", str(tmp_path))
    log = tmp_path / "log"
    log.write_text(text)
    said = f"Verilator or the C++ compiler could not build the thing ({told}): "
    kept = tmp_path / "failed-k.log"
    assert failure("the thing", log, "k") == f"{said}see {kept}"
    assert kept.read_text() == text

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfile", full)
    assert failure("the thing", log, "k") == (
        f"{said}its log could not be kept, for the file system of {tmp_path} is full, or your "
        "share of it"
    )


def test_make_is_not_asked_to_build_beside_blanks(tmp_path: Path, monkeypatch: Patch) -> None:
    plain, blank = tmp_path / "plain", tmp_path / "a b"
    monkeypatch.setattr("tempfile.tempdir", str(plain))
    plain.mkdir()
    assert runner._plain(plain) == plain
    assert runner._plain(blank) == plain
    monkeypatch.setattr("tempfile.tempdir", str(blank))
    assert runner._plain(blank) == Path("/tmp")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(BuildError) as caught:
        runner._plain(blank)
    assert str(caught.value) == (
        f"GNU make cannot build in {blank}, because of the blank in its name: name a folder "
        "without blanks in the environment variable ZEROTRAIN_CACHE or TMPDIR"
    )
