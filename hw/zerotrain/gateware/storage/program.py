"""The program memory: two bus words to a row."""

from collections.abc import Sequence

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import ReadPort, address_bits
from zerotrain.gateware.storage.window import WindowPort
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import windows

__all__ = ["ProgramMemory"]


class ProgramMemory(wiring.Component):
    """Rows of the program, for one sequencer or two.

    Latency: a row is there ``1 + chip.timing.crossing`` cycles after its address: a register
    alone behind the memory brings it to the sequencer.

    Parameters
    ----------
    chip : Chip
    rows : sequence of int
        Initial contents.

    Members
    -------
    idle : In(1)
        The host has the port of the first sequencer.
    host : In(WindowPort)
        Halves of rows.
    read : In(ReadPort).array(chip.weight_banks)
    """

    idle: Signal
    host: wiring.PureInterface
    read: list[wiring.PureInterface]

    def __init__(self, chip: Chip, rows: Sequence[int]) -> None:
        self._chip, self._rows = chip, rows
        port = ReadPort(address_bits(chip.program_depth), 64)
        super().__init__(
            {
                "idle": In(1),
                "host": In(WindowPort(windows(chip)["program"])),
                "read": In(port).array(chip.weight_banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host, steps = self.host, self._chip.timing.crossing
        m.submodules.rows = memory = Memory(
            shape=64, depth=self._chip.program_depth, init=self._rows
        )
        write = memory.write_port(granularity=32)
        ports = [memory.read_port() for _ in self.read]
        words = []
        for k, (user, port) in enumerate(zip(self.read, ports, strict=True)):
            words.append(pipe(m, port.data, steps, f"row_{k}", reset_less=True))
            m.d.comb += [port.addr.eq(user.addr), user.data.eq(words[-1])]
        high = Signal(reset_less=True)
        m.d.sync += high.eq(host.addr[0])
        half = words[0].word_select(high, 32)
        m.d.comb += [
            ports[0].addr.eq(Mux(self.idle, host.addr >> 1, self.read[0].addr)),
            host.granted.eq(self.idle),
            host.r_data.eq(pipe(m, half, steps, "held", reset_less=True)),
            write.addr.eq(host.addr >> 1),
            write.data.eq(host.w_data.replicate(2)),
            write.en.eq(host.w_en << host.addr[0]),
        ]
        return m
