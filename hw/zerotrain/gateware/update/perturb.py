"""The perturbation unit: writes copies of theta into the weight memory.

A copy is theta itself, theta +- mu, or theta with one parameter raised.

It owns the free-running generator. The update unit replays the generator of every query from
snapshots of its state that this unit sends it; connect the two by

    wiring.connect(m, perturb.snapshot, update.snapshot)
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe, saturate, sum_with_carry
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.update.lfsr import heal, lfsr_next
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import register

__all__ = ["Perturb"]


class Perturb(wiring.Component):
    """Copies the parameters into the weight memory, perturbed by one generator bit each.

    Golden model: :func:`zerotrain.golden.update.perturb` (bit-exact).

    ``weight[p] = saturate(theta[p] + mu)`` where the generator's bit is 1, ``saturate(theta[p] -
    mu)`` where it is 0; or ``theta[p]`` itself, the generator untouched, if ``perturb`` is 0. Where
    CGE takes forward passes (``Chip.cge``), such a copy may have one parameter raised by
    CGE's mu.

    Throughput: 1 parameter/cycle. Latency: ``busy`` is high for the ``n_parameters + 2 +
    chip.timing.read_latency`` cycles after ``start``; the last word is in memory when it falls. (No
    parameters: never busy.)

    Parameters
    ----------
    chip : Chip
        Formats, depths and generator degree.

    Members
    -------
    start : In(1)
        Begin. Only while not ``busy``. The inputs up to ``mu`` hold still until ``busy`` falls,
        ``n_parameters`` from the cycle before.
    perturb : In(1)
        0: plain copy.
    raises : In(1)
        A plain copy has parameter ``query`` raised.
    query : In(range(copy_depth))
        Of a perturbed copy, where the state before this query is kept.
    n_parameters : In(17)
        Number of parameters.
    mu : In(16)
        Smoothing radius in weight LSB.
    busy : Out(1)
    theta : Out(ReadPort)
        Parameter memory.
    weight : Out(WritePort)
        Weight memory; the address is the index of the parameter.
    saturated : Out(1)
        Pulse: a perturbed parameter was clamped.
    state : Out(lfsr_degree)
        State of the generator, at first zero. Zero is replaced by 1 when a query starts.
    load, load_word : In(2), In(32)
        Set the low and high 32 bits of the state while idle.
    snapshot : Out(WritePort)
        To the update unit: the state at the beginning of each query.
    restore : In(1)
        On a chip that splits its steps: the state is what it was before the first query. Only while
        not ``busy``.
    """

    start: Signal
    perturb: Signal
    raises: Signal
    query: Signal
    n_parameters: Signal
    mu: Signal
    busy: Signal
    theta: wiring.PureInterface
    weight: wiring.PureInterface
    saturated: Signal
    state: Signal
    load: Signal
    load_word: Signal
    snapshot: wiring.PureInterface
    restore: Signal

    def __init__(self, chip: Chip) -> None:
        self._latency = chip.timing.read_latency
        self._width, self._depth = chip.formats.weight.width, chip.parameter_depth
        self._cge_mu, self._split = chip.formats.cge_mu, chip.split
        degree, word = chip.lfsr_degree, signed(self._width)
        super().__init__(
            {
                "start": In(1),
                "perturb": In(1),
                "raises": In(1),
                "query": In(range(chip.copy_depth)),
                "n_parameters": In(register("n_parameters").width),
                "mu": In(register("mu").width),
                "busy": Out(1),
                "theta": Out(ReadPort(address_bits(chip.parameter_depth), word)),
                "weight": Out(WritePort(address_bits(chip.weight_depth), word)),
                "saturated": Out(1),
                "state": Out(degree),
                "load": In(2),
                "load_word": In(32),
                "snapshot": Out(WritePort(address_bits(chip.query_depth), degree)),
                **({"restore": In(1)} if chip.split else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # Stage 0: address of the parameter.
        issue = Signal()
        index = Signal(range(self._depth + 1))
        n_parameters = self.n_parameters[: len(index)]
        following = Signal.like(index)  # parameters after this one
        others = Signal.like(index, reset_less=True)  # than the first
        some = Signal(reset_less=True)
        m.d.sync += [others.eq(n_parameters - 1), some.eq(n_parameters.any())]
        m.d.comb += self.theta.addr.eq(index)
        with m.If(issue):
            m.d.sync += [index.eq(index + 1), following.eq(following - 1), issue.eq(following != 0)]

        # Stage 1: the word arrives, the generator's bit decides.
        coming = [issue]
        for k in range(self._latency):
            coming.append(pipe(m, coming[-1], 1, f"coming_{k}"))
        p1_valid = coming[-1]
        row = index[: len(self.weight.addr)]
        p1_index = pipe(m, row, self._latency, "p1_index", reset_less=True)
        moves = Signal(reset_less=True)
        m.d.sync += moves.eq(self.perturb)
        with m.If(p1_valid & moves):
            m.d.sync += self.state.eq(lfsr_next(self.state))

        # Stage 2: the parameter moves.
        p2_valid = Signal()
        p2_index = Signal(p1_index.shape(), reset_less=True)
        p2_theta = Signal.like(self.theta.data, reset_less=True)
        p2_subtract = Signal(reset_less=True)
        m.d.sync += [
            p2_valid.eq(p1_valid), p2_index.eq(p1_index), p2_theta.eq(self.theta.data),
            p2_subtract.eq(moves & ~self.state[0]),
        ]  # fmt: skip

        # Stage 3: clamp and write.
        p3_valid = Signal()
        p3_index = Signal(p1_index.shape(), reset_less=True)
        radius = Mux(moves, self.mu, 0)
        raised = self.raises & (index == self.query)
        p2_raised = pipe(m, raised, self._latency + 1, "raised", reset_less=True)
        radius = Mux(p2_raised, self._cge_mu, radius)
        radius = Cat(radius, Const(0, 1)) ^ p2_subtract.replicate(len(radius) + 1)
        moved = sum_with_carry(p2_theta, radius, p2_subtract)
        p3_moved = Signal(moved.shape(), reset_less=True)
        m.d.sync += [p3_valid.eq(p2_valid), p3_index.eq(p2_index), p3_moved.eq(moved)]
        word, clamped = saturate(p3_moved, self._width)
        m.d.comb += [
            self.weight.en.eq(p3_valid),
            self.weight.addr.eq(p3_index),
            self.weight.data.eq(word),
            self.saturated.eq(p3_valid & clamped),
            self.busy.eq(Cat(*coming, p2_valid, p3_valid).any()),
            self.snapshot.addr.eq(self.query),
            self.snapshot.data.eq(self.state),
        ]

        # After the state was healed, before its first bit is taken.
        m.d.sync += self.snapshot.en.eq(0)
        with m.If(~self.busy):
            for k, part in enumerate((self.state[:32], self.state[32:])):
                with m.If(self.load[k]):
                    m.d.sync += part.eq(self.load_word)
        with m.If(self.start):
            with m.If(self.perturb):
                m.d.sync += self.state[0].eq(heal(self.state)[0])
            m.d.sync += [
                self.snapshot.en.eq(self.perturb),
                issue.eq(some),
                index.eq(0),
                following.eq(others),
            ]
        if self._split:
            first = Signal.like(self.state, reset_less=True)
            with m.If(self.start & self.perturb & (self.query == 0)):
                m.d.sync += first.eq(self.state)
            with m.If(self.restore):
                m.d.sync += self.state.eq(first)
        return m
