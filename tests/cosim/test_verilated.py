"""The simulation harness in process, on a toy target: words, deadlines, failures."""

from pathlib import Path

import numpy as np
import pytest

from zerotrain.cosim.build import build_library, to_verilog
from zerotrain.cosim.chip import POLL_CYCLES, SLICE_CYCLES, SimulationError, VerilatedBus
from zerotrain.spec.bus import Bus, NotYet

from .toy import CYCLES, DEAF, DEPTH, SLOW, TRAP, Toy


@pytest.fixture(scope="module")
def library() -> Path:
    return build_library(to_verilog(Toy()))


def test_it_is_a_bus(library: Path) -> None:
    assert isinstance(VerilatedBus(library), Bus)


def test_words_arrive_in_order(library: Path) -> None:
    bus = VerilatedBus(library)
    words = np.random.default_rng(1).integers(0, 1 << 32, DEPTH, np.uint32)
    bus.write(0, words)
    assert np.array_equal(bus.read(0, DEPTH), words)
    bus.write(8, [-1, 1 << 32 | 5])
    assert bus.read(4, 4).tolist() == [words[1], 0xFFFFFFFF, 5, words[4]]
    # Any integer array, strided ones too.
    bus.write(0, np.arange(-20, 20, dtype=np.int64)[::5])
    assert bus.read(0, 8).view(np.int32).tolist() == [-20, -15, -10, -5, 0, 5, 10, 15]


def test_time_passes_only_in_accesses(library: Path) -> None:
    bus = VerilatedBus(library)
    begin = bus.cycles
    assert bus.read(CYCLES, 4).tolist() == [begin + 1 + 3 * k for k in range(4)]
    assert bus.cycles == begin + 12
    bus.run(2 * SLICE_CYCLES + 3)
    assert bus.cycles == begin + 12 + 2 * SLICE_CYCLES + 3
    assert bus.cycles_per_cpu_second > 0


def test_two_chips_do_not_share_anything(library: Path) -> None:
    one, other = VerilatedBus(library), VerilatedBus(library)
    one.write(0, [1])
    other.write(0, [2])
    one.run(100)
    assert (one.read(0)[0], other.read(0)[0]) == (1, 2)
    assert one.cycles == other.cycles + 100


def test_wait(library: Path) -> None:
    bus = VerilatedBus(library)
    bus.wait(CYCLES, 1 << 16, 1 << 16, 60)
    assert 1 << 16 <= bus.cycles < (1 << 16) + 2 * POLL_CYCLES
    # Longer than a slice between two looks at the wall clock.
    bus.wait(CYCLES, 1 << 20, 1 << 20, 60)
    assert 1 << 20 <= bus.cycles < (1 << 20) + 2 * POLL_CYCLES
    assert bus.read(SLOW)[0] == 1  # a slow answer is no hang


def test_wait_gives_up(library: Path) -> None:
    bus = VerilatedBus(library)
    message = (
        r"^the word at 0x0 of the simulated chip is 0x0 after [\d,]+ cycles, expected 0x7 under "
        r"mask 0xff$"
    )
    with pytest.raises(NotYet, match=message):
        bus.wait(0, 0xFF, 7, 0.05)
    begin = bus.cycles
    with pytest.raises(TimeoutError, match="chip is 0x0 after"):
        bus.wait(0, 1, 2, 60)  # can never come true
    assert bus.cycles - begin < 100
    hasty = VerilatedBus(library, max_wait_cycles=SLICE_CYCLES + 1000)
    with pytest.raises(TimeoutError):
        hasty.wait(0, 1, 1, 60)
    assert 0 <= hasty.cycles - SLICE_CYCLES - 1000 < 2 * POLL_CYCLES


def test_a_hanging_bus_is_noticed(library: Path) -> None:
    bus = VerilatedBus(library)
    message = (
        "The simulated chip has not acknowledged the {} of address {} within 1000 cycles: its bus "
        "hangs"
    )
    with pytest.raises(TimeoutError) as caught:
        bus.read(DEAF - 8, 4)
    assert str(caught.value) == message.format("read", hex(DEAF))
    with pytest.raises(TimeoutError) as caught:
        bus.write(DEAF, [1])
    assert str(caught.value) == message.format("write", hex(DEAF))
    with pytest.raises(TimeoutError):
        bus.wait(DEAF, 1, 1, 60)
    bus.write(0, [3])
    assert bus.read(0)[0] == 3


def test_a_failing_assertion_is_an_error(library: Path) -> None:
    bus = VerilatedBus(library)
    assert bus.read(TRAP)[0] == 0
    with pytest.raises(SimulationError, match=r"^The simulated chip stopped: .*assert.* top\.v:"):
        bus.write(TRAP, [1])


def test_misuse(library: Path) -> None:
    bus = VerilatedBus(library)
    for address, count in ((2, 1), (-4, 1), (1 << 32, 1), ((1 << 32) - 4, 2)):
        with pytest.raises(ValueError, match="Addresses are multiples of 4"):
            bus.read(address, count)
    bus.close()
    bus.close()
    with pytest.raises(ValueError, match="^This simulated chip is closed: open a new one$"):
        bus.read(0)
