"""The counters of a loop, and the offsets of addresses that move with them."""

from amaranth import Module, Signal, Value

from zerotrain.gateware.arithmetic import pipe
from zerotrain.spec.program import MAX_LOOPS, loop_offsets

__all__ = ["Loops"]


class Loops:
    """A loop over whole contractions, built into a module: the lowest counter that is not zero
    advances, those below it start again, and the offsets move.

    Attributes
    ----------
    body : Signal
        Row of the first contraction.
    advanced : range(MAX_LOOPS)
        The counter that led to this trip; in the first trip, everything runs.
    level : range(counters + 1)
        The one that advances next, as of a cycle ago; ``counters``: none. A contraction lasts
        longer than that.
    offset : dict of int to Signal
        By number.
    """

    def __init__(self, m: Module, row_addr: Signal, *, counters: int, count_bits: int) -> None:
        self.counters = counters
        self._count, self._reload = (
            [Signal(count_bits, name=f"loop_{name}_{k}") for k in range(counters)]
            for name in ("count", "reload")
        )
        self._rows = Signal.like(row_addr, name="loop_rows")
        self.body = Signal.like(row_addr, name="loop_body")
        self._everything = min(counters, MAX_LOOPS - 1)
        self.advanced = Signal(
            range(self._everything + 1), init=self._everything, name="loop_advanced"
        )
        self.level = Signal(range(counters + 1), init=counters, name="loop_level")
        m.d.sync += self.level.eq(counters)
        for k in reversed(range(counters)):
            with m.If(self._count[k] != 0):
                m.d.sync += self.level.eq(k)
        self._step, self._clear = Signal(name="loop_step"), Signal(name="offset_clear")

    def offsets(self, m: Module, row: Value, *, bits: int, row_latency: int) -> dict[int, Signal]:
        """The offsets: each moves by its field of the row that :meth:`step` addresses."""
        found = {
            k: Signal(bits, name=f"offset_{k}", reset_less=True)
            for k in loop_offsets(self.counters)
        }
        add = pipe(m, self._step, row_latency, "offset_add")
        for k, moved in found.items():
            with m.If(self._clear):
                m.d.sync += moved.eq(0)
            with m.Elif(add):
                m.d.sync += moved.eq(moved + row[k][:bits])
        return found

    def found(self, m: Module, row: Value) -> None:
        """A loop's control word is at ``row``."""
        m.d.sync += self._rows.eq(row)
        m.d.sync += self.body.eq(row + MAX_LOOPS)

    def load(self, m: Module, words: Value) -> None:
        """Begin: set the counters, clear the offsets."""
        m.d.comb += self._clear.eq(1)
        m.d.sync += [self._reload[k].eq(words[k]) for k in range(self.counters)]
        m.d.sync += [self._count[k].eq(words[k]) for k in range(self.counters)]
        m.d.sync += self.advanced.eq(self._everything)

    def step(self, m: Module, row_addr: Signal) -> None:
        """Go on by one: address the row of what is added to the offsets."""
        m.d.comb += self._step.eq(1)
        m.d.sync += [self.advanced.eq(self.level), row_addr.eq(self._rows + self.level)]
        for k in range(self.counters):
            with m.If(self.level == k):
                m.d.sync += self._count[k].eq(self._count[k] - 1)
            with m.Elif(self.level > k):
                m.d.sync += self._count[k].eq(self._reload[k])
