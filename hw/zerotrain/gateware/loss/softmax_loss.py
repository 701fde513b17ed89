"""Softmax cross-entropy and the number of correct predictions, beside the engine's products."""

from amaranth import Array, Cat, Module, Mux, Signal, Value

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.loss.interpolate import Interpolator
from zerotrain.gateware.loss.logits import LogitSweep
from zerotrain.gateware.loss.loss import SweptLoss
from zerotrain.gateware.loss.softmax_sums import Logarithm, SoftmaxSums
from zerotrain.spec.tables import EXP2, LOG2

__all__ = ["SoftmaxLoss"]


class SoftmaxLoss(SweptLoss):
    """Softmax cross-entropy and number of correct predictions.

    Golden model: :func:`zerotrain.golden.loss.softmax_loss`, ``reference`` and ``correct``.

    The loss of a lane is ``tail - head``: ``head = u_t - ref`` of the true output, and ``tail`` the
    logarithm of the sum of exponentials. The ways sum exponentials side by side; one logarithm,
    shared by all, takes one sum per cycle. A single way also shares its interpolator: the logarithm
    takes the idle cycle between two groups.

    A base evaluation takes ``G n_outputs`` cycles longer than one of differences, with
    G = ceil(active_lanes / ways).
    """

    _in_flight = 2  # one bit tells the places of their heads apart

    def _make_sweep(self) -> LogitSweep:
        width = self._chip.formats.logit.width
        return self._sweep(self._chip, twice=True, outputs_per_row=False, kept_width=width)

    def _turns(self) -> Value:
        ways = self._chip.loss_ways
        if ways == 1:
            return self.n_outputs + 1
        return Mux(self.n_outputs > ways, self.n_outputs, ways)

    def _pass_losses(self, m: Module, sweep: LogitSweep) -> tuple[Value, Value, Value]:
        ways = self._chip.loss_ways
        m.submodules.sums = sums = SoftmaxSums(self._chip)
        m.submodules.logarithm = logarithm = Logarithm()
        m.d.comb += [
            getattr(sums, name).eq(getattr(sweep, name))
            for name in ("find", "valid", "first", "last", "base")
        ]
        for k in range(ways):
            m.d.comb += [
                # A lane without a sample has no true output: its head is 0, and it never hits.
                sums.match[k].eq((self._target(k) == sweep.index) & sweep.active[k]),
                sums.word[k].eq(sweep.word[k]),
                sums.kept[k].eq(sweep.kept[k]),
                sweep.keep[k].eq(sums.keep[k]),
            ]
        self._interpolators(m, sums, logarithm)
        self._count_hits(m, sweep, sums)

        head_done, head = self._lane_sum(
            m,
            "head",
            pipe(m, sweep.valid & sweep.last, 3, "head_valid"),
            pipe(m, sweep.end, 3, "head_end", reset_less=True),
            list(sums.head),
            self._groups,
        )
        tail_done, tail, saturated = self._tails(m, sums, logarithm)
        # A head is complete long before its tail.
        heads = [Signal(head.shape(), name=f"head_{k}", reset_less=True) for k in range(2)]
        arriving, leaving = Signal(), Signal()
        m.d.sync += [arriving.eq(arriving ^ head_done), leaving.eq(leaving ^ tail_done)]
        for k, place in enumerate(heads):
            with m.If(head_done & (arriving == k)):
                m.d.sync += place.eq(head)
        return tail_done, tail - Mux(leaving, heads[1], heads[0]), saturated

    def _interpolators(self, m: Module, sums: SoftmaxSums, logarithm: Logarithm) -> None:
        fabric = self._fabric
        if self._chip.loss_ways == 1:
            m.submodules.interpolator = shared = Interpolator(EXP2, LOG2, fabric=fabric)
            m.d.comb += [
                shared.curve.eq(~sums.request),
                shared.argument.eq(Mux(sums.request, sums.argument[0], logarithm.argument)),
                sums.value[0].eq(shared.value),
                logarithm.value.eq(shared.value),
            ]
            return
        units = [(EXP2, sums.argument[k], sums.value[k]) for k in range(self._chip.loss_ways)]
        units.append((LOG2, logarithm.argument, logarithm.value))
        for k, (curve, argument, value) in enumerate(units):
            m.submodules[f"interpolator{k}"] = unit = Interpolator(curve, fabric=fabric)
            m.d.comb += [unit.argument.eq(argument), value.eq(unit.value)]

    def _count_hits(self, m: Module, sweep: LogitSweep, sums: SoftmaxSums) -> None:
        """Correct predictions, by the maxima of base evaluations."""
        found = pipe(m, sweep.find & sweep.last, 1, "found")
        hits = list(sums.maximum_hit)
        hit_count = pipe(m, sum(hits[1:], hits[0]), 1, "hit_count", reset_less=True)
        counted = pipe(m, found, 1, "counted")
        with m.If(self.clear):
            m.d.sync += self.correct.eq(0)
        with m.Elif(counted & self.score):
            m.d.sync += self.correct.eq(self.correct + hit_count)

    def _tails(
        self, m: Module, sums: SoftmaxSums, logarithm: Logarithm
    ) -> tuple[Value, Value, Value]:
        """Logarithms of all sums, one after the other, and their sum over the active lanes.

        Returns a pulse per evaluation, the sum, and a pulse for each that is held at the limit.
        """
        ways = self._chip.loss_ways
        # Sums wait here while those of the next group are being formed.
        totals = [Signal(32, name=f"waiting{k}", reset_less=True) for k in range(ways)]
        full = Signal(ways, reset_less=True)
        waiting, way = Signal(range(ways + 1)), Signal(range(ways))
        remaining = Signal.like(self.active_lanes)
        issue, end = Signal(), Signal()
        # With an interpolator of its own the logarithm need not wait for an idle one.
        m.d.comb += [
            issue.eq(waiting.any() & (~sums.soon if ways == 1 else 1)),
            end.eq((waiting == 1) & (remaining <= 1)),
        ]
        with m.If(issue):
            m.d.sync += [waiting.eq(waiting - 1), way.eq(way + 1)]
            with m.If(remaining.any()):
                m.d.sync += remaining.eq(remaining - 1)
        with m.If(sums.done):
            m.d.sync += [waiting.eq(ways), way.eq(0), full.eq(sums.full)]
            m.d.sync += [totals[k].eq(sums.total[k]) for k in range(ways)]
        with m.If((issue & end) | ~self.busy):
            m.d.sync += remaining.eq(self.active_lanes)

        m.d.comb += logarithm.total.eq(pipe(m, Array(totals)[way], 1, "issued", reset_less=True))
        valid = pipe(m, issue, 1 + logarithm.latency, "tail_valid")
        tags = pipe(
            m, Cat(end, remaining.any()), 1 + logarithm.latency, "tail_tags", reset_less=True
        )
        done, total = self._lane_sum(
            m,
            "tail",
            valid,
            tags[0],
            [Mux(tags[1], logarithm.result, 0)],
            self._groups * ways,
        )
        saturated = issue & remaining.any() & full.bit_select(way, 1)
        return done, total, saturated
