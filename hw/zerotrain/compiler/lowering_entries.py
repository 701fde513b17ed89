"""Lowering of CGE's evaluations: from environments to differences of the logits."""

from dataclasses import replace
from typing import Any

from zerotrain.compiler.cge_view import NOWHERE, ROW, Array, View
from zerotrain.compiler.contraction import Contract, Level, Loop
from zerotrain.compiler.lowering import Lowering
from zerotrain.compiler.merging import Key
from zerotrain.spec.activations import Activation, check_differences
from zerotrain.spec.network import Layer
from zerotrain.spec.program import Result, Source

__all__ = ["EntryLowering"]


def _bending(layer: Layer) -> Activation:
    """The activation of a layer whose differences are carried on."""
    check_differences(layer.activation)
    return layer.activation


class EntryLowering(Lowering):
    """Lowers the evaluations of a TT-core's entries, and of a bias."""

    def loop_over_entries(self, index: int) -> tuple[str, ...]:
        """Counters of the loop over a TT-core's entries: below the last two layers every entry
        needs several contractions."""
        return ROW if self._reaches_logits(index) else ("i", *ROW)

    def _reaches_logits(self, index: int) -> bool:
        """Whether one contraction turns differences of this layer into those of the logits."""
        return index >= len(self.network.layers) - 2

    def contract(
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

    def entries(self, view: View, environment: Array, held: tuple[str, ...]) -> list[Contract]:
        """Evaluations of the entries of a TT-core, or of one row ``(j, near, far)``."""
        index, sizes, loop = view.index, view.core, self.loop_over_entries(view.index)
        name = f"layer {index + 1} TT-core {view.k + 1}: entries"
        entries = ("i", "far", "near", "j")
        outputs = Array.packed(0, sizes, ("before", "i", "after"))
        if index == len(self.network.layers) - 1:
            return [
                self.contract(
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
        lifting = self.lifting(index + 1)
        w = self.merged[lifting]
        inner = self.contract(
            loop,
            sizes | {"class": self.network.layers[index + 1].n_outputs - lifting.first},
            weight=Array(
                w.address,
                {"class": w.i} | {k: w.j * step for k, step in outputs.strides.items()},
            ),
            operand=environment,
            aux=replace(outputs, address=self.preact[index]),
            target=Array(lifting.first, {"class": 1}),
            summed=("after", "before"),
            kept=("class", *entries),
            held=held if self._reaches_logits(index) else loop,
            source=Source.DELTA,
            activation=_bending(view.layer),
            result=Result.DLOGIT,
            evaluation_levels=1,
            shift=self.formats.lane_shift(self.formats.delta, self.formats.dlogit),
            comment=name,
        )
        return self._propagate(index + 1, inner)

    def bias_entries(self, index: int) -> list[Contract | Loop]:
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
        lifting = self.lifting(index + 1)
        w, classes = self.merged[lifting], self.network.layers[index + 1].n_outputs - lifting.first
        entry = Level(layer.n_outputs, weight=w.j, aux=1)
        inner = Contract(
            summed=(),
            kept=(Level(classes, weight=w.i, result=1),),
            start=(w.address, 0, self.preact[index], lifting.first),
            source=Source.DELTA_CONSTANT,
            activation=_bending(layer),
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

    def lifting(self, index: int) -> Key:
        """The weights by which differences of a layer's inputs become those of its outputs."""
        relative = index == len(self.network.layers) - 1 and self.network.relative_logits
        return Key(index, 0, self.network.layers[index].n_tt_cores, relative)

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
            lifting, source = self.lifting(index + 1), target
            w, target = self.merged[lifting], lifting.first
            if not last:
                target = self.scratch.allocate(following.n_outputs)
                held.append(target)
            code.append(
                Contract(
                    summed=(Level(layer.n_outputs, weight=w.j, operand=1, aux=1),),
                    kept=(Level(following.n_outputs - lifting.first, weight=w.i, result=1),),
                    start=(w.address, source, self.preact[index], target),
                    source=Source.DELTA,
                    activation=_bending(layer),
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
