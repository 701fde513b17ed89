"""Where the words of compact lanes are, and so how a lane selects its operand.

Golden model: :mod:`zerotrain.golden.tt`, by way of the lanes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory

from zerotrain.gateware.engine.activation import CODE_BITS, activated, difference, direct
from zerotrain.gateware.engine.lane_array import LaneArray
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Result, Source

__all__ = [
    "CommonMemories",
    "CompactMemories",
    "Leaving",
    "OwnMemories",
    "ScratchMemories",
    "Taken",
]

#: A signed word of every lane.
Words = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Taken:
    """What the operand of a beat is made of, in the stage of the words.

    Attributes
    ----------
    takes : TAKES
        Nothing where there is no beat.
    constant : unsigned
        Is or-ed to the operand: of beats that take a constant, else zero.
    activation : CODE_BITS
        Code of it.
    """

    takes: data.View
    constant: Value
    activation: Value

    def activated(self, word: Value) -> tuple[Value, Value]:
        """A word, activated if it is a pre-activation, and whether it is zero instead."""
        code = self.activation & self.takes.preact.replicate(CODE_BITS)
        return activated(word, code)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A result that leaves the lanes.

    Attributes
    ----------
    valid : 1
        It is there for the first cycle.
    lane : range(lanes)
        Whose.
    word : signed
        Still until the next.
    row : unsigned
        Its address, still until the last lane's word.
    result : Result
        What it is.
    """

    valid: Value
    lane: Value
    word: Value
    row: Value
    result: Value


class CompactMemories(ABC):
    """The memories of compact lanes, built into the module of these.

    :meth:`read` comes first, then :meth:`operand` for every lane, then :meth:`write`.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._width = chip.formats.lane_width

    @abstractmethod
    def read(self, m: Module, lanes: LaneArray) -> None:
        """Look up words of the beat's rows, for stage 2; the host's samples."""

    @abstractmethod
    def operand(self, m: Module, k: int, taken: Taken) -> Value:
        """What lane ``k`` multiplies in stage 2."""

    @abstractmethod
    def write(self, m: Module, lanes: LaneArray, leaving: Leaving) -> None:
        """Store a result that belongs here."""

    def weight_enable(self, m: Module, merged: Value, reads: Value) -> Value:
        """When a merged weight is written, in or after the cycle ``merged``; in ``reads``, one is
        read."""
        return merged

    def _memory(
        self, m: Module, name: str, width: int, depth: int, row: Value
    ) -> tuple[Memory, Words]:
        """A memory of words of all lanes, and the words of a row."""
        lanes = self._chip.lanes
        m.submodules[f"{name}_memory"] = made = Memory(shape=lanes * width, depth=depth, init=[])
        port = made.read_port()
        m.d.comb += port.addr.eq(row)
        row_words = data.View(data.ArrayLayout(signed(width), lanes), port.data)
        return made, [row_words[k] for k in range(lanes)]

    def _store(self, m: Module, memory: Memory, enable: Value, leaving: Leaving) -> None:
        """Write a lane's word to a memory of all."""
        port = memory.write_port(granularity=self._width)
        m.d.comb += [
            port.en.eq((leaving.valid & enable) << leaving.lane),
            port.addr.eq(leaving.row),
            port.data.eq(leaving.word[: self._width].replicate(self._chip.lanes)),
        ]

    def _samples(
        self, m: Module, lanes: LaneArray, host: wiring.PureInterface, row: Value
    ) -> Words:
        """A memory of samples that the host writes and reads."""
        width = self._chip.formats.input.width
        made, words = self._memory(m, "sample", width, self._chip.sample_rows, row)
        port = made.write_port(granularity=width)
        m.d.comb += [
            port.en.eq(host.en << host.lane),
            port.addr.eq(host.row),
            port.data.eq(host.data.replicate(self._chip.lanes)),
        ]
        word = Signal.like(lanes.sample)
        m.d.sync += [word.eq(Array(words)[host.lane]), lanes.sample.eq(word)]
        return words


class OwnMemories(CompactMemories):
    """Samples, intermediates and pre-activations each in a memory of their own: for chips with
    environments, whose operands may be differences of activations."""

    def read(self, m: Module, lanes: LaneArray) -> None:
        chip, host = self._chip, lanes.host_sample(m)
        rows = lanes.own_rows(m, host)
        self._scratch, self._intermediates = self._memory(
            m, "scratch", self._width, chip.scratch_rows, rows["scratch"]
        )
        self._inputs = self._samples(m, lanes, host, rows["input"])
        self._preact, self._activations = self._memory(
            m, "preact", self._width, chip.preact_depth, rows["preact"]
        )

    def operand(self, m: Module, k: int, taken: Taken) -> Value:
        takes, preact = taken.takes, self._activations[k]
        dy = Mux(takes.scratch, self._intermediates[k], 0) | taken.constant.as_signed()
        word, zero = taken.activated(preact)
        sample = Mux(takes.input, self._inputs[k], 0)
        straight = dy | sample | Mux(takes.preact & ~zero, word, 0)
        f = self._chip.formats
        aligned = preact << (f.delta.frac_bits - f.preact.frac_bits)
        bends = taken.activation & takes.delta.replicate(CODE_BITS)
        return difference(direct, aligned, dy, straight, bends)

    def write(self, m: Module, lanes: LaneArray, leaving: Leaving) -> None:
        self._store(m, self._scratch, leaving.result == Result.SCRATCH, leaving)
        self._store(m, self._preact, leaving.result == Result.PREACT, leaving)


class ScratchMemories(CompactMemories):
    """Samples in a memory, intermediates and pre-activations in another."""

    def read(self, m: Module, lanes: LaneArray) -> None:
        host = lanes.host_sample(m)
        rows = lanes.own_rows(m, host)
        self._scratch, self._words = self._memory(
            m, "scratch", self._width, self._chip.scratch_rows, rows["scratch"]
        )
        self._inputs = self._samples(m, lanes, host, rows["input"])

    def operand(self, m: Module, k: int, taken: Taken) -> Value:
        takes, word = taken.takes, self._words[k]
        sample = Mux(takes.input, self._inputs[k], 0)
        word, zero = taken.activated(word)
        # Whether the word counts is one bit.
        counts = (takes.scratch | takes.preact) & ~zero
        return sample | Mux(counts, word, 0) | taken.constant.as_signed()

    def write(self, m: Module, lanes: LaneArray, leaving: Leaving) -> None:
        result = leaving.result
        own = (result == Result.SCRATCH) | (result == Result.PREACT)
        self._store(m, self._scratch, own, leaving)


class CommonMemories(CompactMemories):
    """Intermediates in a memory; samples and pre-activations come from the common one."""

    def read(self, m: Module, lanes: LaneArray) -> None:
        row = lanes.row(m, "scratch", lanes.operand)
        self._scratch, self._intermediates = self._memory(
            m, "scratch", self._width, self._chip.scratch_rows, row
        )
        inputs = lanes.issued.source == Source.INPUT
        m.d.sync += lanes.common.row.eq(lanes.operand + Mux(inputs, lanes.input_base, 0))
        self._words = [word.as_signed() for word in lanes.common.words]

    def operand(self, m: Module, k: int, taken: Taken) -> Value:
        takes, word = taken.takes, self._words[k]
        word, zero = taken.activated(word)
        counts = (takes.input | takes.preact) & ~zero
        intermediate = Mux(takes.scratch, self._intermediates[k], 0)
        return Mux(counts, word, 0) | intermediate | taken.constant.as_signed()

    def write(self, m: Module, lanes: LaneArray, leaving: Leaving) -> None:
        self._store(m, self._scratch, leaving.result == Result.SCRATCH, leaving)
        m.d.comb += [
            lanes.common.en.eq(leaving.valid & (leaving.result == Result.PREACT)),
            lanes.common.lane.eq(leaving.lane),
            lanes.common.write_row.eq(leaving.row),
            lanes.common.word.eq(leaving.word[: len(lanes.common.word)]),
        ]

    def weight_enable(self, m: Module, merged: Value, reads: Value) -> Value:
        """The weights are in one single-port memory: in the first cycle in which none is read. Word
        and row hold still until the next: one cycle of every sum has no beat."""
        pending = Signal()
        told = merged | pending
        m.d.sync += pending.eq(told & reads)
        return told & ~reads
