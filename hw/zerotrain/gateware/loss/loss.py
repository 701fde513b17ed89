"""The loss units: logits of one evaluation after another in, losses of the batch out."""

from abc import abstractmethod

from amaranth import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe, saturate
from zerotrain.gateware.loss.logits import LogitPort, LogitSweep
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import register

__all__ = ["LossUnit", "SweptLoss"]


class LossUnit(wiring.Component):
    """What the loss units have in common: what they do, and their ports.

    Golden model: :func:`zerotrain.golden.loss.accumulate` of the sample losses (bit-exact).

    An evaluation is C = ``n_outputs`` words of logits (a base evaluation) or up to C words of
    differences to the logits of the last base evaluation; outputs not written have difference zero.
    The engine reserves a buffer, writes, and marks the last write. Evaluations are numbered from
    ``first_evaluation`` in the order of their arrival, and each adds the sum over the active lanes
    to its word of the losses memory.

    Parameters
    ----------
    chip : Chip
        Lanes, ways, formats, depths.

    Members
    -------
    logits : In(LogitPort)
        Writes of the engine.
    reserve_base, reserve_delta : In(1)
        Pulse before the first write of an evaluation: its buffer is claimed.
    base_free, delta_free : Out(1)
        A claim may be made in this cycle: fewer than two evaluations are reserved or pending.
    pass_start : In(1)
        Pulse before the first reservation of a pass, while not ``busy``. The next five members are
        valid with it and hold still until the next one.
    first_evaluation : In(range(evaluation_depth))
        Number of the pass's first evaluation.
    first_pass : In(1)
        Overwrite losses instead of adding to them.
    target_row : In(range(target_rows))
        Row of the pass's first target.
    active_lanes : In(range(lanes + 1))
        Lanes that hold samples, at least 1.
    n_outputs : In(7)
        Outputs C of the network.
    targets : Out(ReadPort)
        Target memory: a word per way, way 0 lowest.
    losses, losses_w : Out(ReadPort), Out(WritePort)
        Losses memory, by evaluation. No evaluation is read in the cycle it is written.
    correct : Out
        Of the batch. On a compact chip as wide as the number of samples that there are targets for.
        Correct predictions in base evaluations (softmax).
    clear : In(1)
        Set ``correct`` to zero.
    score : In(1)
        Count correct predictions.
    saturated : Out(1)
        Pulse: a loss was clamped.
    busy : Out(1)
        Anything is reserved, pending or not yet written.
    """

    logits: wiring.PureInterface
    reserve_base: Signal
    reserve_delta: Signal
    base_free: Signal
    delta_free: Signal
    pass_start: Signal
    first_evaluation: Signal
    first_pass: Signal
    target_row: Signal
    active_lanes: Signal
    n_outputs: Signal
    targets: wiring.PureInterface
    losses: wiring.PureInterface
    losses_w: wiring.PureInterface
    correct: Signal
    clear: Signal
    score: Signal
    saturated: Signal
    busy: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._groups = chip.layout.lanes_per_way
        f, rows = chip.formats, range(chip.target_rows)
        evaluations = address_bits(chip.evaluation_depth)
        self._target_width = chip.target_width
        loss = signed(f.loss.width)
        counted = range(chip.target_depth * chip.loss_ways + 1)
        super().__init__(
            {
                "logits": In(LogitPort(chip)),
                "reserve_base": In(1),
                "reserve_delta": In(1),
                "base_free": Out(1),
                "delta_free": Out(1),
                "pass_start": In(1),
                "first_evaluation": In(range(chip.evaluation_depth)),
                "first_pass": In(1),
                "target_row": In(rows),
                "active_lanes": In(range(chip.lanes + 1)),
                "n_outputs": In(register("n_outputs").width),
                "targets": Out(
                    ReadPort(address_bits(len(rows)), unsigned(chip.loss_ways * self._target_width))
                ),
                "losses": Out(ReadPort(evaluations, loss)),
                "losses_w": Out(WritePort(evaluations, loss)),
                "correct": Out(counted if chip.compact else register("correct").width),
                "clear": In(1),
                "score": In(1),
                "saturated": Out(1),
                "busy": Out(1),
            }
        )

    def _target(self, way: int) -> Value:
        width = self._target_width
        return self.targets.data[way * width : (way + 1) * width]


class SweptLoss(LossUnit):
    """Common part of the loss units that take an output of every way in each cycle.

    Throughput: one evaluation of differences in ``chip.loss_timing.cycles(n_outputs)`` cycles.
    Evaluations follow one another without a pause, but none begins before a base evaluation is
    complete.

    Parameters
    ----------
    chip : Chip
    sweep : type of LogitSweep
        The walk over the logits: :class:`~zerotrain.gateware.loss.logits.DifferenceSweep` where
        evaluations of differences follow those of logits.
    fabric_multiplier : bool
        Softmax: interpolate without DSP blocks, where the lanes need them all.
    """

    #: Most evaluations of which a sweep has begun and the sum over the lanes is not yet complete.
    _in_flight = 31

    def __init__(
        self, chip: Chip, sweep: type[LogitSweep], *, fabric_multiplier: bool = False
    ) -> None:
        super().__init__(chip)
        self._sweep = sweep
        self._fabric = fabric_multiplier

    @abstractmethod
    def _pass_losses(self, m: Module, sweep: LogitSweep) -> tuple[Value, Value, Value]:
        """Everything between the elements of the sweep and the sum over the active lanes.

        Returns a pulse per evaluation, the exact sum that is valid with it, and a bit that pulses
        if a value was clamped.
        """

    def _lane_sum(
        self, m: Module, name: str, valid: Value, end: Value, terms: list[Value], count: int
    ) -> tuple[Value, Value]:
        """Sum of ``terms`` over all ``valid`` cycles, at most ``count``, up to one with ``end``.

        Returns a pulse and the sum, which is valid in that cycle only.
        """
        level = 0
        while len(terms) > 1:
            level += 1
            pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
            terms = [
                pipe(m, sum(pair[1:], pair[0]), 1, f"{name}_{level}_{k}", reset_less=True)
                for k, pair in enumerate(pairs)
            ]
            valid = pipe(m, valid, 1, f"{name}_valid_{level}")
            end = pipe(m, end, 1, f"{name}_end_{level}", reset_less=True)
        (term,) = terms
        total = Signal(
            signed(Shape.cast(term.shape()).width + (count - 1).bit_length()),
            name=f"{name}_total",
            reset_less=True,
        )
        fresh = Signal(init=1, name=f"{name}_fresh")
        with m.If(valid):
            m.d.sync += [total.eq(Mux(fresh, 0, total) + term), fresh.eq(end)]
        return pipe(m, valid & end, 1, f"{name}_done"), total

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sweep = sweep = self._make_sweep()
        wiring.connect(m, wiring.flipped(self.logits), sweep.logits)
        m.d.comb += [
            sweep.reserve.eq(self.reserve_base | self.reserve_delta),
            self.base_free.eq(sweep.free),
            self.delta_free.eq(sweep.free),
            sweep.target_row.eq(self.target_row),
            sweep.active_lanes.eq(self.active_lanes),
            sweep.n_outputs.eq(self.n_outputs),
            sweep.turns.eq(self._turns()),
            self.targets.addr.eq(sweep.target_addr),
        ]

        done, total, clamped = self._pass_losses(m, sweep)
        # The word of the evaluation is read in the cycle its sum is complete, unless it is new.
        evaluation = Signal.like(self.losses.addr)
        with m.If(self.pass_start):
            m.d.sync += evaluation.eq(self.first_evaluation)
        with m.Elif(done):
            m.d.sync += evaluation.eq(evaluation + 1)
        width, latency = self._chip.formats.loss.width, self._chip.timing.read_latency
        adding = [done]
        for k in range(latency + 2):
            adding.append(pipe(m, adding[-1], 1, f"r{k + 1}_done"))
        p1_total = pipe(m, total, latency + 1, "r_total", reset_less=True)
        p1_word = pipe(m, Mux(self.first_pass, 0, self.losses.data), 1, "r_word", reset_less=True)
        p2_sum = pipe(m, p1_total + p1_word, 1, "r_sum", reset_less=True)
        p2_evaluation = pipe(m, evaluation, latency + 2, "r_evaluation", reset_less=True)
        word, overflow = saturate(p2_sum, width)
        m.d.comb += [
            self.losses.addr.eq(evaluation),
            self.losses_w.en.eq(adding[-1]),
            self.losses_w.addr.eq(p2_evaluation),
            self.losses_w.data.eq(word),
            self.saturated.eq((adding[-1] & overflow) | clamped),
        ]

        in_flight = Signal(range(self._in_flight + 1))
        m.d.sync += in_flight.eq(in_flight + sweep.started - done)
        m.d.comb += [
            sweep.stall.eq(in_flight == self._in_flight),
            sweep.drained.eq(in_flight == 0),
            self.busy.eq(sweep.busy | (in_flight != 0) | Cat(adding[1:]).any()),
        ]
        return m

    @abstractmethod
    def _make_sweep(self) -> LogitSweep:
        """The walk over the logits that this loss needs."""

    @abstractmethod
    def _turns(self) -> Value:
        """Cycles per group of the sweep, as in ``chip.loss_timing``."""
