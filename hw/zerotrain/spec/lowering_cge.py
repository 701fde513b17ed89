"""Lowering of CGE: every coordinate's loss from environments (docs/numerics.md, section 4)."""

from dataclasses import replace
from math import prod

from zerotrain.spec.lowering import Lowering, Operand
from zerotrain.spec.network import Activation, Layer
from zerotrain.spec.program import Contract, Level, Loop, Result, Source

__all__ = ["CgeLowering"]

#: Cycles that one more trip of a loop over two contractions costs, about.
_TRIP_CYCLES = 16


class CgeLowering(Lowering):
    """Lowers the sections of a CGE step. See :class:`~zerotrain.spec.lowering.Lowering`."""

    def merge_environments(self) -> list[Contract]:
        """Merge what CGE needs: groups beside a TT-core, and whole layers after a hidden one."""
        code = []
        for index, layer in enumerate(self.network.layers):
            d = layer.n_tt_cores
            for k in range(d):
                if 0 < 2 * k < d:
                    code += self.merge(index, 0, k)
                elif 2 * k >= d and k < d - 1:
                    code += self.merge(index, k + 1, d)
            if index > 0:
                code += self.merge(index, 0, d)
        return code

    def cge(self) -> list[Contract | Loop]:
        """The base loss, then every parameter's evaluation in parameter order."""
        program: list[Contract | Loop] = []
        partials = []
        for index, layer in enumerate(self.network.layers):
            code, operands = self.apply(index, (1,) * layer.n_tt_cores)
            program += code
            d = layer.n_tt_cores
            right = dict(zip(range(d - 1, -1, -1), operands, strict=True))
            for k in range(d - 1):  # only the first half serves as environments
                if 2 * k >= d:
                    self.scratch.free(right[k].address)
            partials.append(right)
        for index, layer in enumerate(self.network.layers):
            program += self._layer_differences(index, layer, partials[index])
        return program

    def _layer_differences(
        self, index: int, layer: Layer, right: dict[int, Operand]
    ) -> list[Contract | Loop]:
        program: list[Contract | Loop] = []
        d = layer.n_tt_cores
        left = self.input_of(index)
        reached = 0  # ``left`` is the left partial l_reached
        for k in range(d):
            while 2 * k >= d and reached < min(k, d - 2):
                target = self.scratch.allocate(self._left_words(layer, reached + 1))
                program.append(self._left_partial(index, reached, left, target, last=False))
                if left.source == Source.SCRATCH:
                    self.scratch.free(left.address)
                left = Operand(Source.SCRATCH, target, self.formats.tt)
                reached += 1
            source = right[k] if 2 * k < d else left
            program += self._tt_core_differences(index, k, source)
            if source.source == Source.SCRATCH and (2 * k < d or k == d - 1):
                self.scratch.free(source.address)
        if layer.bias:
            program += self._bias_entries(index)
        return program

    def _tt_core_differences(self, index: int, k: int, source: Operand) -> list[Contract | Loop]:
        """The environment of a TT-core, from a right or left partial, and all its evaluations.

        One left rank after the other where that costs little: the memory then holds the environment
        of one.
        """
        layer = self.network.layers[index]
        a, _, n, b = layer.core_shapes[k]
        words = n * b * prod(layer.out_modes[:k]) * prod(layer.out_modes[k + 1 :])

        def lower(address: int) -> tuple[Contract, list[Contract | Loop]]:
            if 2 * k < layer.n_tt_cores:
                environment = self._right_environment(index, k, source, address)
            elif k < layer.n_tt_cores - 1:
                environment = self._left_environment(index, k, source, address)
            else:
                environment = self._left_partial(index, k - 1, source, address, last=True)
            return environment, self._entries(index, k, address)

        address = self.scratch.allocate(words)
        environment, entries = lower(address)
        entry = entries[0]
        # The left rank is the outermost counter of both.
        if a > 1 and isinstance(entry, Contract) and _TRIP_CYCLES * a < 0.01 * entry.beats:
            ranks = environment.kept[-1]
            self.scratch.free(address)
            body = (
                replace(environment, kept=environment.kept[:-1], offset=(True, True, False, False)),
                replace(entry, kept=entry.kept[:-1], loop_last=True),
            )
            return [Loop((Level(a, weight=ranks.weight, operand=ranks.operand),), body)]
        self.scratch.free(address)
        address = self.scratch.allocate(a * words)
        environment, entries = lower(address)
        self.scratch.free(address)
        return [environment, *entries]

    @staticmethod
    def _left_words(layer: Layer, k: int) -> int:
        return prod(layer.out_modes[:k]) * layer.all_ranks[k] * prod(layer.in_modes[k:])

    def _left_partial(
        self, index: int, k: int, source: Operand, target: int, *, last: bool
    ) -> Contract:
        """From l_k to l_{k+1}, or (``last``) to the environment of the last TT-core."""
        layer = self.network.layers[index]
        a, m, n, b = layer.core_shapes[k]
        before, rest = prod(layer.out_modes[:k]), prod(layer.in_modes[k + 1 :])
        if last:  # E[b, j, (I_before, i)]
            strides = {"rest": before * m, "b": rest * before * m, "i": 1, "before": m}
            shift = self.formats.delta_shift(source.fmt)
        else:  # l[(I_before, i), b, J_rest]
            strides = {"rest": 1, "b": rest, "i": b * rest, "before": m * b * rest}
            shift = self.formats.lane_shift(source.fmt, self.formats.tt)
        return Contract(
            summed=(
                Level(n, weight=b, operand=rest),
                Level(a, weight=m * n * b, operand=n * rest),
            ),
            kept=(
                Level(rest, operand=1, result=strides["rest"]),
                Level(m, weight=n * b, result=strides["i"]),
                Level(before, operand=a * n * rest, result=strides["before"]),
                Level(b, weight=1, result=strides["b"]),
            ),
            start=(self.merged[index, k, k + 1], source.address, 0, target),
            source=source.source,
            relu=source.relu,
            result=Result.SCRATCH,
            shift=shift,
            comment=f"layer {index + 1} left partial {k + 1}" + (" as environment" * last),
        )

    def _right_environment(self, index: int, k: int, source: Operand, target: int) -> Contract:
        """E_k from the right partial R_k[(J_before, j), I_after, b]."""
        layer = self.network.layers[index]
        a, _, n, b = layer.core_shapes[k]
        before, after = prod(layer.out_modes[:k]), prod(layer.out_modes[k + 1 :])
        inputs = prod(layer.in_modes[:k])
        return Contract(
            summed=(Level(inputs, weight=a, operand=n * after * b),),
            kept=(
                Level(after, operand=b, result=1),
                Level(before, weight=inputs * a, result=after),
                Level(b, operand=1, result=before * after),
                Level(n, operand=after * b, result=b * before * after),
                Level(a, weight=1, result=n * b * before * after),
            ),
            start=(self.merged[index, 0, k] if k else 0, source.address, 0, target),
            source=source.source,
            relu=source.relu,
            unit_weight=k == 0,
            result=Result.SCRATCH,
            shift=self.formats.delta_shift(source.fmt),
            comment=f"layer {index + 1} environment {k + 1}",
        )

    def _left_environment(self, index: int, k: int, source: Operand, target: int) -> Contract:
        """E_k from the left partial l_k[I_before, a, (j, J_after)]."""
        layer = self.network.layers[index]
        a, _, n, b = layer.core_shapes[k]
        before, after = prod(layer.out_modes[:k]), prod(layer.out_modes[k + 1 :])
        inputs = prod(layer.in_modes[k + 1 :])
        return Contract(
            summed=(Level(inputs, weight=1, operand=1),),
            kept=(
                Level(after, weight=inputs, result=1),
                Level(before, operand=a * n * inputs, result=after),
                Level(b, weight=after * inputs, result=before * after),
                Level(n, operand=inputs, result=b * before * after),
                Level(a, operand=n * inputs, result=n * b * before * after),
            ),
            start=(
                self.merged[index, k + 1, layer.n_tt_cores],
                source.address,
                0,
                target,
            ),
            source=source.source,
            relu=source.relu,
            result=Result.SCRATCH,
            shift=self.formats.delta_shift(source.fmt),
            comment=f"layer {index + 1} environment {k + 1}",
        )

    def _entries(self, index: int, k: int, environment: int) -> list[Contract | Loop]:
        """Evaluations of every entry (a, i, j, b) of TT-core k."""
        layer = self.network.layers[index]
        a, m, n, b = layer.core_shapes[k]
        before, after = prod(layer.out_modes[:k]), prod(layer.out_modes[k + 1 :])
        name = f"layer {index + 1} TT-core {k + 1}: entries"
        if index == len(self.network.layers) - 1:
            return [
                Contract(
                    summed=(),
                    kept=(
                        Level(after, operand=1, result=1),
                        Level(before, operand=after, result=m * after),
                        Level(n * b, operand=before * after),
                        Level(m, result=after),
                        Level(a, operand=n * b * before * after),
                    ),
                    start=(0, environment, 0, 0),
                    source=Source.SCRATCH,
                    unit_weight=True,
                    result=Result.DLOGIT,
                    evaluation_levels=2,
                    shift=self.formats.lane_shift(self.formats.delta, self.formats.dlogit),
                    comment=name,
                )
            ]
        outputs = layer.n_outputs
        inner = Contract(
            summed=(
                Level(after, weight=1, operand=1, aux=1),
                Level(before, weight=m * after, operand=after, aux=m * after),
            ),
            kept=(Level(self.network.layers[index + 1].n_outputs, weight=outputs, result=1),),
            start=(self._full(index + 1), environment, self.preact[index], 0),
            source=Source.DELTA,
            relu=layer.activation == Activation.RELU,
            result=Result.DLOGIT,
            evaluation_levels=1,
            shift=self.formats.lane_shift(self.formats.delta, self.formats.dlogit),
            comment=name,
        )
        entries = (
            Level(n * b, operand=before * after),
            Level(m, weight=after, aux=after),
            Level(a, operand=n * b * before * after),
        )
        return self._propagate(index + 1, inner, entries)

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
        following = self.network.layers[index + 1].n_outputs
        inner = Contract(
            summed=(),
            kept=(Level(following, weight=layer.n_outputs, result=1),),
            start=(self._full(index + 1), 0, self.preact[index], 0),
            source=Source.DELTA_CONSTANT,
            relu=layer.activation == Activation.RELU,
            constant_shift=mu,
            result=Result.DLOGIT,
            evaluation_levels=1,
            shift=formats.lane_shift(formats.delta, formats.dlogit),
            comment=name,
        )
        return self._propagate(index + 1, inner, (Level(layer.n_outputs, weight=1, aux=1),))

    def _full(self, index: int) -> int:
        return self.merged[index, 0, self.network.layers[index].n_tt_cores]

    def _propagate(
        self, index: int, inner: Contract, entries: tuple[Level, ...]
    ) -> list[Contract | Loop]:
        """Carry differences that ``inner`` makes of layer ``index``'s outputs on to the logits.

        For the last layer that is ``inner`` itself with the entries as outer counters; otherwise a
        loop over the entries, one contraction per layer.
        """
        if index == len(self.network.layers) - 1:
            return [replace(inner, kept=inner.kept + entries)]
        formats = self.formats
        weight, operand, aux = (any(level.strides[s] for level in entries) for s in range(3))
        target = self.scratch.allocate(self.network.layers[index].n_outputs)
        held = [target]
        body = [
            replace(
                inner,
                start=(*inner.start[:3], target),
                result=Result.SCRATCH,
                evaluation_levels=0,
                shift=formats.lane_shift(formats.delta, formats.delta),
                offset=(weight, operand, aux, False),
            )
        ]
        while index < len(self.network.layers) - 1:
            layer, following = self.network.layers[index : index + 2]
            last = index + 1 == len(self.network.layers) - 1
            source = target
            if not last:
                target = self.scratch.allocate(following.n_outputs)
                held.append(target)
            body.append(
                Contract(
                    summed=(Level(layer.n_outputs, weight=1, operand=1, aux=1),),
                    kept=(Level(following.n_outputs, weight=layer.n_outputs, result=1),),
                    start=(self._full(index + 1), source, self.preact[index], target * (not last)),
                    source=Source.DELTA,
                    relu=layer.activation == Activation.RELU,
                    result=Result.DLOGIT if last else Result.SCRATCH,
                    evaluation_levels=1 if last else 0,
                    shift=formats.lane_shift(
                        formats.delta, formats.dlogit if last else formats.delta
                    ),
                    loop_last=last,
                    comment=f"{inner.comment}, through layer {index + 2}",
                )
            )
            index += 1
        for address in held:
            self.scratch.free(address)
        return [Loop(entries, tuple(body))]
