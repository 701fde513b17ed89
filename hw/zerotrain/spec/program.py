"""Contraction programs: the engine's instructions and their encoding.

A program is a list of 64-bit rows, each of four 16-bit fields; field 0 is the lowest. Address rows
carry one field per address stream: weight, operand, auxiliary, result.

``Contract`` is a nest of up to six counters, level 0 innermost. The lowest ``reduce`` levels are
summed over::

    result[o] = requantize([bias[aux] +] sum_k weight[a(o, k)] * operand[b(o, k)])

    row 0          control word (CONTRACT_FIELDS)
    row 1          counts - 1 of levels 0..3
    row 2          counts - 1 of levels 4, 5
    row 3          start address of every stream
    row 4 + L      what is added to every address when level L advances, for each level in use

``Loop`` repeats the contractions up to the one marked ``loop_last``, over up to three counters.
Each stream has one offset, zero at first, which is added to the start address where the
contraction's ``offset`` bits say so::

    row 0          control word
    row 1          counts - 1 of levels 0..2
    row 2 + L      what is added to every offset when level L advances, three rows

``End`` is one row of zeros and ends a section. Loops do not nest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod

__all__ = [
    "CONTRACT_FIELDS", "MAX_LEVELS", "MAX_LOOPS", "STREAMS", "Contract", "Level", "Loop", "Opcode",
    "Program", "Result", "Source", "encode", "section_length",
]  # fmt: skip

MAX_LEVELS = 6
MAX_LOOPS = 3
STREAMS = ("weight", "operand", "aux", "result")


class Opcode(IntEnum):
    END = 0
    CONTRACT = 1
    LOOP = 2


class Source(IntEnum):
    """Where the lanes' operand comes from. ``act`` is ReLU if the ``relu`` bit is set."""

    INPUT = 0  # sample memory [operand]
    SCRATCH = 1  # scratch memory [operand]
    CONSTANT = 2  # 1 << constant_shift
    PREACT = 3  # act(preact memory [operand])
    DELTA = 4  # act(Y + dy) - act(Y): dy = scratch [operand], Y = preact [aux], aligned
    DELTA_CONSTANT = 5  # the same with dy = 1 << constant_shift


class Result(IntEnum):
    """Where results go."""

    SCRATCH = 0
    PREACT = 1
    WEIGHT = 2  # lane 0's result, to the weight memory
    LOGIT = 3
    DLOGIT = 4


#: Bit fields of a contraction's control word: name -> (lowest bit, width).
CONTRACT_FIELDS: dict[str, tuple[int, int]] = {
    "opcode": (0, 2),
    "reduce": (2, 3),
    "evaluation_level": (5, 3),
    "source": (8, 3),
    "result": (11, 3),
    "relu": (14, 1),
    "unit_weight": (15, 1),
    "bias": (16, 1),
    "loop_last": (17, 1),
    "shift": (18, 4),
    "constant_shift": (22, 5),
    "offset": (27, 4),
    "levels": (31, 3),
}


@dataclass(frozen=True, slots=True)
class Level:
    """One counter of a loop nest: its count, and the stride of every address stream."""

    count: int
    weight: int = 0
    operand: int = 0
    aux: int = 0
    result: int = 0

    @property
    def strides(self) -> tuple[int, int, int, int]:
        return self.weight, self.operand, self.aux, self.result


def _advances(levels: Sequence[Level]) -> list[tuple[int, ...]]:
    """Strides to odometer steps: advancing level L also rewinds the levels inside it."""
    return [
        tuple(
            level.strides[s] - sum((inner.count - 1) * inner.strides[s] for inner in levels[:k])
            for s in range(4)
        )
        for k, level in enumerate(levels)
    ]


@dataclass(frozen=True, slots=True)
class Contract:
    """One contraction instruction, with absolute start addresses.

    Parameters
    ----------
    summed, kept : tuple of Level
        Counters that are summed over, and the others, each innermost first. Counters of one value
        cost nothing.
    start : tuple of int
        Start address of every stream.
    shift : int
        Right shift of the requantisation.
    evaluation_levels : int
        For logits: the number of ``kept`` levels, from the inside, that make up one evaluation.
    """

    summed: tuple[Level, ...]
    kept: tuple[Level, ...]
    start: tuple[int, int, int, int]
    source: Source
    result: Result
    shift: int
    relu: bool = False
    unit_weight: bool = False
    bias: bool = False
    constant_shift: int = 0
    evaluation_levels: int = 0
    offset: tuple[bool, bool, bool, bool] = (False, False, False, False)
    loop_last: bool = False
    comment: str = ""

    @property
    def packets(self) -> int:
        """Results per execution."""
        return prod(level.count for level in self.kept)

    @property
    def beats(self) -> int:
        """Multiply-accumulates per lane and execution."""
        products = prod(level.count for level in self.summed)
        return self.packets * (products + self.bias)

    @property
    def evaluations(self) -> int:
        """Evaluations that one execution completes, if its results are logits."""
        return prod(level.count for level in self.kept[self.evaluation_levels :])

    @property
    def terms(self) -> int:
        """Products in one sum."""
        return self.beats // self.packets

    def rows(self, shifts: Sequence[int]) -> list[int]:
        """Encode for a chip with this set of shifts."""
        summed = [level for level in self.summed if level.count > 1]
        kept = [level for level in self.kept if level.count > 1]
        evaluation = [level for level in self.kept[: self.evaluation_levels] if level.count > 1]
        levels = summed + kept
        if len(levels) > MAX_LEVELS:
            raise ValueError(f"A contraction has at most {MAX_LEVELS} counters, got {len(levels)}")
        if self.shift not in shifts:
            raise ValueError(f"Shift {self.shift} is not among the chip's {tuple(shifts)}")
        values = {
            "opcode": Opcode.CONTRACT, "levels": len(levels), "reduce": len(summed),
            "evaluation_level": len(summed) + len(evaluation), "source": self.source,
            "result": self.result, "relu": self.relu, "unit_weight": self.unit_weight,
            "bias": self.bias, "loop_last": self.loop_last,
            "shift": list(shifts).index(self.shift), "constant_shift": self.constant_shift,
            "offset": sum(on << s for s, on in enumerate(self.offset)),
        }  # fmt: skip
        counts = [level.count - 1 for level in levels] + [0] * (MAX_LEVELS - len(levels))
        control = 0
        for name, (low, width) in CONTRACT_FIELDS.items():
            value = int(values[name])
            if not 0 <= value < 1 << width:
                raise ValueError(f"Field {name} has {width} bits, got {value}")
            control |= value << low
        return [
            control,
            _row(counts[:4]),
            _row(counts[4:]),
            _row(self.start),
            *(_row(advance) for advance in _advances(levels)),
        ]


@dataclass(frozen=True, slots=True)
class Loop:
    """Repeats the contractions of ``body`` over up to three counters, innermost first.

    The strides of ``levels`` move the offset of each stream.
    """

    levels: tuple[Level, ...]
    body: tuple[Contract, ...]

    @property
    def trips(self) -> int:
        return prod(level.count for level in self.levels)

    @property
    def beats(self) -> int:
        """Multiply-accumulates per lane of all trips."""
        return self.trips * sum(c.beats for c in self.body)

    @property
    def evaluations(self) -> int:
        """Evaluations that all trips complete, if the last results are logits."""
        return self.trips * self.body[-1].evaluations

    def rows(self, shifts: Sequence[int]) -> list[int]:
        levels = [level for level in self.levels if level.count > 1]
        if len(levels) > MAX_LOOPS:
            raise ValueError(f"A loop has at most {MAX_LOOPS} counters, got {len(levels)}")
        counts = [level.count - 1 for level in levels] + [0] * (MAX_LOOPS - len(levels))
        advances = _advances(levels) + [(0, 0, 0, 0)] * (MAX_LOOPS - len(levels))
        rows = [int(Opcode.LOOP), _row(counts), *(_row(advance) for advance in advances)]
        for contract in self.body:
            rows += contract.rows(shifts)
        return rows


def _row(fields: Sequence[int]) -> int:
    """Pack up to four fields, modulo 2**16 each (addresses wrap)."""
    return sum((value & 0xFFFF) << (16 * k) for k, value in enumerate(fields))


def encode(section: Sequence[Contract | Loop], shifts: Sequence[int]) -> list[int]:
    """Rows of one section, with its ``End``."""
    return [row for item in section for row in item.rows(shifts)] + [int(Opcode.END)]


def section_length(section: Sequence[Contract | Loop]) -> int:
    """Contractions executed by one run of a section."""
    return sum(len(i.body) * i.trips if isinstance(i, Loop) else 1 for i in section)


@dataclass(frozen=True, slots=True)
class Program:
    """An encoded program and the first row of each of its sections.

    ``merge`` runs once per perturbed copy, ``forward`` once per pass; ``cge_merge`` once per CGE
    step, ``cge`` once per CGE pass.
    """

    rows: tuple[int, ...] = (0,)
    merge: int = 0
    forward: int = 0
    cge_merge: int = 0
    cge: int = 0
    listing: tuple[str, ...] = field(default=(), compare=False)
