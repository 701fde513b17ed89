"""One lane: the arithmetic of one sample of the minibatch.

Golden model: :func:`zerotrain.golden.fixed.requantize` of an exact sum of products.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import add_or_subtract, pipe, saturation_parts
from zerotrain.gateware.engine.activation import CODE_BITS, activated, difference
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result, Source
from zerotrain.spec.sine import argument

__all__ = [
    "FIRST_STAGE",
    "NOTHING",
    "TAKES",
    "WEIGHT_STAGE",
    "Lane",
    "lane_control",
    "step_masks",
    "takes",
]

#: What the operand is made of, besides a constant; ``delta``: it is the difference of a
#: pre-activation.
TAKES = data.StructLayout({"input": 1, "scratch": 1, "preact": 1, "delta": 1})

#: No :class:`~zerotrain.spec.program.Source`: the operand is zero.
NOTHING = 7

#: When the weight and ``first`` are at the ports of a lane, in cycles after the memory words of
#: their product.
WEIGHT_STAGE = 2
FIRST_STAGE = 4


def lane_control(chip: Chip) -> data.StructLayout:
    """What all lanes are told (see :class:`Lane`). Every bit has a register in every lane, used or
    not: they are marked ``keep``. So ``sine`` is there where sines are."""
    return data.StructLayout(
        {
            "takes": TAKES,
            "activation": CODE_BITS,
            "constant": chip.formats.lane_width,
            "first": 1,
            "round": chip.acc_width,
            "steps": len(shift_steps(chip.shifts)),
            "result": Result,
            **({"sine": 1} if chip.sine else {}),
        }
    )


def takes(source: Value) -> Value:
    """``TAKES`` for a :class:`~zerotrain.spec.program.Source`."""
    delta = source == Source.DELTA
    return Cat(
        source == Source.INPUT,
        (source == Source.SCRATCH) | delta,
        source == Source.PREACT,
        delta | (source == Source.DELTA_CONSTANT),
    )


@cache
def shift_steps(shifts: tuple[int, ...]) -> tuple[int, ...]:
    """The fewest distances such that what each shift has more than the least is a sum of some.

    A shift by the least, and one after the other by each of these or not, is smaller than a
    multiplexer over all shifts.
    """
    excess = {shift - min(shifts) for shift in shifts}
    for count in range((len(excess) - 1).bit_length(), len(excess)):
        for steps in combinations_with_replacement(range(1, max(excess) + 1), count):
            if all(_summed(steps, n) is not None for n in excess):
                return steps
    return tuple(sorted(excess - {0}))


def _summed(steps: Sequence[int], total: int) -> int | None:
    """Which steps, as bits, add up to ``total``; None if none do."""
    for mask in range(1 << len(steps)):
        if sum(step for k, step in enumerate(steps) if mask >> k & 1) == total:
            return mask
    return None


def step_masks(shifts: tuple[int, ...]) -> list[int]:
    """For every shift, the bits of those steps that make it up."""
    steps = shift_steps(shifts)
    return [_summed(steps, shift - min(shifts)) or 0 for shift in shifts]


class Lane(wiring.Component):
    """Select, multiply, accumulate, requantise.

    One product per cycle. Those of a sum follow one another without a pause, or with products of
    :data:`NOTHING` in between. The result of a sum is in ``result`` ``timing.lane_latency`` = 9
    cycles after the words of its last product were presented. Stages:

    0. words arrive; ``takes``, ``constant`` (zero where the operand has none);
    1. which of them; with environments, the two sums that differences may need;
    2. the operand; the ``weight`` arrives;
    3. multiplication;
    4. the product; ``first`` and ``subtract`` arrive;
    5. accumulation;
    6. shift;
    7. whether that is too wide;
    8. saturation.

    ``activation``, ``round`` (the rounding constant), ``steps`` (see :func:`shift_steps`),
    ``result`` and ``sine`` (results are cut to what the sine is wanted of) hold still from the
    stage before the words to the one before saturation. A lane has registers of its own for what it
    is told: most of these bits feed a whole word. They are marked ``keep``, as in
    :class:`~zerotrain.gateware.engine.lane_group.LaneGroup`.

    There is a register before and behind the multiplier and nothing else. The accumulator is exact
    as long as the planner keeps sums within ``acc_width``.

    Parameters
    ----------
    chip : Chip
    merges : bool
        This lane also makes merged TT-cores, which saturate to the weight format.

    Members
    -------
    weight : In(signed)
        The broadcast weight.
    input, scratch, preact : In(signed)
        This lane's memory words.
    control : In
        See above.
    subtract : In(1)
        This product is subtracted; only where this lane ``merges`` and the chip's lanes subtract.
    result : Out(signed)
        Requantised sum.
    clamped : Out(1)
        ``result`` was saturated.
    """

    def __init__(self, chip: Chip, *, merges: bool) -> None:
        self._chip = chip
        self._merges = merges
        f = chip.formats
        self.result_width = max(f.lane_width, f.logit.width)
        super().__init__(
            {
                "weight": In(signed(f.weight.width)),
                "input": In(signed(f.input.width)),
                "scratch": In(signed(f.lane_width)),
                "preact": In(signed(f.lane_width)),
                "control": In(lane_control(chip)),
                "subtract": In(1),
                "result": Out(signed(self.result_width)),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f, control = self._chip.formats, self.control
        width = f.lane_width
        own = Signal(control.shape(), reset_less=True, attrs={"keep": 1})
        m.d.sync += own.eq(control)

        def late(value: Value, name: str) -> Value:
            return pipe(m, value, 1, name, reset_less=True)

        # What the operand is unless it is the difference of an activation.
        y = late(self.preact, "p0_preact")
        word, zero = activated(y, own.activation)
        dy = Mux(own.takes.scratch, late(self.scratch, "p0_scratch"), own.constant)
        p1_straight = Signal(signed(width), reset_less=True)
        m.d.sync += p1_straight.eq(
            dy
            | Mux(own.takes.input, late(self.input, "p0_input"), 0)
            | Mux(own.takes.preact & ~zero, word, 0)
        )

        # Multiplier registers have no reset: only those are absorbed into multiplier blocks.
        p2_weight = Signal(signed(f.weight.width), reset_less=True)
        p2_operand = Signal(signed(width), reset_less=True)
        m.d.sync += p2_weight.eq(self.weight)
        operand: Value = p1_straight
        if self._chip.has_environments:
            aligned = y << (f.delta.frac_bits - f.preact.frac_bits)
            bends = late(own.activation & own.takes.delta.replicate(CODE_BITS), "p1_bends")
            operand = difference(
                lambda value, name: late(value, f"p1_{name}"), aligned, dy, p1_straight, bends
            )
        m.d.sync += p2_operand.eq(operand)

        p3_prod = Signal(signed(f.weight.width + width), reset_less=True)
        m.d.sync += p3_prod.eq(p2_weight * p2_operand)
        product = late(p3_prod, "p4_prod")

        acc = Signal(signed(self._chip.acc_width), reset_less=True)
        total = Mux(own.first, own.round.as_signed(), acc)
        if self._merges and self._chip.lane_subtracts:
            subtract = pipe(m, self.subtract, 1, "subtract", reset_less=True, attrs={"keep": 1})
            m.d.sync += acc.eq(add_or_subtract(total, product, subtract))
        else:
            m.d.sync += acc.eq(total + product)

        # The shifts are a small fixed set.
        shifts = self._chip.shifts
        p5_shifted = Signal(signed(self._chip.acc_width - shifts[0]), reset_less=True)
        shifted: Value = acc >> shifts[0]
        for step, taken in zip(shift_steps(shifts), own.steps, strict=True):
            shifted = Mux(taken, shifted >> step, shifted)
        m.d.sync += p5_shifted.eq(shifted)

        sizes = {Result.LOGIT: f.logit.width, Result.DLOGIT: f.logit.width}
        sizes[Result.PREACT] = f.preact.width
        if self._merges:
            sizes[Result.WEIGHT] = f.weight.width
        extreme = Signal.like(self.result)
        clamped = Signal()
        with m.Switch(own.result):
            for size in {*sizes.values()} - {width}:
                with m.Case(*(kind for kind in sizes if sizes[kind] == size)):
                    m.d.comb += saturation_parts(p5_shifted, size, extreme, clamped)
            with m.Default():
                m.d.comb += saturation_parts(p5_shifted, width, extreme, clamped)
        if self._chip.sine:
            with m.If(own.sine):
                size = argument(f.preact).width
                m.d.comb += saturation_parts(p5_shifted, size, extreme, clamped)
        value, extreme = late(p5_shifted, "p6_shifted"), late(extreme, "p6_extreme")
        clamped = late(clamped, "p6_clamped")
        result = Signal.like(self.result, reset_less=True)
        m.d.sync += [result.eq(Mux(clamped, extreme, value)), self.clamped.eq(clamped)]
        m.d.comb += self.result.eq(result)
        return m
