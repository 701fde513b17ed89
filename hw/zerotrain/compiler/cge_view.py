"""A layer as CGE sees it from one of its TT-cores (docs/numerics.md, section 4).

One description serves both halves of a layer. Seen from TT-core k, the *half* is the other half of
the layer, merged, which is applied to the input first. The TT-cores between the half and k follow
one by one, each a step from one partial to the next. Those beyond k, merged, turn the last partial
into the environment; if there are none, the last step's sum is the environment. Names of indices:

* ``i``, ``j``: k's own output and input mode;
* ``near``, ``far``: k's rank on the side of the half, and on the other;
* ``n``, ``m``, ``sum``: a step's input mode, output mode and the rank that it sums over;
* ``inner``: input modes between k and the step; ``outer``: those beyond k;
* ``done``: output modes of the steps before; ``beyond``: those of the TT-cores beyond k.

A TT-core is stored, and its entries are evaluated, in the order ``[j, near, far, i]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from zerotrain.compiler.lowering import Lowering
from zerotrain.compiler.merging import Key

__all__ = ["NOWHERE", "ROW", "Array", "View"]

#: Indices that a loop over the rows of a TT-core's environment holds, innermost first.
ROW = ("far", "near", "j")


@dataclass(frozen=True, slots=True)
class Array:
    """Where an array begins in its memory, and the stride of every index that it has."""

    address: int
    strides: dict[str, int]

    @classmethod
    def packed(
        cls, address: int, sizes: dict[str, int], names: Sequence[str], without: Sequence[str] = ()
    ) -> "Array":
        """In C order of ``names``, or the slice of that at one value of the indices ``without``."""
        strides, words = {}, 1
        for name in reversed([name for name in names if name not in without]):
            strides[name] = words
            words *= sizes[name]
        return cls(address, strides)


#: The address of a stream that nothing reads.
NOWHERE = Array(0, {})


class View:
    """A layer as seen from its TT-core k.

    Attributes
    ----------
    steps : list of tuple of int
        First and last + 1 TT-core of what is applied one after the other: the half, then the
        TT-cores between it and k.
    beyond : tuple of int
        The same of the TT-cores beyond k.
    """

    def __init__(self, lowering: Lowering, index: int, k: int) -> None:
        self.lowering, self.index, self.k = lowering, index, k
        self.layer = layer = lowering.network.layers[index]
        d, h = layer.n_tt_cores, layer.middle
        self.left = k < h
        between = range(h - 1, k, -1) if self.left else range(h, k)
        self.steps = [((h, d) if self.left else (0, h)), *((t, t + 1) for t in between)]
        self.beyond = (0, k) if self.left else (k + 1, d)
        a, m, n, b = layer.core_shapes[k]
        lo, hi = self.beyond
        self.core = {
            "i": m, "j": n, "near": b if self.left else a, "far": a if self.left else b,
            "outer": prod(layer.in_modes[lo:hi]), "beyond": prod(layer.out_modes[lo:hi]),
            "before": prod(layer.out_modes[:k]), "after": prod(layer.out_modes[k + 1 :]),
        }  # fmt: skip
        self.core["done"] = self.core["after" if self.left else "before"]

    @property
    def ends(self) -> bool:
        """No TT-core is beyond k: the last step makes the environment."""
        return self.beyond[0] == self.beyond[1]

    @property
    def n_partials(self) -> int:
        """Steps that make a partial."""
        return len(self.steps) - self.ends

    def sizes(self, step: int) -> dict[str, int]:
        """Sizes of all indices at a step; its result has ``near`` values of its rank."""
        layer, (lo, hi) = self.layer, self.steps[step]
        done, left = self.steps[:step], self.steps[step + 1 :]
        ranks = (layer.all_ranks[lo], layer.all_ranks[hi])
        return self.core | {
            "n": prod(layer.in_modes[lo:hi]),
            "m": prod(layer.out_modes[lo:hi]),
            "near": ranks[not self.left],
            "sum": ranks[self.left],
            "inner": prod(layer.in_modes[t] for t, _ in left),
            "done": prod(prod(layer.out_modes[p:q]) for p, q in done),
        }

    def ordered(self, *names: str) -> tuple[str, ...]:
        """Indices that are named from k's far side to its near side, the slowest first."""
        return names if self.left else names[::-1]

    def factor(self, tt_cores: tuple[int, int], **names: str) -> Array:
        """A merged array, with names for its ``i`` and ``j`` and for its ranks ``to_half`` and
        ``from_half``."""
        at = self.lowering.merged[Key(self.index, *tt_cores)]
        to_half, from_half = (at.b, at.a) if self.left else (at.a, at.b)
        strides = {"i": at.i, "j": at.j, "to_half": to_half, "from_half": from_half}
        return Array(at.address, {name: strides[index] for index, name in names.items()})
