"""Sums over losses: baselines, differences of the queries, and the gradient of each parameter.

No perturbation is stored. The generator's state at the beginning of every query is kept, and all
queries are replayed bit by bit, parameter by parameter.
"""

from abc import abstractmethod
from enum import IntEnum

from amaranth import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe, sum_with_carry
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.update.lfsr import lfsr_next
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, register
from zerotrain.spec.timing import CGE_PERIOD, RGE_PERIOD

__all__ = ["CompactGradient", "Gradient", "PipelinedGradient"]


class _Result(IntEnum):
    """Where the sum in the accumulator goes when it is complete."""

    OFFSET = 0
    DIFFERENCE = 1
    GRADIENT = 2


class _Walk:
    """Where the sums are: counters of stage 0, and the term that they ask for in this cycle.

    ``item`` is the query, the term of a sum, or a cycle of a parameter; ``repeat`` counts the terms
    of a difference; ``evaluation`` is that of the parameter, counted from 1. Settings hold still,
    and so do counters of parameters for some cycles: what is asked of them is known before.
    ``final`` tells that ``evaluation`` is that of the last parameter, ``final_query`` that ``item``
    is the last query, ``due`` that a parameter has had its cycles.
    """

    def __init__(self, m: Module, chip: Chip, unit: "Gradient", settle: int) -> None:
        self.mean = ~unit.cge & (unit.baseline == Baseline.MEAN)
        self.item = Signal(range(max(128, chip.query_depth)))
        self.repeat = Signal(len(unit.queries))
        self.evaluation = Signal(range(chip.parameter_depth + 2), init=1)
        self.issue = Signal()
        self.first = Signal()
        self.last = Signal()
        self.result = Signal(_Result)
        self.replay = Signal()
        self.settle = Signal(range(settle + 1))
        self.final_query = Signal()
        self.due = Signal()
        self.final = Signal()
        self.last_query = Signal.like(unit.queries, reset_less=True)
        self.last_query_but_one = Signal.like(unit.queries, reset_less=True)
        self.single_query = Signal(reset_less=True)
        n_parameters = unit.n_parameters[: len(self.evaluation)]
        self.some = n_parameters.any()
        last_but_one = Signal(len(self.evaluation), reset_less=True)
        self.single = Signal(reset_less=True)
        self.near_end = Signal(reset_less=True)
        m.d.sync += [
            self.last_query.eq(unit.queries - 1),
            self.last_query_but_one.eq(unit.queries - 2),
            self.single_query.eq(unit.queries == 1),
            last_but_one.eq(n_parameters - 1),
            self.single.eq(n_parameters == 1),
            self.near_end.eq(self.evaluation == last_but_one),
        ]
        m.d.comb += self.replay.eq(~unit.cge & (self.result == _Result.GRADIENT))

    def restart(self, m: Module) -> None:
        m.d.sync += [self.item.eq(0), self.final_query.eq(self.single_query), self.due.eq(0)]

    def advance(self, m: Module) -> None:
        m.d.sync += [
            self.item.eq(self.item + 1),
            self.final_query.eq(self.item == self.last_query_but_one),
        ]


class Gradient(wiring.Component):
    """The exact gradient of every parameter, in parameter order.

    Golden model: :func:`zerotrain.golden.update.differences`, ``rge_gradient``, ``cge_gradient``
    (bit-exact).

    One accumulator forms all sums: the offset (minus the baseline), the difference of each query
    (``N * L_i`` by repeated addition), then the gradient of each parameter.

    Throughput: ``max(N, RGE_PERIOD)`` cycles per parameter of RGE, ``CGE_PERIOD`` of CGE.
    Latency: the last gradient appears in the last of the :meth:`cycles` busy cycles.

    Parameters
    ----------
    chip : Chip
        Loss format, depths and generator degree.

    Members
    -------
    start : In(1)
        Begin. Only while not ``busy``. Inputs up to ``n_parameters`` hold still from two cycles
        before until ``busy`` falls.
    cge : In(1)
        Losses are those of CGE, else of RGE.
    queries, baseline, n_parameters
        The registers of these names. At most ``query_depth`` queries.
    busy : Out(1)
    losses : Out(ReadPort)
        Losses, by evaluation.
    difference_w : Out(WritePort)
        Of the same memory, for differences that are kept there (:class:`CompactGradient`).
    snapshot : In(WritePort)
        Generator state at the beginning of each query; written while this unit is idle.
    hold : In(1)
        A gradient stays in ``gradient`` until a cycle after ``valid`` with this low; its successor
        is summed afterwards. If it is always low, ``gradient`` is valid in the cycle of ``valid``.
    valid : Out(1)
        Pulse: ``gradient`` is that of the next parameter.
    gradient : Out(signed(chip.gradient_width))
        In units of the loss (mean baseline: N times as large), exact.
    given : In(1)
        On a chip that splits its steps: the differences are in the losses' memory, for a step of
        RGE. Holds still as ``cge`` does.
    """

    #: Least cycles between two parameters, see :class:`~zerotrain.gateware.update.update.Update`.
    CGE_PERIOD, RGE_PERIOD = CGE_PERIOD, RGE_PERIOD

    start: Signal
    cge: Signal
    queries: Signal
    baseline: Signal
    n_parameters: Signal
    busy: Signal
    losses: wiring.PureInterface
    difference_w: wiring.PureInterface
    snapshot: wiring.PureInterface
    hold: Signal
    valid: Signal
    gradient: Signal
    given: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._latency = chip.timing.read_latency
        # Cycles from an address to the complete sum: memory, operand register, accumulator.
        self._sum = self._latency + 2
        self._difference = signed(chip.difference_width)
        losses, word = address_bits(chip.loss_rows), self._word()
        super().__init__(
            {
                "start": In(1),
                "cge": In(1),
                "queries": In(register("queries").width),
                "baseline": In(Baseline),
                "n_parameters": In(register("n_parameters").width),
                "busy": Out(1),
                "losses": Out(ReadPort(losses, word)),
                "difference_w": Out(WritePort(losses, word)),
                "snapshot": In(WritePort(address_bits(chip.query_depth), chip.lfsr_degree)),
                "hold": In(1),
                "valid": Out(1),
                "gradient": Out(signed(chip.gradient_width)),
                **({"given": In(1)} if chip.split else {}),
            }
        )

    @abstractmethod
    def _word(self) -> Shape:
        """A word of the losses' memory."""

    @abstractmethod
    def _pauses(self, queries: int) -> int:
        """Cycles between the differences of a step."""

    @abstractmethod
    def _pause(self, w: _Walk) -> Value:
        """The sum is to be complete before another term is asked for, in ``Differences``."""

    @abstractmethod
    def _resume(self, m: Module, w: _Walk) -> None:
        """Go on after that."""

    @abstractmethod
    def _row(self, w: _Walk) -> Value:
        """Row of the losses' memory that a gradient's term is read from."""

    @abstractmethod
    def _place(self, item: Value) -> Value:
        """Row of a query's difference."""

    @abstractmethod
    def _terms(
        self, m: Module, replay: Value, item: Value, crossing: int
    ) -> tuple[Value, wiring.PureInterface]:
        """The word that is added in stage 1, and a write port for differences, by query.

        ``item`` is the query as its memory is told, ``crossing`` cycles after stage 0; the answer
        is registered as often. ``replay`` tells that the word is a difference.
        """

    def cycles(
        self,
        *,
        cge: bool,
        n_parameters: int,
        queries: int,
        baseline: Baseline,
        given: bool = False,
    ) -> int:
        """Cycles that ``busy`` is high."""
        if cge:
            return 1 + self._sum + (n_parameters - 1) * self.CGE_PERIOD + 1 + self._sum
        gradients = (n_parameters - 1) * max(queries, self.RGE_PERIOD) + queries
        if given:
            return gradients + self._sum
        mean = baseline == Baseline.MEAN
        offset, differences = (queries, queries**2) if mean else (1, queries)
        differences += self._pauses(queries)
        return offset + self._sum + differences + self._sum + gradients + self._sum

    def elaborate(self, platform: object) -> Module:
        m = Module()
        w = _Walk(m, self._chip, self, self._sum)
        # From the first term of a gradient that is to be held until it has been taken.
        held = Signal()
        with m.If(w.issue & w.first & (w.result == _Result.GRADIENT)):
            m.d.sync += held.eq(self.hold)
        with m.Elif(~self.hold):
            m.d.sync += held.eq(0)
        with m.FSM() as fsm:
            with m.State("Idle"):
                w.restart(m)
                m.d.sync += [w.repeat.eq(0), w.evaluation.eq(1), w.settle.eq(0)]
                with m.If(self.start & w.some):
                    m.next = "Offset"
                    self._skip(m, w)
            with m.State("Offset"):
                self._offset(m, w)
            with m.State("Differences"):
                self._differences(m, w)
            with m.State("Gradients"):
                self._gradients(m, w, held)
        running = Signal()
        m.d.comb += running.eq(~fsm.ongoing("Idle"))
        self._accumulate(m, w, running)
        return m

    def _skip(self, m: Module, w: _Walk) -> None:
        """Begins with the gradients where differences are given."""
        if self._chip.split:
            with m.If(self.given):
                m.d.sync += w.final.eq(w.single)
                m.next = "Gradients"

    def _offset(self, m: Module, w: _Walk) -> None:
        """Asks for the terms of the offset."""
        m.d.sync += w.final.eq(w.single)
        m.d.comb += [
            self.losses.addr.eq(w.item),
            w.result.eq(_Result.OFFSET),
            w.issue.eq(w.settle == 0),
            w.first.eq(w.item == 0),
            w.last.eq(~w.mean | w.final_query),
        ]
        # The offset must be complete before a sum starts from it.
        with m.If(w.issue & ~w.last):
            w.advance(m)
        with m.Else():
            m.d.sync += w.settle.eq(w.settle + 1)
        with m.If(w.settle == self._sum):
            w.restart(m)
            m.d.sync += w.settle.eq(0)
            m.next = "Differences"
            with m.If(self.cge):
                m.next = "Gradients"

    def _differences(self, m: Module, w: _Walk) -> None:
        """Asks for the terms of every query's difference."""
        m.d.comb += [
            self.losses.addr.eq(w.item + ~w.mean),
            w.result.eq(_Result.DIFFERENCE),
            w.issue.eq(w.settle == 0),
            w.first.eq(w.repeat == 0),
            w.last.eq(~w.mean | (w.repeat == w.last_query)),
        ]
        with m.If(w.issue & ~self._pause(w)):
            m.d.sync += w.repeat.eq(Mux(w.last, 0, w.repeat + 1))
            with m.If(w.last):
                w.advance(m)
        with m.Else():
            m.d.sync += w.settle.eq(w.settle + 1)
        with m.If(w.settle == self._sum):
            w.restart(m)
            m.next = "Gradients"
            self._resume(m, w)

    def _gradients(self, m: Module, w: _Walk, held: Value) -> None:
        """Asks for the terms of every parameter's gradient."""
        # A parameter may need more cycles than there are queries: `item` is past them then.
        idle_tail = Signal()
        terms_done = idle_tail | w.last
        period = Mux(self.cge, self.CGE_PERIOD, self.RGE_PERIOD)
        m.d.comb += [
            self.losses.addr.eq(self._row(w)),
            w.result.eq(_Result.GRADIENT),
            w.issue.eq(~idle_tail),
            w.first.eq(w.item == 0),
            w.last.eq(self.cge | w.final_query),
        ]
        w.advance(m)
        m.d.sync += [w.due.eq(w.item >= period - 2), idle_tail.eq(terms_done)]
        with m.If(terms_done & w.due & ~held):
            w.restart(m)
            m.d.sync += [idle_tail.eq(0), w.evaluation.eq(w.evaluation + 1)]
            m.d.sync += w.final.eq(w.near_end)
        with m.If(terms_done & w.final):
            m.d.sync += idle_tail.eq(0)
            m.next = "Idle"

    def _accumulate(self, m: Module, w: _Walk, running: Value) -> None:
        """Stages 1 to 3: terms, the accumulator, complete sums."""
        chip = self._chip
        m.submodules.snapshots = snapshots = Memory(
            shape=chip.lfsr_degree, depth=chip.query_depth, init=[]
        )
        snapshot_r, snapshot_w = snapshots.read_port(), snapshots.write_port()
        # The unit's own memories answer when that of the losses does: address and word are
        # registered as there.
        crossing = self._latency // 2
        own_item = pipe(m, w.item[: len(snapshot_r.addr)], crossing, "own_item", reset_less=True)
        state = pipe(m, snapshot_r.data, crossing, "state", reset_less=True)
        p1_replay = Signal()
        term, difference_w = self._terms(m, p1_replay, own_item, crossing)
        m.d.comb += snapshot_r.addr.eq(own_item)
        coming = [w.issue]
        for k in range(1, self._latency):
            coming.append(pipe(m, coming[-1], 1, f"coming_{k}"))
        tags = Cat(w.first, w.last, w.replay, w.result, w.item[: len(snapshot_r.addr)])
        tags = pipe(m, tags, self._latency - 1, "tags", reset_less=True)

        # Stage 1: the word arrives; the replayed state moves on by one bit. No state is read in the
        # cycle it is written: a round takes longer.
        p1_issue, p1_first, p1_last = Signal(), Signal(), Signal()
        p1_result = Signal(_Result)
        p1_item = Signal.like(snapshot_r.addr, reset_less=True)
        m.d.sync += [
            p1_issue.eq(coming[-1]),
            Cat(p1_first, p1_last, p1_replay, p1_result, p1_item).eq(tags),
        ]
        with m.If(p1_issue & p1_replay):
            m.d.comb += [
                snapshot_w.en.eq(1),
                snapshot_w.addr.eq(p1_item),
                snapshot_w.data.eq(lfsr_next(state)),
            ]
        with m.Else():
            m.d.comb += [
                snapshot_w.en.eq(self.snapshot.en & ~self.busy),
                snapshot_w.addr.eq(self.snapshot.addr),
                snapshot_w.data.eq(self.snapshot.data),
            ]

        # Stage 2: the accumulator. A sum of differences and a gradient of CGE start at the offset.
        subtract = Mux(p1_replay, ~state[0], p1_result == _Result.OFFSET)
        p2_issue, p2_first, p2_last = Signal(), Signal(), Signal()
        p2_subtract, p2_offset = Signal(), Signal()
        p2_result = Signal(_Result)
        p2_item = Signal.like(p1_item, reset_less=True)
        p2_operand = Signal(self._difference, reset_less=True)
        offset = Signal(self._difference, reset_less=True)
        acc = Signal(self.gradient.shape(), reset_less=True)
        m.d.sync += [
            p2_issue.eq(p1_issue), p2_first.eq(p1_first), p2_last.eq(p1_last),
            p2_result.eq(p1_result), p2_item.eq(p1_item),
            p2_operand.eq(term ^ subtract.replicate(len(p2_operand))),
            p2_subtract.eq(subtract),
            p2_offset.eq(~p1_replay & (p1_result != _Result.OFFSET)),
        ]  # fmt: skip
        base = Mux(p2_first, Mux(p2_offset, offset, 0), acc)
        with m.If(p2_issue):
            m.d.sync += acc.eq(sum_with_carry(base, p2_operand, p2_subtract))

        # Stage 3: the sum is complete.
        p3_done = Signal()
        p3_result = Signal(_Result)
        p3_item = Signal.like(p2_item, reset_less=True)
        m.d.sync += [
            p3_done.eq(p2_issue & p2_last), p3_result.eq(p2_result), p3_item.eq(p2_item),
        ]  # fmt: skip
        with m.If(p3_done & (p3_result == _Result.OFFSET)):
            m.d.sync += offset.eq(acc)
        m.d.comb += [
            difference_w.en.eq(p3_done & (p3_result == _Result.DIFFERENCE)),
            difference_w.addr.eq(self._place(p3_item)),
            difference_w.data.eq(acc),
            self.valid.eq(p3_done & (p3_result == _Result.GRADIENT)),
            self.gradient.eq(acc),
            self.busy.eq(running | Cat(*coming[1:], p1_issue, p2_issue, p3_done).any()),
        ]


class PipelinedGradient(Gradient):
    """Keeps the differences in a small memory of its own, so that all follow one another."""

    def _word(self) -> Shape:
        return signed(self._chip.formats.loss.width)

    def _pauses(self, queries: int) -> int:
        return 0

    def _pause(self, w: _Walk) -> Value:
        return w.last & w.final_query

    def _resume(self, m: Module, w: _Walk) -> None:
        pass

    def _row(self, w: _Walk) -> Value:
        return w.evaluation

    def _place(self, item: Value) -> Value:
        return item

    def _terms(
        self, m: Module, replay: Value, item: Value, crossing: int
    ) -> tuple[Value, wiring.PureInterface]:
        m.submodules.differences = differences = Memory(
            shape=self._difference, depth=self._chip.query_depth, init=[]
        )
        read = differences.read_port()
        difference = pipe(m, read.data, crossing, "difference", reset_less=True)
        m.d.comb += read.addr.eq(item)
        return Mux(replay, difference, self.losses.data), differences.write_port()


class CompactGradient(Gradient):
    """Keeps the differences behind the losses, in words of ``chip.difference_width`` bits: on
    compact chips, and where steps are split, since the host reaches them there.

    No loss is read in the cycle in which a difference is written: after each of these, the sum
    settles.
    """

    def _word(self) -> Shape:
        # With steps split, the loss unit may be given some bits of it: of a signed word, Yosys may
        # stop on them.
        return unsigned(self._difference.width) if self._chip.split else self._difference

    def _pauses(self, queries: int) -> int:
        return (queries - 1) * self._sum

    def _pause(self, w: _Walk) -> Value:
        return w.last

    def _resume(self, m: Module, w: _Walk) -> None:
        with m.If(~w.final_query):
            m.d.sync += [w.settle.eq(0), w.repeat.eq(0)]
            w.advance(m)
            m.next = "Differences"

    def _row(self, w: _Walk) -> Value:
        return Mux(w.replay, self._place(w.item), w.evaluation)

    def _place(self, item: Value) -> Value:
        return item + self._chip.difference_row

    def _terms(
        self, m: Module, replay: Value, item: Value, crossing: int
    ) -> tuple[Value, wiring.PureInterface]:
        return self.losses.data, self.difference_w
