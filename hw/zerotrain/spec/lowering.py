"""Lowering: from a network's mathematics to contractions (docs/numerics.md, sections 2 and 3).

Every function returns contractions in execution order. Index letters follow the numerics page:
``a`` and ``b`` are the left and right rank of a TT-core or group, ``i`` and ``j`` its output and
input mode. A level's count comes first, then its strides by stream.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.memory import Allocator
from zerotrain.spec.network import Activation, Network
from zerotrain.spec.program import Contract, Level, Loop, Result, Source

__all__ = ["Factor", "Groups", "Lowering", "Operand"]

#: Sizes of the TT-core groups of every layer, from the left.
Groups: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """A vector per lane: where it lies and in which format."""

    source: Source
    address: int
    fmt: QFormat
    relu: bool = False


@dataclass(frozen=True, slots=True)
class Factor:
    """Where a TT-core or merged array lies in the weight memory, and the stride of each index."""

    address: int
    a: int
    i: int
    j: int
    b: int


class Lowering:
    """Lowers one section of the program.

    Parameters
    ----------
    network : Network
    formats : Formats
    scratch : Allocator
        Lane scratch memory, shared by all sections (they never run at once).

    Attributes
    ----------
    weight : Allocator
        Weight memory behind the parameters.
    merged : dict
        Factor of ``merge(lo, hi)`` of a layer, by (layer, lo, hi): TT-cores as they are stored,
        merged arrays in C order of ``[a, i, j, b]``.
    bias : dict
        Weight address of each layer's bias.
    preact : list
        Address of each hidden layer's pre-activations.
    preact_words : int
        Words per lane of the pre-activation memory.
    """

    def __init__(self, network: Network, formats: Formats, scratch: Allocator) -> None:
        self.network = network
        self.formats = formats
        self.scratch = scratch
        self.weight = Allocator(network.n_parameters)
        self.merged: dict[tuple[int, int, int], Factor] = {
            (b.layer, b.tt_core, b.tt_core + 1): Factor(b.offset, *b.strides)
            for b in network.blocks()
            if b.tt_core is not None
        }
        self.bias = {b.layer: b.offset for b in network.blocks() if b.tt_core is None}
        self.preact: list[int] = []
        end = 0
        for layer in network.layers[:-1]:
            self.preact.append(end)
            end += layer.n_outputs
        self.preact_words = end

    # -- merging -------------------------------------------------------------------------------

    def merge(self, index: int, lo: int, hi: int) -> list[Contract]:
        """Make ``merge(lo, hi)`` of a layer available in the weight memory."""
        if (index, lo, hi) in self.merged:
            return []
        mid = (lo + hi) // 2
        code = self.merge(index, lo, mid) + self.merge(index, mid, hi)
        layer, bits = self.network.layers[index], self.formats.weight.frac_bits
        ranks = layer.all_ranks
        a, b, c = ranks[lo], ranks[mid], ranks[hi]
        i, i2 = prod(layer.out_modes[lo:mid]), prod(layer.out_modes[mid:hi])
        j, j2 = prod(layer.in_modes[lo:mid]), prod(layer.in_modes[mid:hi])
        left, right = self.merged[index, lo, mid], self.merged[index, mid, hi]
        copy = self.scratch.allocate(b * i2 * j2 * c)
        name = f"layer {index + 1} TT-cores {lo + 1}..{hi}"
        code.append(
            Contract(
                summed=(),
                kept=(
                    Level(c, weight=right.b, result=1),
                    Level(j2, weight=right.j, result=c),
                    Level(i2, weight=right.i, result=j2 * c),
                    Level(b, weight=right.a, result=i2 * j2 * c),
                ),
                start=(right.address, 0, 0, copy),
                source=Source.CONSTANT,
                constant_shift=bits,
                result=Result.SCRATCH,
                shift=bits,
                comment=f"{name}: right factor to the lanes",
            )
        )
        target = self.weight.allocate(a * i * i2 * j * j2 * c)
        code.append(
            Contract(
                summed=(Level(b, weight=left.b, operand=i2 * j2 * c),),
                kept=(
                    Level(j2 * c, operand=1, result=1),
                    Level(j, weight=left.j, result=j2 * c),
                    Level(i2, operand=j2 * c, result=j * j2 * c),
                    Level(i, weight=left.i, result=i2 * j * j2 * c),
                    Level(a, weight=left.a, result=i * i2 * j * j2 * c),
                ),
                start=(left.address, copy, 0, target),
                source=Source.SCRATCH,
                result=Result.WEIGHT,
                shift=bits,
                comment=f"{name}: merge",
            )
        )
        self.scratch.free(copy)
        columns = j * j2 * c
        self.merged[index, lo, hi] = Factor(target, i * i2 * columns, columns, c, 1)
        return code

    def merge_groups(self, groups: Groups) -> list[Contract]:
        """Merge every group of a forward pass."""
        code = []
        for index, sizes in enumerate(groups):
            lo = 0
            for size in sizes:
                code += self.merge(index, lo, lo + size)
                lo += size
        return code

    # -- forward -------------------------------------------------------------------------------

    def input_of(self, index: int) -> Operand:
        """The input vector of a layer."""
        if index == 0:
            return Operand(Source.INPUT, 0, self.formats.input)
        relu = self.network.layers[index - 1].activation == Activation.RELU
        return Operand(Source.PREACT, self.preact[index - 1], self.formats.preact, relu)

    @staticmethod
    def can_tile(network: Network, index: int, sizes: tuple[int, ...]) -> bool:
        """Whether a layer can be applied tile by tile (:meth:`forward_layer`).

        The last layer cannot: the loss unit takes its outputs in one go.
        """
        layer = network.layers[index]
        tiles = prod(layer.out_modes[layer.n_tt_cores - sizes[-1] :])
        return index < len(network.layers) - 1 and len(sizes) > 1 and tiles > 1

    def forward_layer(
        self, index: int, sizes: tuple[int, ...], *, tiled: bool = False
    ) -> list[Contract | Loop]:
        """Apply one layer, with its intermediates freed again.

        Tiled, a loop over the output index of the rightmost group: all contractions for one value
        of it after the other, so that the intermediates are that many times smaller.
        """
        code, operands = self.apply(index, sizes, tiled=tiled)
        for operand in operands[1:]:
            self.scratch.free(operand.address)
        if not tiled:
            return list(code)
        layer = self.network.layers[index]
        lo = layer.n_tt_cores - sizes[-1]
        first, last = code[0], code[-1]
        row = self.merged[index, lo, layer.n_tt_cores].i
        body = [
            replace(first, moves=((row,), (), (), ())),
            *code[1:-1],
            replace(last, moves=((), (), (1,) if last.bias else (), (1,))),
        ]
        return [Loop((prod(layer.out_modes[lo:]),), tuple(body))]

    def apply(
        self, index: int, sizes: tuple[int, ...], *, tiled: bool = False
    ) -> tuple[list[Contract], list[Operand]]:
        """The contractions of one layer (of one tile), and each one's operand."""
        layer = self.network.layers[index]
        operand = self.input_of(index)
        operands, code = [operand], []
        hi, done = layer.n_tt_cores, 1
        # Outputs of a tile are as far apart as there are tiles.
        apart = prod(layer.out_modes[hi - sizes[-1] :]) if tiled else 1
        for size in reversed(sizes):
            lo = hi - size
            a, b = layer.all_ranks[lo], layer.all_ranks[hi]
            i, j = prod(layer.out_modes[lo:hi]), prod(layer.in_modes[lo:hi])
            if tiled and hi == layer.n_tt_cores:
                i = 1
            factor = self.merged[index, lo, hi]
            rest = prod(layer.in_modes[:lo])
            step = apart if lo == 0 else 1
            levels = (
                Level(a, weight=factor.a, result=1),
                Level(done, operand=b, aux=step, result=a * step),
                Level(i, weight=factor.i, aux=done * step, result=done * a * step),
                Level(rest, operand=j * done * b, result=i * done * a),
            )
            target, result, fmt = self._forward_target(index, lo, rest * i * done * a)
            bias = lo == 0 and layer.bias
            code.append(
                Contract(
                    summed=(
                        Level(b, weight=factor.b, operand=1),
                        Level(j, weight=factor.j, operand=done * b),
                    ),
                    kept=levels,
                    start=(
                        factor.address,
                        operand.address,
                        self.bias[index] if bias else 0,
                        target,
                    ),
                    source=operand.source,
                    relu=operand.relu,
                    result=result,
                    bias=bias,
                    constant_shift=operand.fmt.frac_bits if bias else 0,
                    evaluation_levels=len(levels) if result == Result.LOGIT else 0,
                    shift=self.formats.lane_shift(operand.fmt, fmt),
                    comment=f"layer {index + 1} TT-cores {lo + 1}..{hi}: apply",
                )
            )
            if lo > 0:
                operand = Operand(Source.SCRATCH, target, self.formats.tt)
                operands.append(operand)
            hi, done = lo, done * i
        return code, operands

    def _forward_target(self, index: int, lo: int, words: int) -> tuple[int, Result, QFormat]:
        if lo > 0:
            return self.scratch.allocate(words), Result.SCRATCH, self.formats.tt
        if index < len(self.network.layers) - 1:
            return self.preact[index], Result.PREACT, self.formats.preact
        return 0, Result.LOGIT, self.formats.logit

    def forward(self, groups: Groups, tiled: tuple[bool, ...]) -> list[Contract | Loop]:
        """The loss evaluation of RGE and of the evaluate command."""
        program: list[Contract | Loop] = []
        for index, sizes in enumerate(groups):
            program += self.forward_layer(index, sizes, tiled=tiled[index])
        return program
