"""A memory beside the lanes: a row holds a word of each of them."""

from amaranth import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.memories import PART_LANES

__all__ = ["LaneMemory"]


class LaneMemory(wiring.Component):
    """Words of the lanes of a group, one read and one write per cycle.

    The blocks lie all over the group. So that no address has far to go, parts of nine lanes have
    registers of their own for what they are told, marked ``keep`` (see
    :class:`~zerotrain.gateware.engine.lane_group.LaneGroup`), and words are registered: block RAM
    is slow to answer. Words that are written ``apart`` are one part: nine of them would not fill
    blocks.

    Latency, from ``row`` to ``words``: 3 cycles. A row that is given one cycle after ``write`` and
    ``write_row`` is answered with the written words; no word may be read in the cycle in which it
    is written.

    Parameters
    ----------
    lanes, width, depth : int
        Words of a row, bits of a word, rows.
    apart : bool
        Words of a row are written apart from one another.

    Members
    -------
    row : In
    words : Out(ArrayLayout(width, lanes))
    write : In(1), or In(lanes)
        Write ``data`` to row ``write_row``; with ``apart``, the words of these lanes.
    write_row : In
    data : In(ArrayLayout(width, lanes))
        One cycle after ``write``.
    """

    row: Signal
    words: Signal
    write: Signal
    write_row: Signal
    data: Signal

    def __init__(self, *, lanes: int, width: int, depth: int, apart: bool) -> None:
        self._lanes, self._width, self._depth = lanes, width, depth
        self._apart = apart
        words = data.ArrayLayout(unsigned(width), lanes)
        super().__init__(
            {
                "row": In(address_bits(depth)),
                "words": Out(words),
                "write": In(lanes if apart else 1),
                "write_row": In(address_bits(depth)),
                "data": In(words),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        part = self._lanes if self._apart else PART_LANES
        words: list[Value] = []
        for first in range(0, self._lanes, part):
            words.append(self._part(m, first, min(first + part, self._lanes)))
        m.d.comb += self.words.eq(Cat(words))
        return m

    def _part(self, m: Module, first: int, end: int) -> Value:
        """The words of the lanes from ``first`` to before ``end``."""

        def own(value: Value, name: str) -> Value:
            return pipe(m, value, 1, f"{name}_{first}", reset_less=True, attrs={"keep": 1})

        memory = Memory(shape=(end - first) * self._width, depth=self._depth, init=[])
        m.submodules[f"part_{first}"] = memory
        write = memory.write_port(granularity=self._width if self._apart else None)
        m.d.comb += [
            write.en.eq(own(self.write, "write")),
            write.addr.eq(own(self.write_row, "write_row")),
            write.data.eq(self.data.as_value()[first * self._width : end * self._width]),
        ]
        read = memory.read_port()
        m.d.comb += read.addr.eq(own(self.row, "row"))
        return pipe(m, read.data, 1, f"words_{first}", reset_less=True)
