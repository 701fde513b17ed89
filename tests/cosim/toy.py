"""A small bus target that behaves well or badly on request, to try the simulation harness on."""

from amaranth import Assert, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from zerotrain.gateware.wishbone import WishboneSignature

__all__ = ["CYCLES", "DEAF", "DEPTH", "SLOW", "TRAP", "Toy"]

#: Words of memory from address 0.
DEPTH = 256
#: Reads the low word of the cycle counter.
CYCLES = 0x1000
#: Never acknowledges.
DEAF = 0x2000
#: Acknowledges after 900 cycles; reads 1.
SLOW = 0x3000
#: A write fails an assertion.
TRAP = 0x4000


class Toy(wiring.Component):
    """See the constants above; everything but SLOW and DEAF takes three cycles."""

    def __init__(self) -> None:
        super().__init__({"bus": In(WishboneSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        m.submodules.memory = memory = Memory(shape=32, depth=DEPTH, init=[])
        r, w = memory.read_port(), memory.write_port()
        cycles, waited = Signal(32), Signal(10)
        request, page = Signal(), bus.adr >> 10
        m.d.comb += [
            request.eq(bus.cyc & bus.stb & ~bus.ack),
            r.addr.eq(bus.adr),
            w.addr.eq(bus.adr),
            w.data.eq(bus.dat_w),
            w.en.eq(request & bus.we & (page == 0)),
        ]
        m.d.sync += [cycles.eq(cycles + 1), bus.ack.eq(0), waited.eq(0)]
        with m.If(request & (page != DEAF >> 12)):
            m.d.sync += waited.eq(waited + 1)
            m.d.sync += bus.ack.eq(waited == 1)
            with m.If(page == SLOW >> 12):
                m.d.sync += bus.ack.eq(waited == 900)
            with m.Switch(page):
                with m.Case(CYCLES >> 12):
                    m.d.sync += bus.dat_r.eq(cycles)
                with m.Case(SLOW >> 12):
                    m.d.sync += bus.dat_r.eq(1)
                with m.Default():
                    m.d.sync += bus.dat_r.eq(r.data)
        m.d.sync += Assert(~(request & bus.we & (page == TRAP >> 12)))
        return m
