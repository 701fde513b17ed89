"""Ports of synchronous memories, as the units that use a memory see them.

The memories themselves belong to the chip: several units share most of them, one at a time.
"""

from amaranth import Module, Mux, ShapeLike, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.spec.chip import Chip

__all__ = ["ReadPort", "SinglePortMemory", "WritePort", "address_bits", "read_latency"]


def address_bits(depth: int) -> int:
    """Address bits of a memory of ``depth`` words; at least one."""
    return max(1, (depth - 1).bit_length())


def read_latency(chip: Chip) -> int:
    """Cycles from an address to its word in the memories that units share: 3.

    The address is registered behind the choice among the units, the word inside the block RAM. On a
    compact chip neither is, and the latency is 1.
    """
    return 1 if chip.compact else 3


class ReadPort(wiring.Signature):
    """A port that reads every cycle.

    ``data`` is the word at the address of the cycle before (block RAM without output register), or,
    in memories that units share, of :func:`read_latency` cycles before.

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

    Members
    -------
    read : In(ReadPort)
    write : In(WritePort)
    """

    read: wiring.PureInterface
    write: wiring.PureInterface

    def __init__(self, width: int, depth: int) -> None:
        self._width, self._depth = width, depth
        bits = address_bits(depth)
        super().__init__({"read": In(ReadPort(bits, width)), "write": In(WritePort(bits, width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.spram = memory = Memory(
            shape=unsigned(self._width), depth=self._depth, init=[], attrs={"ram_style": "huge"}
        )
        read, write = memory.read_port(), memory.write_port()
        address = Signal(len(read.addr))
        m.d.comb += [
            address.eq(Mux(self.write.en, self.write.addr, self.read.addr)),
            read.addr.eq(address),
            read.en.eq(~self.write.en),
            write.addr.eq(address),
            write.en.eq(self.write.en),
            write.data.eq(self.write.data),
            self.read.data.eq(read.data),
        ]
        return m
