"""Sums over losses: baselines, differences of the queries, and the gradient of each parameter.

No perturbation is stored. The generator's state at the beginning of every query is kept, and all
queries are replayed bit by bit, parameter by parameter.
"""

from enum import IntEnum

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe, sum_with_carry
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits, read_latency
from zerotrain.gateware.update.lfsr import lfsr_next
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, register
from zerotrain.spec.timing import CGE_PERIOD, RGE_PERIOD

__all__ = ["Gradient"]


class _Result(IntEnum):
    """Where the sum in the accumulator goes when it is complete."""

    OFFSET = 0
    DIFFERENCE = 1
    GRADIENT = 2


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
        Losses, by evaluation; on a compact chip in words of ``chip.difference_width`` bits.
    difference_w : Out(WritePort)
        On a compact chip: differences go to rows of that memory (``chip.loss_rows``), where others
        have one of their own.
    snapshot : In(WritePort)
        Generator state at the beginning of each query; written while this unit is idle.
    hold : In(1)
        A gradient stays in ``gradient`` until a cycle after ``valid`` with this low; its successor
        is summed afterwards. If it is always low, ``gradient`` is valid in the cycle of ``valid``.
    valid : Out(1)
        Pulse: ``gradient`` is that of the next parameter.
    gradient : Out(signed(...))
        In units of the loss (mean baseline: N times as large), exact.
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
    snapshot: wiring.PureInterface
    hold: Signal
    valid: Signal
    gradient: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._latency = read_latency(chip)
        # Cycles from an address to the complete sum: memory, operand register, accumulator.
        self._sum = self._latency + 2
        loss, n = chip.formats.loss.width, chip.query_depth
        self._difference = signed(chip.difference_width)
        # On a compact chip, losses and differences share a memory; they are never read at once.
        word = self._difference if chip.compact else signed(loss)
        losses = address_bits(chip.loss_rows)
        written = {"difference_w": Out(WritePort(losses, word))} if chip.compact else {}
        super().__init__(
            {
                "start": In(1),
                "cge": In(1),
                "queries": In(register("queries").width),
                "baseline": In(Baseline),
                "n_parameters": In(register("n_parameters").width),
                "busy": Out(1),
                "losses": Out(ReadPort(losses, word)),
                **written,
                "snapshot": In(WritePort(address_bits(n), chip.lfsr_degree)),
                "hold": In(1),
                "valid": Out(1),
                # |g| <= N |D|
                "gradient": Out(signed(loss + (n * (n - 1)).bit_length() + 1)),
            }
        )

    def cycles(self, *, cge: bool, n_parameters: int, queries: int, baseline: Baseline) -> int:
        """Cycles that ``busy`` is high."""
        if cge:
            return 1 + self._sum + (n_parameters - 1) * self.CGE_PERIOD + 1 + self._sum
        mean = baseline == Baseline.MEAN
        offset, differences = (queries, queries**2) if mean else (1, queries)
        if self._chip.compact:
            differences += (queries - 1) * self._sum
        gradients = (n_parameters - 1) * max(queries, self.RGE_PERIOD) + queries
        return offset + self._sum + differences + self._sum + gradients + self._sum

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        m.submodules.snapshots = snapshots = Memory(
            shape=chip.lfsr_degree, depth=chip.query_depth, init=[]
        )
        snapshot_r, snapshot_w = snapshots.read_port(), snapshots.write_port()
        # The row of the first difference, if those are among the losses.
        behind = chip.query_depth + 1
        if not chip.compact:
            m.submodules.differences = differences = Memory(
                shape=self._difference, depth=chip.query_depth, init=[]
            )
            difference_r, difference_w = differences.read_port(), differences.write_port()

        # Stage 0: addresses. `item` is the query, the term of a sum, or a cycle of a parameter.
        mean = ~self.cge & (self.baseline == Baseline.MEAN)
        item = Signal(range(max(128, chip.query_depth)))
        repeat = Signal(len(self.queries))
        # Evaluation of the parameter, counted from 1.
        evaluation = Signal(range(chip.parameter_depth + 2), init=1)
        n_parameters = self.n_parameters[: len(evaluation)]
        issue, first, last = Signal(), Signal(), Signal()
        result = Signal(_Result)
        replay, running = Signal(), Signal()
        settle = Signal(range(self._sum + 1))
        final_query = Signal()
        due = Signal()
        # Settings hold still, and so do counters of parameters for some cycles: what is asked of
        # them is known before. `final` tells that `evaluation` is that of the last parameter,
        # `final_query` that `item` is the last query, `due` that a parameter has had its cycles.
        last_query = Signal.like(self.queries, reset_less=True)
        last_query_but_one = Signal.like(self.queries, reset_less=True)
        single_query = Signal(reset_less=True)
        last_but_one = Signal(len(evaluation), reset_less=True)
        single, near_end = Signal(reset_less=True), Signal(reset_less=True)
        final = Signal()
        m.d.sync += [
            last_query.eq(self.queries - 1),
            last_query_but_one.eq(self.queries - 2),
            single_query.eq(self.queries == 1),
            last_but_one.eq(n_parameters - 1),
            single.eq(n_parameters == 1),
            near_end.eq(evaluation == last_but_one),
        ]
        m.d.comb += replay.eq(~self.cge & (result == _Result.GRADIENT))

        def restart() -> None:
            m.d.sync += [item.eq(0), final_query.eq(single_query), due.eq(0)]

        def advance() -> None:
            m.d.sync += [item.eq(item + 1), final_query.eq(item == last_query_but_one)]

        # From the first term of a gradient that is to be held until it has been taken.
        held = Signal()
        with m.If(issue & first & (result == _Result.GRADIENT)):
            m.d.sync += held.eq(self.hold)
        with m.Elif(~self.hold):
            m.d.sync += held.eq(0)
        with m.FSM() as fsm:
            with m.State("Idle"):
                restart()
                m.d.sync += [repeat.eq(0), evaluation.eq(1), settle.eq(0)]
                with m.If(self.start & n_parameters.any()):
                    m.next = "Offset"
            with m.State("Offset"):
                m.d.sync += final.eq(single)
                m.d.comb += [
                    self.losses.addr.eq(item),
                    result.eq(_Result.OFFSET),
                    issue.eq(settle == 0),
                    first.eq(item == 0),
                    last.eq(~mean | final_query),
                ]
                # The offset must be complete before a sum starts from it.
                with m.If(issue & ~last):
                    advance()
                with m.Else():
                    m.d.sync += settle.eq(settle + 1)
                with m.If(settle == self._sum):
                    restart()
                    m.d.sync += settle.eq(0)
                    m.next = "Differences"
                    with m.If(self.cge):
                        m.next = "Gradients"
            with m.State("Differences"):
                m.d.comb += [
                    self.losses.addr.eq(item + ~mean),
                    result.eq(_Result.DIFFERENCE),
                    issue.eq(settle == 0),
                    first.eq(repeat == 0),
                    last.eq(~mean | (repeat == last_query)),
                ]
                # On a compact chip, no loss is read in the cycle in which a difference is written.
                waits = last if chip.compact else last & final_query
                with m.If(issue & ~waits):
                    m.d.sync += repeat.eq(Mux(last, 0, repeat + 1))
                    with m.If(last):
                        advance()
                with m.Else():
                    m.d.sync += settle.eq(settle + 1)
                with m.If(settle == self._sum):
                    restart()
                    m.next = "Gradients"
                    if chip.compact:
                        with m.If(~final_query):
                            m.d.sync += [settle.eq(0), repeat.eq(0)]
                            advance()
                            m.next = "Differences"
            with m.State("Gradients"):
                # A parameter may need more cycles than there are queries: `item` is past them then.
                idle_tail = Signal()
                terms_done = idle_tail | last
                period = Mux(self.cge, self.CGE_PERIOD, self.RGE_PERIOD)
                m.d.comb += [
                    self.losses.addr.eq(
                        Mux(replay, item + behind, evaluation) if chip.compact else evaluation
                    ),
                    result.eq(_Result.GRADIENT),
                    issue.eq(~idle_tail),
                    first.eq(item == 0),
                    last.eq(self.cge | final_query),
                ]
                advance()
                m.d.sync += [due.eq(item >= period - 2), idle_tail.eq(terms_done)]
                with m.If(terms_done & due & ~held):
                    restart()
                    m.d.sync += [idle_tail.eq(0), evaluation.eq(evaluation + 1)]
                    m.d.sync += final.eq(near_end)
                with m.If(terms_done & final):
                    m.d.sync += idle_tail.eq(0)
                    m.next = "Idle"
        # The unit's own memories answer when that of the losses does: address and word are
        # registered as there.
        crossing = self._latency // 2
        own_item = pipe(m, item[: len(snapshot_r.addr)], crossing, "own_item", reset_less=True)
        state = pipe(m, snapshot_r.data, crossing, "state", reset_less=True)
        term = self.losses.data
        if not chip.compact:
            difference = pipe(m, difference_r.data, crossing, "difference", reset_less=True)
            m.d.comb += difference_r.addr.eq(own_item)
        m.d.comb += [running.eq(~fsm.ongoing("Idle")), snapshot_r.addr.eq(own_item)]
        coming = [issue]
        for k in range(1, self._latency):
            coming.append(pipe(m, coming[-1], 1, f"coming_{k}"))
        tags = Cat(first, last, replay, result, item[: len(snapshot_r.addr)])
        tags = pipe(m, tags, self._latency - 1, "tags", reset_less=True)

        # Stage 1: the word arrives; the replayed state moves on by one bit. No state is read in the
        # cycle it is written: a round takes longer.
        p1_issue, p1_first, p1_last, p1_replay = Signal(), Signal(), Signal(), Signal()
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

        if not chip.compact:
            term = Mux(p1_replay, difference, term)

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
        written = self.difference_w if chip.compact else difference_w
        m.d.comb += [
            written.en.eq(p3_done & (p3_result == _Result.DIFFERENCE)),
            written.addr.eq(p3_item + behind if chip.compact else p3_item),
            written.data.eq(acc),
            self.valid.eq(p3_done & (p3_result == _Result.GRADIENT)),
            self.gradient.eq(acc),
            self.busy.eq(running | Cat(*coming[1:], p1_issue, p2_issue, p3_done).any()),
        ]
        return m
