"""The counters of a contraction."""

from amaranth import Module, Signal, Value

from zerotrain.spec.program import MAX_LEVELS

__all__ = ["Odometer"]


class Odometer:
    """The levels of a contraction, built into a module.

    The lowest counter that is not zero advances, those below it start again. Whether a counter is
    zero is known beforehand.

    Attributes
    ----------
    zero : MAX_LEVELS
        Which counters are zero.
    level : range(MAX_LEVELS + 1)
        The one that advances next; ``MAX_LEVELS``: none.
    finished : 1
        All are zero.
    """

    def __init__(self, m: Module, count_bits: int) -> None:
        self._count, self._reload = (
            [Signal(count_bits, name=f"{name}_{k}", reset_less=True) for k in range(MAX_LEVELS)]
            for name in ("count", "reload")
        )
        self.zero = Signal(MAX_LEVELS, reset_less=True, name="zero")
        self._reload_zero = Signal(MAX_LEVELS, reset_less=True, name="reload_zero")
        self.level = Signal(range(MAX_LEVELS + 1), name="level")
        self.finished = Signal(name="finished")
        m.d.comb += [self.level.eq(MAX_LEVELS), self.finished.eq(self.zero.all())]
        for k in reversed(range(MAX_LEVELS)):
            with m.If(~self.zero[k]):
                m.d.comb += self.level.eq(k)

    def advance(self, m: Module) -> None:
        """Go on by one."""
        count, zero = self._count, self.zero
        for k in range(MAX_LEVELS):
            with m.If(zero[: k + 1].all()):
                m.d.sync += [count[k].eq(self._reload[k]), zero[k].eq(self._reload_zero[k])]
            with m.Elif(zero[:k].all()):
                m.d.sync += [count[k].eq(count[k] - 1), zero[k].eq(count[k] == 1)]

    def load(self, m: Module, k: int, word: Value) -> None:
        """Set a counter that counts ``word + 1``."""
        m.d.sync += [self._count[k].eq(word), self.zero[k].eq(word == 0)]
        m.d.sync += [self._reload[k].eq(word), self._reload_zero[k].eq(word == 0)]
