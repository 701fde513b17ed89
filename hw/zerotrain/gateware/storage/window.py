"""A memory window, as the register bank shows it to the memories."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.registers import Window

__all__ = ["WindowPort"]


class WindowPort(wiring.Signature):
    """A memory window, seen from the register bank.

    Parameters
    ----------
    window : Window
        Its place on the bus; the address counts its words from 0.

    Members
    -------
    addr : Out(range(window.words))
        Word of the window. From a register; still from the cycle before ``w_en`` or ``r_en``, of a
        write to that with ``w_en``, of a read until the access ends.
    writing : Out(1)
        The access under way is a write. From a register.
    granted : In(1)
        Whether the host may make this access (combinational from ``addr`` and ``writing``). Where
        it may not, neither enable rises, the access reads 0, and BUSY_ACCESS is set.
    w_en : Out(1)
        Write ``w_data``. From a register.
    w_data : Out(window.width)
        From a register.
    r_en : Out(1)
        The word at ``addr`` is to be in ``r_data`` ``READ_LATENCY`` cycles later
        (:mod:`zerotrain.gateware.registers`). From a register.
    r_data : In(window.width)
        The bank extends it to the bus, by its sign if the window is signed.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(
            {
                "addr": Out(address_bits(window.words)),
                "writing": Out(1),
                "granted": In(1),
                "w_en": Out(1),
                "w_data": Out(window.width),
                "r_en": Out(1),
                "r_data": In(window.width),
            }
        )
