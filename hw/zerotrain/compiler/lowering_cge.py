"""Lowering of CGE: every coordinate's loss from environments (docs/numerics.md, section 4).

The names of indices are those of :mod:`zerotrain.compiler.cge_view`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from zerotrain.compiler.cge_view import NOWHERE, ROW, Array, View
from zerotrain.compiler.contraction import Contract, Loop
from zerotrain.compiler.lowering import Operand
from zerotrain.compiler.lowering_entries import EntryLowering
from zerotrain.compiler.merging import Key
from zerotrain.spec.choices import Cge
from zerotrain.spec.network import Network
from zerotrain.spec.program import Result, Source

__all__ = ["EVALUATIONS", "CgeForm", "CgeForms", "CgeLowering"]


class CgeForm(StrEnum):
    """How much of a layer's partials and environments is held at a time. Changes no bit."""

    WHOLE = "whole"  # partials once for all TT-cores of a half, environments of whole TT-cores
    ROWS = "rows"  # the same partials, environments of one (j, near, far) after the other
    TILES = "tiles"  # for every TT-core anew, partials only of the j (and near) at hand


#: The forms that a chip can choose from; none if it has no environments.
EVALUATIONS: dict[Cge, tuple[CgeForm, ...]] = {
    Cge.NONE: (), Cge.FORWARD: (), Cge.ENVIRONMENTS: tuple(CgeForm)
}  # fmt: skip
#: The form of every layer.
CgeForms = tuple[CgeForm, ...]


@dataclass(frozen=True, slots=True)
class _Partial:
    """A vector per lane, the slice of a partial at one value of the indices ``without``."""

    operand: Operand
    without: tuple[str, ...] = ()


class CgeLowering(EntryLowering):
    """Lowers the sections of a CGE step. See :class:`~zerotrain.compiler.lowering.Lowering`."""

    @staticmethod
    def has_tiles(network: Network, index: int) -> bool:
        """Whether a layer's evaluations have the form of tiles.

        Not where the next layer is dense and not the last: entries then move its weights, which lie
        as they are stored, by other strides than the pre-activations, and the loop has no offset
        left for that.
        """
        deep = index < len(network.layers) - 2
        return not (deep and network.layers[index + 1].n_tt_cores == 1)

    def environments(self) -> list[Key]:
        """Halves, what lies beyond a TT-core, and what lifts differences from a hidden layer."""
        keys: list[Key] = []
        for index, layer in enumerate(self.network.layers):
            d = layer.n_tt_cores
            for k in range(d) if d > 1 else ():
                view = View(self, index, k)
                keys.append(Key(index, *view.steps[0]))
                if not view.ends:
                    keys.append(Key(index, *view.beyond))
            if index > 0:
                keys.append(self.lifting(index))
        return keys

    def merge_arrays(self, keys: Iterable[Key]) -> list[Contract]:
        """Merge what the environments need besides the groups."""
        return [contract for key in keys for contract in self.merging.make(key)]

    def coordinates(self, forms: CgeForms) -> list[Contract | Loop]:
        """After the base loss, every parameter's evaluation in parameter order."""
        return [
            item for index, form in enumerate(forms) for item in self.layer_differences(index, form)
        ]

    def layer_differences(self, index: int, form: CgeForm) -> list[Contract | Loop]:
        """Every evaluation of one layer's parameters."""
        layer = self.network.layers[index]
        program: list[Contract | Loop] = []
        for tt_cores in (range(layer.middle), range(layer.middle, layer.n_tt_cores)):
            if not tt_cores:
                continue
            views = [View(self, index, k) for k in tt_cores]
            shared = [_Partial(self.input_of(index))]
            if form != CgeForm.TILES:
                ending = next(view for view in views if view.ends)
                program += self._partials(ending, shared, tiles=False)
            for view in views:
                program += self._tt_core(view, form, shared)
            self._free(shared)
        if layer.bias:
            program += self.bias_entries(index)
        return program

    def _free(self, partials: list[_Partial]) -> None:
        for partial in partials[1:]:
            self.scratch.free(partial.operand.address)

    def _tt_core(self, view: View, form: CgeForm, shared: list[_Partial]) -> list[Contract | Loop]:
        """All evaluations of one TT-core.

        ``shared``: the layer's input, and the partials that are made already.
        """
        sizes, held = view.core, () if form == CgeForm.WHOLE else ROW
        partials = list(shared)
        steps = self._partials(view, partials, tiles=True) if form == CgeForm.TILES else []
        names = ("j", "near", "far", "before", "after")
        words = prod(sizes[name] for name in names if name not in held)
        address = self.scratch.allocate(words)
        source = partials[view.n_partials]
        code = [*steps, self._environment(view, source, address, held)]
        entries = self.entries(view, Array.packed(address, sizes, names, held), held)
        self.scratch.free(address)
        if form == CgeForm.TILES:
            self._free(partials)
        loop = self.loop_over_entries(view.index)
        if not held and len(loop) == len(ROW):
            return [*code, *entries]
        counts = tuple(sizes[name] for name in loop)
        if not held:
            return [*code, Loop(counts, tuple(entries))]
        return [Loop(counts, (*code, *entries))]

    def _partials(self, view: View, partials: list[_Partial], *, tiles: bool) -> list[Contract]:
        """Append to ``partials``, the layer's input, what the steps make of it.

        ``tiles``: only for the ``j`` that a loop holds, and for the last step's ``near`` too.
        """
        code = []
        for step in range(view.n_partials):
            sizes = view.sizes(step)
            last = step == len(view.steps) - 1
            held = (("near", "j") if last else ("j",)) if tiles else ()
            names = (*view.ordered("outer", "j", "inner"), *view.ordered("m", "done"), "near")
            words = prod(sizes[name] for name in names if name not in held)
            target = Array.packed(self.scratch.allocate(words), sizes, names, held)
            shift = self.formats.lane_shift(partials[step].operand.fmt, self.formats.tt)
            code.append(self._step(view, step, partials[step], target, held, shift))
            operand = Operand(Source.SCRATCH, target.address, self.formats.tt)
            partials.append(_Partial(operand, held))
        return code

    def _step(
        self,
        view: View,
        step: int,
        source: _Partial,
        target: Array,
        held: tuple[str, ...],
        shift: int,
    ) -> Contract:
        """One step, from a partial to the next or to the environment."""
        inputs = view.ordered("outer", "j", "inner", "n")
        operand, sizes = source.operand, view.sizes(step)
        return self.contract(
            self.loop_over_entries(view.index),
            sizes,
            weight=view.factor(view.steps[step], i="m", j="n", to_half="sum", from_half="near"),
            operand=Array.packed(
                operand.address, sizes, (*inputs, "done", "sum"), without=source.without
            ),
            target=target,
            summed=("sum", "n"),
            kept=("near", "done", "m", *(name for name in inputs[::-1] if name != "n")),
            held=held,
            source=operand.source,
            activation=operand.activation,
            result=Result.SCRATCH,
            shift=shift,
            comment=f"layer {view.index + 1} TT-core {view.k + 1}: step {step + 1}",
        )

    def _environment(
        self, view: View, source: _Partial, address: int, held: tuple[str, ...]
    ) -> Contract:
        """The environment of a TT-core, or one row of it, from the last partial."""
        operand, rows = source.operand, ("j", "near", "far")
        shift = self.formats.delta_shift(operand.fmt)
        if view.ends and view.layer.n_tt_cores > 1:
            step = len(view.steps) - 1
            names = (*rows, *view.ordered("m", "done"))
            target = Array.packed(address, view.sizes(step), names, held)
            return self._step(view, step, source, target, held, shift)
        names = (*rows, *view.ordered("beyond", "done"))
        single = view.layer.n_tt_cores == 1
        inputs = (*view.ordered("outer", "j"), "done", "near")
        return self.contract(
            self.loop_over_entries(view.index),
            view.core,
            weight=NOWHERE
            if single
            else view.factor(view.beyond, i="beyond", j="outer", to_half="far"),
            operand=Array.packed(operand.address, view.core, inputs, source.without),
            target=Array.packed(address, view.core, names, held),
            summed=("outer",),
            kept=("done", "beyond", "far", "near", "j"),
            held=held,
            source=operand.source,
            activation=operand.activation,
            unit_weight=single,
            result=Result.SCRATCH,
            shift=shift,
            comment=f"layer {view.index + 1} TT-core {view.k + 1}: environment",
        )
