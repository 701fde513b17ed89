"""The chip's bus: 32-bit Wishbone B4, classic cycles, with amaranth-soc's member names."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ADDRESS_WIDTH", "WishboneSignature"]

#: Bits of a word address: 4 GiB of bytes in 32-bit words.
ADDRESS_WIDTH = 30


class WishboneSignature(wiring.Signature):
    """A 32-bit Wishbone bus seen from its initiator; a target declares it with ``In``.

    An access lasts from the first cycle with ``cyc & stb`` to the cycle with ``ack``. The initiator
    holds everything still until then.

    Members
    -------
    adr : Out(30)
        Word address, i.e. byte address / 4.
    dat_w : Out(32)
        Data of a write.
    dat_r : In(32)
        Data of a read, valid with ``ack``.
    sel : Out(4)
        Byte lanes.
    cyc, stb : Out(1)
        An access is under way.
    we : Out(1)
        The access is a write.
    ack : In(1)
        The access ends in this cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "adr": Out(ADDRESS_WIDTH),
                "dat_w": Out(32),
                "dat_r": In(32),
                "sel": Out(4),
                "cyc": Out(1),
                "stb": Out(1),
                "we": Out(1),
                "ack": In(1),
            }
        )
