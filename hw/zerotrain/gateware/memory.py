"""Ports of synchronous memories, as the units that use a memory see them.

The memories themselves belong to the chip: several units share most of them, one at a time.
"""

from amaranth import ShapeLike, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ReadPort", "WritePort", "address_bits"]


def address_bits(depth: int) -> int:
    """Address bits of a memory of ``depth`` words; at least one."""
    return max(1, (depth - 1).bit_length())


class ReadPort(wiring.Signature):
    """A port that reads every cycle.

    ``data`` is the word at the address of the cycle before (block RAM without output register).

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
