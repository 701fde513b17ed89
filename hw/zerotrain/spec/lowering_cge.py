"""Lowering of CGE: every coordinate's loss from environments (docs/numerics.md, section 4).

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
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod
from typing import Any

from zerotrain.spec.lowering import Lowering, Operand
from zerotrain.spec.merging import Factor, Key
from zerotrain.spec.network import Activation, Network
from zerotrain.spec.program import Contract, Level, Loop, Result, Source

__all__ = ["CgeForm", "CgeForms", "CgeLowering"]


class CgeForm(StrEnum):
    """How much of a layer's partials and environments is held at a time. Changes no bit."""

    WHOLE = "whole"  # partials once for all TT-cores of a half, environments of whole TT-cores
    ROWS = "rows"  # the same partials, environments of one (j, near, far) after the other
    TILES = "tiles"  # for every TT-core anew, partials only of the j (and near) at hand


#: The form of every layer.
CgeForms = tuple[CgeForm, ...]

#: Indices that a loop over the rows of a TT-core's environment holds, innermost first.
_ROW = ("far", "near", "j")


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


NOWHERE = Array(0, {})


@dataclass(frozen=True, slots=True)
class _Partial:
    """A vector per lane, the slice of a partial at one value of the indices ``without``."""

    operand: Operand
    without: tuple[str, ...] = ()


class _View:
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
        at = self.lowering.merged[self.index, *tt_cores]
        to_half, from_half = (at.b, at.a) if self.left else (at.a, at.b)
        strides = {"i": at.i, "j": at.j, "to_half": to_half, "from_half": from_half}
        return Array(at.address, {name: strides[index] for index, name in names.items()})


class CgeLowering(Lowering):
    """Lowers the sections of a CGE step. See :class:`~zerotrain.spec.lowering.Lowering`."""

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
        """Halves, what lies beyond a TT-core, and whole layers after a hidden one."""
        keys: list[Key] = []
        for index, layer in enumerate(self.network.layers):
            d = layer.n_tt_cores
            for k in range(d) if d > 1 else ():
                view = _View(self, index, k)
                keys.append((index, *view.steps[0]))
                if not view.ends:
                    keys.append((index, *view.beyond))
            if index > 0:
                keys.append((index, 0, d))
        return keys

    def merge_environments(self) -> list[Contract]:
        """Merge what the environments need besides the groups."""
        return [contract for key in self.environments() for contract in self.merging.make(key)]

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
            views = [_View(self, index, k) for k in tt_cores]
            shared = [_Partial(self.input_of(index))]
            if form != CgeForm.TILES:
                ending = next(view for view in views if view.ends)
                program += self._partials(ending, shared, tiles=False)
            for view in views:
                program += self._tt_core(view, form, shared)
            self._free(shared)
        if layer.bias:
            program += self._bias_entries(index)
        return program

    def _free(self, partials: list[_Partial]) -> None:
        for partial in partials[1:]:
            self.scratch.free(partial.operand.address)

    def _tt_core(self, view: _View, form: CgeForm, shared: list[_Partial]) -> list[Contract | Loop]:
        """All evaluations of one TT-core.

        ``shared``: the layer's input, and the partials that are made already.
        """
        sizes, held = view.core, () if form == CgeForm.WHOLE else _ROW
        partials = list(shared)
        steps = self._partials(view, partials, tiles=True) if form == CgeForm.TILES else []
        names = ("j", "near", "far", "before", "after")
        words = prod(sizes[name] for name in names if name not in held)
        address = self.scratch.allocate(words)
        source = partials[view.n_partials]
        code = [*steps, self._environment(view, source, address, held)]
        entries = self._entries(view, Array.packed(address, sizes, names, held), held)
        self.scratch.free(address)
        if form == CgeForm.TILES:
            self._free(partials)
        loop = self._loop(view.index)
        if not held and len(loop) == len(_ROW):
            return [*code, *entries]
        counts = tuple(sizes[name] for name in loop)
        if not held:
            return [*code, Loop(counts, tuple(entries))]
        return [Loop(counts, (*code, *entries))]

    def _loop(self, index: int) -> tuple[str, ...]:
        """Counters of the loop over a TT-core's entries: below the last two layers every entry
        needs several contractions."""
        return _ROW if self._reaches_logits(index) else ("i", *_ROW)

    def _reaches_logits(self, index: int) -> bool:
        """Whether one contraction turns differences of this layer into those of the logits."""
        return index >= len(self.network.layers) - 2

    def _partials(self, view: _View, partials: list[_Partial], *, tiles: bool) -> list[Contract]:
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
        view: _View,
        step: int,
        source: _Partial,
        target: Array,
        held: tuple[str, ...],
        shift: int,
    ) -> Contract:
        """One step, from a partial to the next or to the environment."""
        inputs = view.ordered("outer", "j", "inner", "n")
        operand, sizes = source.operand, view.sizes(step)
        return self._contract(
            self._loop(view.index),
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
            relu=operand.relu,
            result=Result.SCRATCH,
            shift=shift,
            comment=f"layer {view.index + 1} TT-core {view.k + 1}: step {step + 1}",
        )

    def _environment(
        self, view: _View, source: _Partial, address: int, held: tuple[str, ...]
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
        return self._contract(
            self._loop(view.index),
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
            relu=operand.relu,
            unit_weight=single,
            result=Result.SCRATCH,
            shift=shift,
            comment=f"layer {view.index + 1} TT-core {view.k + 1}: environment",
        )

    def _entries(self, view: _View, environment: Array, held: tuple[str, ...]) -> list[Contract]:
        """Evaluations of the entries of a TT-core, or of one row ``(j, near, far)``."""
        index, sizes, loop = view.index, view.core, self._loop(view.index)
        name = f"layer {index + 1} TT-core {view.k + 1}: entries"
        entries = ("i", "far", "near", "j")
        outputs = Array.packed(0, sizes, ("before", "i", "after"))
        if index == len(self.network.layers) - 1:
            return [
                self._contract(
                    loop,
                    sizes,
                    operand=environment,
                    target=outputs,
                    kept=("after", "before", *entries),
                    held=held,
                    source=Source.SCRATCH,
                    unit_weight=True,
                    result=Result.DLOGIT,
                    evaluation_levels=2,
                    shift=self.formats.lane_shift(self.formats.delta, self.formats.dlogit),
                    comment=name,
                )
            ]
        full = self._full(index + 1)
        inner = self._contract(
            loop,
            sizes | {"class": self.network.layers[index + 1].n_outputs},
            weight=Array(
                full.address,
                {"class": full.i} | {k: full.j * step for k, step in outputs.strides.items()},
            ),
            operand=environment,
            aux=replace(outputs, address=self.preact[index]),
            target=Array(0, {"class": 1}),
            summed=("after", "before"),
            kept=("class", *entries),
            held=held if self._reaches_logits(index) else loop,
            source=Source.DELTA,
            relu=view.layer.activation == Activation.RELU,
            result=Result.DLOGIT,
            evaluation_levels=1,
            shift=self.formats.lane_shift(self.formats.delta, self.formats.dlogit),
            comment=name,
        )
        return self._propagate(index + 1, inner)

    def _contract(
        self,
        loop: tuple[str, ...],
        sizes: dict[str, int],
        *,
        target: Array,
        weight: Array = NOWHERE,
        operand: Array = NOWHERE,
        aux: Array = NOWHERE,
        summed: tuple[str, ...] = (),
        kept: tuple[str, ...],
        held: tuple[str, ...],
        **fields: Any,
    ) -> Contract:
        """A contraction by names of indices: those ``held`` by the loop's counters are not its own,
        but its arrays begin where they say."""
        arrays = (weight, operand, aux, target)

        def levels(names: tuple[str, ...]) -> tuple[Level, ...]:
            return tuple(
                Level(sizes[name], *(array.strides.get(name, 0) for array in arrays))
                for name in names
                if name not in held
            )

        return Contract(
            summed=levels(summed),
            kept=levels(kept),
            start=(weight.address, operand.address, aux.address, target.address),
            moves=tuple(
                tuple(array.strides.get(name, 0) * (name in held) for name in loop)
                for array in arrays
            ),
            loop_level=min((loop.index(name) for name in held), default=0),
            **fields,
        )

    def _bias_entries(self, index: int) -> list[Contract | Loop]:
        """Evaluations of every entry of a layer's bias."""
        layer, formats = self.network.layers[index], self.formats
        mu = formats.delta.frac_bits - formats.cge_mu_shift
        name = f"layer {index + 1} bias: entries"
        if index == len(self.network.layers) - 1:
            return [
                Contract(
                    summed=(),
                    kept=(Level(layer.n_outputs, result=1),),
                    start=(0, 0, 0, 0),
                    source=Source.CONSTANT,
                    constant_shift=mu,
                    unit_weight=True,
                    result=Result.DLOGIT,
                    shift=formats.lane_shift(formats.delta, formats.dlogit),
                    comment=name,
                )
            ]
        full = self._full(index + 1)
        entry = Level(layer.n_outputs, weight=full.j, aux=1)
        inner = Contract(
            summed=(),
            kept=(Level(self.network.layers[index + 1].n_outputs, weight=full.i, result=1),),
            start=(full.address, 0, self.preact[index], 0),
            source=Source.DELTA_CONSTANT,
            relu=layer.activation == Activation.RELU,
            constant_shift=mu,
            result=Result.DLOGIT,
            evaluation_levels=1,
            shift=formats.lane_shift(formats.delta, formats.dlogit),
            comment=name,
        )
        if self._reaches_logits(index):
            return [replace(inner, kept=(*inner.kept, entry))]
        inner = replace(inner, moves=tuple((stride,) for stride in entry.strides))
        return [Loop((entry.count,), tuple(self._propagate(index + 1, inner)))]

    def _full(self, index: int) -> Factor:
        return self.merged[index, 0, self.network.layers[index].n_tt_cores]

    def _propagate(self, index: int, inner: Contract) -> list[Contract]:
        """Carry differences that ``inner`` makes of layer ``index``'s outputs on to the logits: one
        contraction per layer. For the last layer that is ``inner`` itself."""
        if index == len(self.network.layers) - 1:
            return [inner]
        formats = self.formats
        target = self.scratch.allocate(self.network.layers[index].n_outputs)
        held = [target]
        code = [
            replace(
                inner,
                start=(*inner.start[:3], target),
                result=Result.SCRATCH,
                evaluation_levels=0,
                shift=formats.lane_shift(formats.delta, formats.delta),
            )
        ]
        while index < len(self.network.layers) - 1:
            layer, following = self.network.layers[index : index + 2]
            last = index + 1 == len(self.network.layers) - 1
            full, source = self._full(index + 1), target
            if not last:
                target = self.scratch.allocate(following.n_outputs)
                held.append(target)
            code.append(
                Contract(
                    summed=(Level(layer.n_outputs, weight=full.j, operand=1, aux=1),),
                    kept=(Level(following.n_outputs, weight=full.i, result=1),),
                    start=(full.address, source, self.preact[index], target * (not last)),
                    source=Source.DELTA,
                    relu=layer.activation == Activation.RELU,
                    result=Result.DLOGIT if last else Result.SCRATCH,
                    evaluation_levels=1 if last else 0,
                    shift=formats.lane_shift(
                        formats.delta, formats.dlogit if last else formats.delta
                    ),
                    comment=f"{inner.comment}, through layer {index + 2}",
                )
            )
            index += 1
        for address in held:
            self.scratch.free(address)
        return code
