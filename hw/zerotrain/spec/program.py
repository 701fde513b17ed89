"""Contraction programs: the engine's instructions, bit by bit.

A program is a list of 64-bit rows, each of four 16-bit fields; field 0 is the lowest. Address rows
carry one field per address stream: weight, operand, auxiliary, result.

``Contract`` is a nest of up to six counters, level 0 innermost. The lowest ``reduce`` levels are
summed over::

    result[o] = requantize([bias[aux] +] sum_k weight[a(o, k)] * operand[b(o, k)])

With ``subtract``, which only merging has, the outermost summed level counts two, and the products
of its second turn are subtracted.

    row 0          control word (CONTRACT_FIELDS)
    row 1          counts - 1 of levels 0..3
    row 2          counts - 1 of levels 4, 5
    row 3          start address of every stream
    row 4 + L      what is added to every address when level L advances, for each level in use

``Loop`` repeats the contractions up to the one marked ``loop_last``, over up to four counters,
level 0 innermost. Four offsets, zero at first, move with the counters; a contraction adds to the
start address of each stream the offset that it names, if any: operand addresses offset 0, weight
addresses one of the offsets 1 to 3, auxiliary and result addresses offset 3. A contraction with
``loop_level`` L runs in the first pass, and then whenever level L or one outside it has advanced::

    row 0          control word
    row 1          counts - 1 of levels 0..3
    row 2 + L      what is added to every offset when level L advances, four rows

``End`` is one row of zeros and ends a section. Loops do not nest.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from zerotrain.spec.activations import ACTIVATION_BITS

__all__ = [
    "CONTRACT_FIELDS", "LEAST_APART", "MAX_LEVELS", "MAX_LOOPS", "OFFSETS", "SINE", "STREAMS",
    "Opcode", "Program", "Result", "Source", "loop_offsets",
]  # fmt: skip

MAX_LEVELS = 6
MAX_LOOPS = 4
STREAMS = ("weight", "operand", "aux", "result")

#: Cycles between the last products of two sums on a compact chip, at least: so long, an address on
#: its way stays in each of three registers.
LEAST_APART = 4

#: Bit of the activation field.
SINE = ACTIVATION_BITS

#: The loop offsets that each stream can name.
OFFSETS = {"weight": (1, 2, 3), "operand": (0,), "aux": (3,), "result": (3,)}


def loop_offsets(counters: int) -> tuple[int, ...]:
    """The offsets that a sequencer with so many counters of a loop has.

    One counter is for the tiles of a forward pass, with which no operand moves, and weights move in
    one way.
    """
    return (0, 1, 2, 3) if counters > 1 else (1, 3)


class Opcode(IntEnum):
    END = 0
    CONTRACT = 1
    LOOP = 2


class Source(IntEnum):
    """Where the lanes' operand comes from. ``act`` is the control word's activation."""

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
    "unit_weight": (15, 1),
    "bias": (16, 1),
    "loop_last": (17, 1),
    "shift": (18, 4),
    "constant_shift": (22, 5),
    "levels": (27, 3),
    "weight_offset": (30, 2),
    "operand_offset": (32, 1),
    "aux_offset": (33, 1),
    "result_offset": (34, 1),
    "loop_level": (35, 2),
    "sync": (37, 1),
    "subtract": (38, 1),
    # Code of spec.activations, of what is read; and SINE: of the results, which are
    # pre-activations, the sine is written.
    "activation": (39, ACTIVATION_BITS + 1),
}


@dataclass(frozen=True, slots=True)
class Program:
    """An encoded program and the first row of each of its sections.

    ``merge`` runs once per copy of the parameters, ``forward`` once per pass; in a CGE
    step by environments, ``cge_merge`` runs after ``merge`` and ``cge`` after ``forward``.
    """

    rows: tuple[int, ...] = (0,)
    merge: int = 0
    forward: int = 0
    cge_merge: int = 0
    cge: int = 0
    listing: tuple[str, ...] = field(default=(), compare=False)
