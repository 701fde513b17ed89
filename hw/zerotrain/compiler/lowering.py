"""Lowering: from a network's mathematics to contractions (docs/numerics.md, sections 2 and 3).

Every function returns contractions in execution order. Index letters follow the numerics page:
``a`` and ``b`` are the left and right rank of a TT-core or group, ``i`` and ``j`` its output and
input mode. A level's count comes first, then its strides by stream.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import TypeAlias

from zerotrain.compiler.allocator import Allocator
from zerotrain.compiler.contraction import Contract, Level, Loop
from zerotrain.compiler.merging import Key, Merging
from zerotrain.spec.activations import ACTIVATIONS, Activation
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Network
from zerotrain.spec.program import Result, Source

__all__ = ["Groups", "Lowering", "Operand"]

#: Sizes of the TT-core groups of every layer, from the left.
Groups: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """A vector per lane: where it lies and in which format."""

    source: Source
    address: int
    fmt: QFormat
    activation: Activation = Activation.NONE


class Lowering:
    """Lowers one section of the program.

    Parameters
    ----------
    network : Network
    formats : Formats
    scratch : Allocator
        Lane scratch memory, shared by all sections (they never run at once).
    merge_unit : bool
        The chip has a merge unit.
    preact_base : int
        Row of the first pre-activation (``Chip.preact_base``).

    Attributes
    ----------
    merging : Merging
        What is merged, where it lies, and how it is made.
    merged : dict
        Its factors, by :class:`~zerotrain.compiler.merging.Key`.
    bias : dict
        Weight address of each layer's bias.
    preact : list
        Address of each hidden layer's pre-activations.
    preact_words : int
        Words per lane of the pre-activation memory.
    """

    def __init__(
        self,
        network: Network,
        formats: Formats,
        scratch: Allocator,
        *,
        merge_unit: bool,
        preact_base: int = 0,
    ) -> None:
        self.network = network
        self.formats = formats
        self.scratch = scratch
        self.merging = Merging(network, formats, scratch, unit=merge_unit)
        self.merged = self.merging.at
        self.bias = {b.layer: b.offset for b in network.blocks() if b.tt_core is None}
        self.preact: list[int] = []
        end = preact_base
        for layer in network.layers[:-1]:
            self.preact.append(end)
            end += layer.n_outputs
        self.preact_words = end - preact_base

    # -- merging -------------------------------------------------------------------------------

    @staticmethod
    def groups_of(index: int, sizes: tuple[int, ...]) -> list[Key]:
        """A layer's groups of TT-cores, from the left."""
        ends = list(accumulate(sizes))
        return [Key(index, end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def merge_groups(self, groups: Groups, tiled: tuple[bool, ...]) -> list[Contract]:
        """Merge every group of a forward pass, in the order in which the lanes need them.

        What the lanes do not wait for is merged before anything is announced.
        """
        before: list[Contract] = []
        code: list[Contract] = []
        for index, sizes in enumerate(groups):
            *others, first = self.groups_of(index, sizes)
            merging = [] if tiled[index] else self._announced(first)
            for key in reversed(others):
                merging += self.merging.make(key) if tiled[index] else self._announced(key)
            if tiled[index] and sizes[-1] == 1:
                before += merging
            elif tiled[index]:
                code += merging + self._announced(first, tiles=True)
            else:
                code += merging
        return before + code

    def _announced(self, key: Key, *, tiles: bool = False) -> list[Contract]:
        return self.merging.make(key, sync=self.merging.unit, tiles=tiles)

    # -- forward -------------------------------------------------------------------------------

    def input_of(self, index: int) -> Operand:
        """The input vector of a layer."""
        if index == 0:
            return Operand(Source.INPUT, 0, self.formats.input)
        activation = self.network.layers[index - 1].activation
        fmt = self.network.source(index, self.formats)
        return Operand(Source.PREACT, self.preact[index - 1], fmt, activation)

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
        row = self.merged[Key(index, lo, layer.n_tt_cores)].i
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
        tiles = prod(layer.out_modes[hi - sizes[-1] :]) if tiled else 1
        for size in reversed(sizes):
            lo = hi - size
            contract = self.apply_group(index, (lo, hi), operand, done, tiles)
            code.append(contract)
            if lo > 0:
                operand = Operand(Source.SCRATCH, contract.start[3], self.formats.tt)
                operands.append(operand)
            done *= prod(layer.out_modes[lo:hi]) if hi < layer.n_tt_cores or tiles == 1 else 1
            hi = lo
        return code, operands

    def apply_group(
        self, index: int, tt_cores: tuple[int, int], operand: Operand, done: int, tiles: int
    ) -> Contract:
        """Apply TT-cores ``lo..hi-1``, merged, to what those behind them have left.

        ``done``: outputs of those, of which a tile has so many. ``tiles``: how many tiles the layer
        is applied in, one for every output of its rightmost group.
        """
        layer, (lo, hi) = self.network.layers[index], tt_cores
        tiled = tiles > 1
        a, b = layer.all_ranks[lo], layer.all_ranks[hi]
        i, j = prod(layer.out_modes[lo:hi]), prod(layer.in_modes[lo:hi])
        if tiled and hi == layer.n_tt_cores:
            i = 1
        factor = self.merged[Key(index, lo, hi)]
        rest = prod(layer.in_modes[:lo])
        # Outputs of a tile are as far apart as there are tiles.
        step = tiles if lo == 0 else 1
        levels = (
            Level(a, weight=factor.a, result=1),
            Level(done, operand=b, aux=step, result=a * step),
            Level(i, weight=factor.i, aux=done * step, result=done * a * step),
            Level(rest, operand=j * done * b, result=i * done * a),
        )
        target, result, fmt = self._forward_target(index, lo, rest * i * done * a)
        bias = lo == 0 and layer.bias
        return Contract(
            summed=(
                Level(b, weight=factor.b, operand=1),
                Level(j, weight=factor.j, operand=done * b),
            ),
            kept=levels,
            start=(factor.address, operand.address, self.bias[index] if bias else 0, target),
            source=operand.source,
            activation=operand.activation,
            result=result,
            sine=lo == 0 and ACTIVATIONS[layer.activation].on_write,
            bias=bias,
            constant_shift=operand.fmt.frac_bits if bias else 0,
            evaluation_levels=len(levels) if result == Result.LOGIT else 0,
            sync=self._waits(hi - lo, tiled=tiled, first=hi == layer.n_tt_cores),
            shift=self.formats.lane_shift(operand.fmt, fmt),
            comment=f"layer {index + 1} TT-cores {lo + 1}..{hi}: apply",
        )

    def _waits(self, size: int, *, tiled: bool, first: bool) -> bool:
        """Whether the application of a group waits for an announcement (:meth:`merge_groups`)."""
        return self.merging.unit and size > 1 and (first or not tiled)

    def _forward_target(self, index: int, lo: int, words: int) -> tuple[int, Result, QFormat]:
        if lo > 0:
            return self.scratch.allocate(words), Result.SCRATCH, self.formats.tt
        fmt = self.network.target(index, self.formats)
        if index < len(self.network.layers) - 1:
            return self.preact[index], Result.PREACT, fmt
        return 0, Result.LOGIT, fmt

    def forward(self, groups: Groups, tiled: tuple[bool, ...]) -> list[Contract | Loop]:
        """The loss evaluation of RGE and of the evaluate command."""
        program: list[Contract | Loop] = []
        for index, sizes in enumerate(groups):
            program += self.forward_layer(index, sizes, tiled=tiled[index])
        return program
