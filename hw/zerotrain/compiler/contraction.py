"""Contractions and loops, their encoding (:mod:`zerotrain.spec.program`) and their cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from zerotrain.spec.activations import ACTIVATIONS, Activation
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import (
    CONTRACT_FIELDS,
    LEAST_APART,
    MAX_LEVELS,
    MAX_LOOPS,
    OFFSETS,
    SINE,
    STREAMS,
    Opcode,
    Result,
    Source,
    loop_offsets,
)

__all__ = ["LOOP_ROWS", "Contract", "Level", "Loop", "encode", "overhead", "pause"]


#: Rows of a loop besides those of its contractions.
LOOP_ROWS = 2 + MAX_LOOPS


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


def _advances(counts: Sequence[int], strides: Sequence[Sequence[int]]) -> list[list[int]]:
    """Strides to odometer steps: advancing level L also rewinds the levels inside it."""
    return [
        [
            step - sum((counts[k] - 1) * strides[k][s] for k in range(level))
            for s, step in enumerate(strides[level])
        ]
        for level in range(len(counts))
    ]


def _fused(levels: Sequence[Level]) -> list[Level]:
    """The same addresses in the same order with as few counters as possible."""
    out: list[Level] = []
    for level in levels:
        if level.count == 1:
            continue
        if out and all(
            outer == out[-1].count * inner
            for outer, inner in zip(level.strides, out[-1].strides, strict=True)
        ):
            out[-1] = replace(out[-1], count=out[-1].count * level.count)
        else:
            out.append(level)
    return out


@dataclass(frozen=True, slots=True)
class Contract:
    """One contraction instruction, with absolute start addresses.

    Parameters
    ----------
    summed, kept : tuple of Level
        Counters that are summed over, and the others, each innermost first. Counters of one value
        cost nothing, and neighbours that together are one run of addresses count once.
    start : tuple of int
        Start address of every stream.
    shift : int
        Right shift of the requantisation.
    evaluation_levels : int
        For logits, and for merging with ``sync``: the number of ``kept`` levels, from the inside,
        that make up one evaluation.
    sine : bool
        The results are pre-activations, of which the sine is written.
    subtract : bool
        Merging: subtract the products of the last turn of the last ``summed`` counter.
    sync : bool
        On a chip with a merge unit. Merging: each complete evaluation is announced to the engine.
        Elsewhere: before each run, wait for one announcement, or for the end of all merging.
    moves : tuple of tuple of int
        In a loop: by how much every stream's start address moves with every loop counter,
        innermost first; counters left out move nothing.
    loop_level : int
        In a loop: the innermost counter whose advance calls for another run.
    """

    summed: tuple[Level, ...]
    kept: tuple[Level, ...]
    start: tuple[int, int, int, int]
    source: Source
    result: Result
    shift: int
    activation: Activation = Activation.NONE
    unit_weight: bool = False
    bias: bool = False
    constant_shift: int = 0
    evaluation_levels: int = 0
    sine: bool = False
    subtract: bool = False
    sync: bool = False
    moves: tuple[tuple[int, ...], ...] = ((), (), (), ())
    loop_level: int = 0
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

    @property
    def single(self) -> bool:
        """Whether only lane 0's results are wanted: merged weights, and copies of factors."""
        copies = self.result == Result.SCRATCH and self.source == Source.CONSTANT
        return copies or self.result == Result.WEIGHT

    def pauses(self, lanes: int) -> int:
        """Cycles of one execution in which beats wait for results of sums before, where these leave
        the lanes one after the other (``gateware/engine/compact_lanes.py``)."""
        apart = max(self.terms + 1, LEAST_APART, 0 if self.single else lanes)
        return (self.packets - 1) * (apart - self.terms)

    def turns(self, apart: int) -> int:
        """Cycles of one execution in which beats wait for the sine of results before: sums that
        sines are wanted of are so far ``apart`` (``Timing.sine_apart``)."""
        return self.sine * (self.packets - 1) * max(0, apart - self.terms)

    def _nest(self) -> tuple[list[Level], list[Level], list[Level]]:
        """Counters that are summed over, that make up one evaluation, and the others."""
        evaluation, others = (
            self.kept[: self.evaluation_levels], self.kept[self.evaluation_levels :]
        )  # fmt: skip
        summed = _fused(self.summed)
        if self.subtract:  # its turns are told apart
            summed = [*_fused(self.summed[:-1]), self.summed[-1]]
        return summed, _fused(evaluation), _fused(others)

    @property
    def counters(self) -> int:
        """Counters that it takes; ``MAX_LEVELS`` can be encoded."""
        return sum(map(len, self._nest()))

    @property
    def n_rows(self) -> int:
        """Rows of the program that it takes."""
        return 4 + self.counters

    @property
    def largest_count(self) -> int:
        """What the counters must reach."""
        return max((level.count for levels in self._nest() for level in levels), default=1)

    def rows(self, shifts: Sequence[int], **loop_fields: int) -> list[int]:
        """Encode for a chip with this set of shifts.

        ``loop_fields``: the control word's fields that concern the loop around it.
        """
        summed, evaluation, others = self._nest()
        levels = summed + evaluation + others
        if len(levels) > MAX_LEVELS:
            raise ValueError(f"A contraction has at most {MAX_LEVELS} counters, got {len(levels)}")
        if self.shift not in shifts:
            raise ValueError(f"Shift {self.shift} is not among the chip's {tuple(shifts)}")
        values = {
            "opcode": Opcode.CONTRACT, "levels": len(levels), "reduce": len(summed),
            "evaluation_level": len(summed) + len(evaluation), "source": self.source,
            "result": self.result,
            "activation": ACTIVATIONS[self.activation].code | self.sine << SINE,
            "unit_weight": self.unit_weight, "bias": self.bias,
            "shift": list(shifts).index(self.shift), "constant_shift": self.constant_shift,
            "subtract": self.subtract, "sync": self.sync,
        } | loop_fields  # fmt: skip
        counts = [level.count - 1 for level in levels] + [0] * (MAX_LEVELS - len(levels))
        control = 0
        for name, (low, width) in CONTRACT_FIELDS.items():
            value = int(values.get(name, 0))
            if not 0 <= value < 1 << width:
                raise ValueError(f"Field {name} has {width} bits, got {value}")
            control |= value << low
        return [
            control,
            _row(counts[:4]),
            _row(counts[4:]),
            _row(self.start),
            *map(_row, _advances([level.count for level in levels], [lv.strides for lv in levels])),
        ]


@dataclass(frozen=True, slots=True)
class Loop:
    """Repeats the contractions of ``body`` over up to four counters, innermost first.

    The last contraction runs in every trip; the others where their ``loop_level`` says so.

    Raises
    ------
    ValueError
        If the body needs more counters or more offsets than there are.
    """

    counts: tuple[int, ...]
    body: tuple[Contract, ...]

    def __post_init__(self) -> None:
        if len(self._levels) > MAX_LOOPS:
            raise ValueError(f"A loop has at most {MAX_LOOPS} counters, got {len(self._levels)}")
        if self._level(self.body[-1]):
            raise ValueError("The last contraction of a loop runs in every trip")
        self._offsets()

    @property
    def trips(self) -> int:
        return prod(self.counts)

    def runs(self, contract: Contract) -> int:
        """How often a contraction of the body runs."""
        return prod(self.counts[contract.loop_level :])

    @property
    def beats(self) -> int:
        """Multiply-accumulates per lane of all trips."""
        return sum(self.runs(c) * c.beats for c in self.body)

    @property
    def evaluations(self) -> int:
        """Evaluations that all trips complete, if the last results are logits."""
        return self.trips * self.body[-1].evaluations

    @property
    def terms(self) -> int:
        """Most products in one sum."""
        return max(contract.terms for contract in self.body)

    @property
    def n_rows(self) -> int:
        """Rows of the program that it takes."""
        return LOOP_ROWS + sum(contract.n_rows for contract in self.body)

    @property
    def largest_count(self) -> int:
        """What the counters must reach, the loop's own and those of its contractions."""
        return max(*self.counts, *(contract.largest_count for contract in self.body))

    @property
    def _levels(self) -> list[int]:
        """The levels that count at all."""
        return [k for k, count in enumerate(self.counts) if count > 1]

    def _level(self, contract: Contract) -> int:
        """A contraction's ``loop_level`` among these."""
        return sum(k < contract.loop_level for k in self._levels)

    def _moves(self, contract: Contract, stream: str) -> tuple[int, ...]:
        """A stream's strides along these; empty if it stays where it is."""
        strides = contract.moves[STREAMS.index(stream)]
        used = tuple(strides[k] if k < len(strides) else 0 for k in self._levels)
        return used if any(used) else ()

    def _offsets(self) -> dict[int, tuple[int, ...]]:
        """Strides of the offsets in use: one offset for all streams that move alike."""
        offsets: dict[int, tuple[int, ...]] = {}
        for stream in ("operand", "aux", "result", "weight"):
            for contract in self.body:
                moves = self._moves(contract, stream)
                if moves and not any(offsets.get(k) == moves for k in OFFSETS[stream]):
                    free = [k for k in OFFSETS[stream] if k not in offsets]
                    if not free:
                        raise ValueError(f"A loop's {stream} addresses move in too many ways")
                    offsets[free[0]] = moves
        return offsets

    def check(self, counters: int) -> None:
        """Raise ``ValueError`` if a sequencer with so many counters cannot run the loop."""
        levels, offsets = len(self._levels), sorted(self._offsets())
        if levels > counters or not set(offsets) <= set(loop_offsets(counters)):
            raise ValueError(
                f"A loop of {levels} counters with the offsets {offsets} is more than the chip "
                f"has: {counters} counters, with the offsets {list(loop_offsets(counters))}"
            )

    def rows(self, shifts: Sequence[int]) -> list[int]:
        levels, offsets = self._levels, self._offsets()
        counts = [self.counts[k] for k in levels]
        strides = [
            [offsets[k][n] if k in offsets else 0 for k in range(4)] for n in range(len(levels))
        ]
        counts += [1] * (MAX_LOOPS - len(levels))
        strides += [[0] * 4] * (MAX_LOOPS - len(levels))
        rows = [int(Opcode.LOOP), _row([count - 1 for count in counts])]
        rows += map(_row, _advances(counts, strides))
        for contract in self.body:
            fields = {"loop_last": contract is self.body[-1], "loop_level": self._level(contract)}
            for stream, names in OFFSETS.items():
                moves = self._moves(contract, stream)
                chosen = [k for k in names if moves and offsets.get(k) == moves]
                # Streams with one offset to name have a bit for it.
                fields[f"{stream}_offset"] = (chosen[0] if len(names) > 1 else 1) if chosen else 0
            rows += contract.rows(shifts, **fields)
        return rows


def _row(fields: Sequence[int]) -> int:
    """Pack up to four fields, modulo 2**16 each (addresses wrap)."""
    return sum((value & 0xFFFF) << (16 * k) for k, value in enumerate(fields))


def encode(section: Sequence[Contract | Loop], shifts: Sequence[int]) -> list[int]:
    """Rows of one section, with its ``End``."""
    return [row for item in section for row in item.rows(shifts)] + [int(Opcode.END)]


def overhead(section: Sequence[Contract | Loop], chip: Chip) -> int:
    """Cycles of one run of a section on a chip in which no contraction issues products."""
    cycles = chip.timing.end_cycles
    for item in section:
        for contract in item.body if isinstance(item, Loop) else (item,):
            runs = item.runs(contract) if isinstance(item, Loop) else 1
            cycles += runs * pause(contract, chip)
    return cycles


def pause(contract: Contract, chip: Chip) -> int:
    """Cycles of one run of a contraction, and up to the next, in which it issues no products."""
    timing = chip.timing
    if timing.results_apart:
        return timing.gap_cycles + contract.pauses(chip.lanes)
    return timing.gap_cycles + contract.turns(timing.sine_apart)
