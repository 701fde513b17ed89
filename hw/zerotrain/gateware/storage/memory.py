"""Ports of synchronous memories, as the units that use a memory see them.

The memories themselves belong to the chip: several units share most of them, one at a time.
"""

from amaranth import Module, Mux, ShapeLike, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.spec.batch import address_bits

__all__ = [
    "ReadPort", "SinglePortMemory", "WritePort", "add_memory", "address_bits",
]  # fmt: skip


class ReadPort(wiring.Signature):
    """A port that reads every cycle.

    ``data`` is the word at the address of the cycle before (block RAM without output register), or,
    in memories that units share, of ``chip.timing.read_latency`` cycles before.

    Parameters
    ----------
    addr_bits : int
        Address width.
    shape : ShapeLike
        Shape of a word.

    Members
    -------
    addr : Out(unsigned(addr_bits))
    data : In(shape)
    """

    def __init__(self, addr_bits: int, shape: ShapeLike) -> None:
        super().__init__({"addr": Out(unsigned(addr_bits)), "data": In(shape)})


class WritePort(wiring.Signature):
    """A port that writes ``data`` to ``addr`` at the end of every cycle with ``en``.

    Parameters
    ----------
    addr_bits : int
        Address width.
    shape : ShapeLike
        Shape of a word.

    Members
    -------
    en : Out(1)
    addr : Out(unsigned(addr_bits))
    data : Out(shape)
    """

    def __init__(self, addr_bits: int, shape: ShapeLike) -> None:
        super().__init__({"en": Out(1), "addr": Out(unsigned(addr_bits)), "data": Out(shape)})


class SinglePortMemory(wiring.Component):
    """A memory that reads or writes in a cycle: SPRAM of the iCE40UP5K.

    Latency: a word is read one cycle after its address; in a cycle with a write, nothing is read.
    Words are undefined until they are written: SPRAM cannot be initialised. Synthesis finds it by
    its attribute, and by the name ``spram`` which initial contents to leave out.


    Parameters
    ----------
    width, depth : int
        Bits of a word, and words.
    columns : int
        The lowest bits of a word, which are in SPRAM; others are in block RAM.

    Members
    -------
    read : In(ReadPort)
    write : In(WritePort)
    """

    read: wiring.PureInterface
    write: wiring.PureInterface

    def __init__(self, width: int, depth: int, columns: int) -> None:
        self._width, self._depth, self._columns = width, depth, columns
        bits = address_bits(depth)
        super().__init__({"read": In(ReadPort(bits, width)), "write": In(WritePort(bits, width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address = Signal(len(self.read.addr))
        m.d.comb += address.eq(Mux(self.write.en, self.write.addr, self.read.addr))
        parts = [("spram", slice(0, self._columns), {"ram_style": "huge"})]
        if self._columns < self._width:
            parts.append(("rest", slice(self._columns, self._width), {}))
        for name, columns, attrs in parts:
            data = self.write.data[columns]
            m.submodules[name] = memory = Memory(
                shape=unsigned(len(data)), depth=self._depth, init=[], attrs=attrs
            )
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(address),
                read.en.eq(~self.write.en),
                write.addr.eq(address),
                write.en.eq(self.write.en),
                write.data.eq(data),
                self.read.data[columns].eq(read.data),
            ]
        return m


def add_memory(
    m: Module, name: str, width: int, depth: int, columns: int = 0
) -> tuple[wiring.PureInterface, wiring.PureInterface]:
    """Add a memory with one write and one read port, which the function returns.

    The lowest ``columns`` bits of its words are in SPRAM: it then reads or writes in a cycle.
    """
    if columns:
        m.submodules[name] = single = SinglePortMemory(width, depth, columns)
        return single.write, single.read
    m.submodules[name] = memory = Memory(shape=width, depth=depth, init=[])
    return memory.write_port(), memory.read_port()
