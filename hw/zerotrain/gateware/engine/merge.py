"""The merge unit: multiplies neighbouring TT-cores while the lanes work on something else."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import add_or_subtract, pipe, saturate
from zerotrain.gateware.engine.sequencer import BEAT, Sequencer
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.storage.weights import FACTOR_LATENCY
from zerotrain.spec.chip import Chip

__all__ = ["MergeUnit"]


class MergeUnit(wiring.Component):
    """Executes a program section whose contractions multiply weights with weights.

    Golden model: :func:`zerotrain.golden.tt.merge` (bit-exact).

    The weight stream of a contraction addresses its left factor, the operand stream its right
    factor, the result stream the weight memory; all other fields but ``sync`` and ``subtract`` are
    ignored. Results are requantised from twice the fraction bits of a weight to those of one.

    Throughput: 1 product/cycle, but none for each result that is itself a factor: both ports of the
    factors' memory are taken while it is copied there. A result is written 9 cycles after the last
    beat of its sum, and copied in the next but one; a contraction begins when all results of the
    one before can be read.

    Parameters
    ----------
    chip : Chip
        One with ``merge_depth``.

    Members
    -------
    start, pc, busy
        Run the section at row ``pc``; ``busy`` falls when every result is written.
    program : Out(ReadPort)
        Program memory, as in :class:`~zerotrain.gateware.engine.sequencer.Sequencer`.
    left, right : Out(ReadPort)
        The factors: two ports of the weights that are being prepared, which arrive
        ``FACTOR_LATENCY`` cycles after their address.
    weight_w : Out(WritePort)
        Results.
    merged : Out(1)
        Pulse: with this cycle's result, one more evaluation of a ``sync`` contraction is complete.
    saturated : Out(1)
        Pulse: this cycle's result was clamped.
    bad_program : Out(1)
        Pulse: a row was no instruction.
    """

    start: Signal
    pc: Signal
    busy: Signal
    program: wiring.PureInterface
    left: wiring.PureInterface
    right: wiring.PureInterface
    weight_w: wiring.PureInterface
    merged: Signal
    saturated: Signal
    bad_program: Signal

    #: Stages of a beat: address, factors on their way, operands, product, sum, shifted sum, result.
    _STAGES = FACTOR_LATENCY + 6

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        rows, width = address_bits(chip.program_depth), chip.formats.weight.width
        factors = address_bits(chip.merge_depth)
        super().__init__(
            {
                "start": In(1),
                "pc": In(rows),
                "busy": Out(1),
                "program": Out(ReadPort(rows, 64)),
                "left": Out(ReadPort(factors, signed(width))),
                "right": Out(ReadPort(factors, signed(width))),
                "weight_w": Out(WritePort(address_bits(chip.weight_depth), signed(width))),
                "merged": Out(1),
                "saturated": Out(1),
                "bad_program": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip, fmt = self._chip, self._chip.formats.weight
        m.submodules.sequencer = seq = Sequencer(
            len(self.pc),
            len(self.weight_w.addr),
            count_bits=min(len(self.weight_w.addr), chip.count_width),
            loops=False,
            subtracts=chip.subtracts,
        )
        wiring.connect(m, wiring.flipped(self.program), seq.program)
        m.d.comb += [
            seq.start.eq(self.start),
            seq.pc.eq(self.pc),
            self.bad_program.eq(seq.bad_program),
            self.left.addr.eq(seq.address.weight),
            self.right.addr.eq(seq.address.operand),
        ]

        beats = [seq.beat]
        for k in range(1, self._STAGES):
            beat = Signal(BEAT, name=f"s{k}_beat")
            m.d.sync += beat.eq(beats[-1])
            beats.append(beat)
        # The control word of the next contraction arrives before the last results of this one.
        sync = Signal(reset_less=True)
        with m.If(seq.beat.valid):
            m.d.sync += sync.eq(seq.control.sync)
        # A beat issued in stage `hold` of another would read as that one's result is copied. One
        # decided upon later reads the result.
        hold = self._STAGES - seq.issue_latency
        early, before = beats[hold - 1], hold - 1
        early_target = pipe(m, seq.address.result, before, "early_target", reset_less=True)
        target = pipe(m, early_target, self._STAGES - 1 - before, "target", reset_less=True)
        factor = Signal()
        m.d.sync += factor.eq(early.valid & early.last & (early_target < chip.merge_depth))
        m.d.comb += [
            seq.ready.eq(~factor),
            seq.drained.eq(~Cat(beat.valid for beat in beats[:hold]).any()),
            self.busy.eq(seq.busy | Cat(beat.valid for beat in beats).any()),
        ]

        # Both registers of a DSP block.
        operand_left = Signal(signed(fmt.width), reset_less=True)
        operand_right = Signal(signed(fmt.width), reset_less=True)
        prod = Signal(signed(2 * fmt.width), reset_less=True)
        m.d.sync += [
            operand_left.eq(self.left.data),
            operand_right.eq(self.right.data),
            prod.eq(operand_left * operand_right),
        ]
        # Exact: the planner keeps sums of products within acc_width. It begins with the half that
        # rounds.
        acc = Signal(signed(chip.acc_width), reset_less=True)
        half = 1 << fmt.frac_bits >> 1
        summed = beats[FACTOR_LATENCY + 2]
        with m.If(summed.valid):
            m.d.sync += acc.eq(add_or_subtract(Mux(summed.first, half, acc), prod, summed.subtract))
        shifted = Signal(signed(chip.acc_width - fmt.frac_bits), reset_less=True)
        m.d.sync += shifted.eq(acc >> fmt.frac_bits)
        word, clamped = saturate(shifted, fmt.width)
        result_word = Signal(signed(fmt.width), reset_less=True)
        result_clamped = Signal(reset_less=True)
        m.d.sync += [result_word.eq(word), result_clamped.eq(clamped)]

        done = beats[-1]
        write = done.valid & done.last
        m.d.comb += [
            self.weight_w.en.eq(write),
            self.weight_w.addr.eq(target),
            self.weight_w.data.eq(result_word),
            self.saturated.eq(write & result_clamped),
            self.merged.eq(write & done.evaluation & sync),
        ]
        return m
