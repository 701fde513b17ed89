"""The logits of the lanes of one way of the loss unit."""

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import selected, selection_levels
from zerotrain.spec.chip import Chip

__all__ = ["LogitBuffer"]


class LogitBuffer(wiring.Component):
    """Holds two evaluations of some lanes, and selects the word of one of them per cycle.

    It lies beside its lanes. What all buffers are told goes through registers of its own, marked
    ``keep`` (see :class:`~zerotrain.gateware.engine.lane_group.LaneGroup`).

    Latency, from ``place`` and ``lane``: ``word`` after ``latency`` cycles. No word may be read
    in the cycle in which it is written.

    Parameters
    ----------
    chip : Chip
    lanes : int
        Lanes of this way.

    Members
    -------
    en, target : In
        Write the outputs ``data`` of all lanes, one cycle later, to row ``target``.
    data : In(lanes * logit.width)
        The lowest lane in the lowest bits.
    place, lane : In
        Row and lane to read.
    touched : In(1)
        One cycle after ``place``: the row counts; otherwise the word is zero.
    word : Out(signed(logit.width))
    """

    en: Signal
    target: Signal
    data: Signal
    place: Signal
    lane: Signal
    touched: Signal
    word: Signal

    def __init__(self, chip: Chip, lanes: int) -> None:
        self._lanes, self._depth = lanes, 2 * chip.output_depth
        self._width = chip.formats.logit.width
        self.latency = 2 + selection_levels(lanes)
        super().__init__(
            {
                "en": In(1),
                "target": In(range(self._depth)),
                "data": In(lanes * self._width),
                "place": In(range(self._depth)),
                "lane": In(range(lanes)),
                "touched": In(1),
                "word": Out(signed(self._width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        def own(value: Value, name: str) -> Signal:
            register = Signal.like(value, name=f"own_{name}", reset_less=True, attrs={"keep": 1})
            m.d.sync += register.eq(value)
            return register

        m.submodules.rows = rows = Memory(
            shape=unsigned(self._lanes * self._width), depth=self._depth, init=[]
        )
        # Stage 1: the registers. Stage 2: the row.
        read, write = rows.read_port(), rows.write_port()
        m.d.comb += [
            write.en.eq(own(self.en, "en")),
            write.addr.eq(own(self.target, "target")),
            write.data.eq(self.data),
            read.addr.eq(own(self.place, "place")),
        ]
        # Stages 3 and up: one multiplexer after the other.
        words = [read.data.word_select(k, self._width) for k in range(self._lanes)]
        lane, untouched = own(own(self.lane, "lane_1"), "lane_2"), own(~self.touched, "untouched")
        word = selected(m, words, lane, "word", clear=untouched)
        m.d.comb += self.word.eq(word.as_signed())
        return m
