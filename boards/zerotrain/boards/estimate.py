"""What a chip needs at least of a part, known before anything is synthesised."""

from collections import Counter
from collections.abc import Iterable

from zerotrain.boards.catalogue import Board
from zerotrain.boards.family import Family, Resource
from zerotrain.spec.chip import Chip
from zerotrain.spec.choices import Core
from zerotrain.spec.memories import Kind, Memory, memories
from zerotrain.spec.words import counted

__all__ = [
    "block_rams", "check_fits", "expected_resources", "fits", "least_resources", "may_fit",
    "memory_blocks", "misfit", "shortage",
]  # fmt: skip

#: Words of one SPRAM, and bits of a word.
_SPRAM = 16384, 16
#: Logic of a chip without lanes, and of each lane, of straight lines through chips that were
#: synthesised: LUTs of pipelined chips; logic cells of compact ones, by whether they have
#: environments and a serial loss unit.
_PIPELINED_LOGIC = 8000, 530
_COMPACT_LOGIC = {
    (False, True): (4010, 82), (True, True): (4850, 162),
    (False, False): (4430, 82), (True, False): (4540, 162),
}  # fmt: skip
#: What loops add to a compact chip without environments.
_LOOPS_LOGIC = 200
#: What a sine unit adds to a chip of words of 16 bits.
_SINE_LOGIC = {Core.PIPELINED: 190, Core.COMPACT: 300}
#: What the commands for the halves of a step add.
_SPLIT_LOGIC = {Core.PIPELINED: 115, Core.COMPACT: 55}
#: Block RAMs that synthesis made of pipelined chips besides those of the large memories.
_SMALL_MEMORIES = 1
#: Block RAMs that it made of some besides, whose samples are in memories of more than ten thousand
#: words.
_SPARE = {Core.PIPELINED: 2, Core.COMPACT: 0}


def block_rams(family: Family, depth: int, width: int, part: int | None = None) -> int:
    """Block RAMs that Yosys uses for a memory; 0 where it prefers logic.

    Equal to Yosys' own result but for rare shapes where Yosys packs odd ends better (iCE40,
    700 x 9: 2, not 3); never less.

    Parameters
    ----------
    family : Family
        Part family.
    depth, width : int
        Words, and bits of a word.
    part : int, optional
        Bits of a word that can be written apart, by default all of them.
    """
    part = width if part is None else part
    if depth < 1 or width < 1 or part < 1 or width % part:
        raise ValueError(
            f"A memory has at least one word of at least one bit, in equal parts; got depth "
            f"{depth}, width {width}, part {part}"
        )
    return family.blocks(depth, width, part)


def memory_blocks(memory: Memory, family: Family) -> Counter[Resource]:
    """Blocks that a memory of a chip takes. Two reads at a time are two memories, unless one of
    them can share a port with what writes."""
    if memory.kind == Kind.TABLE:
        return Counter()
    if memory.kind == Kind.SPRAM:
        words, bits = _SPRAM
        return Counter({Resource.SPRAM: -(-memory.depth // words) * -(-memory.width // bits)})
    copies = memory.reads - (memory.shares_port and family.dual_port)
    blocks = block_rams(family, memory.depth, memory.width, memory.part)
    return Counter({Resource.BLOCK_RAM: copies * blocks})


def _blocks(found: Iterable[Memory], family: Family) -> Counter[Resource]:
    return sum((memory_blocks(memory, family) for memory in found), Counter())


def least_resources(chip: Chip, board: Board) -> dict[Resource, int]:
    """Multipliers of the lanes, and blocks of the memories.

    Logic is not estimated: only synthesis knows it. Loss and update units may add multipliers.
    """
    operand, per_lane = board.family.operand_bits, 1
    for width in (chip.formats.weight.width, chip.formats.lane_width):
        per_lane *= -(-width // operand)
    least = {Resource.MULTIPLIER: chip.lanes * per_lane, Resource.BLOCK_RAM: 0}
    return least | _blocks(memories(chip), board.family)


def expected_resources(chip: Chip, board: Board) -> dict[Resource, int]:
    """What synthesis will about make of a chip: besides :func:`least_resources`, the multipliers of
    its loss, merge and sine units, and its logic, to a tenth or so."""
    expected, record = dict(least_resources(chip, board)), chip.loss.record
    if not chip.serial_loss:
        # An interpolator per way and one for the logarithm, or a square per way.
        square = (-(-(chip.formats.logit.width + 1) // board.family.operand_bits)) ** 2
        ways = chip.loss_ways
        expected[Resource.MULTIPLIER] += ways + (ways > 1) if record.exponentials else ways * square
    expected[Resource.MULTIPLIER] += chip.has_merge_unit
    if chip.compact:
        base, lane = _COMPACT_LOGIC[chip.has_environments, chip.serial_loss]
        base += _LOOPS_LOGIC * (chip.loops and not chip.has_environments)
    else:
        base, lane = _PIPELINED_LOGIC
        expected[Resource.MULTIPLIER] += chip.sine_units
        expected[Resource.BLOCK_RAM] += _SMALL_MEMORIES
    base += _SINE_LOGIC[chip.core] * chip.sine_units + _SPLIT_LOGIC[chip.core] * chip.split
    cells = Resource.LOGIC if Resource.LOGIC in board.resources else Resource.LUT
    return expected | {cells: base + lane * chip.lanes}


def shortage(chip: Chip, board: Board) -> dict[Resource, tuple[int, int]]:
    """What a part probably has too little of for a chip: what that takes, and what there is."""
    expected = expected_resources(chip, board)
    expected[Resource.BLOCK_RAM] += _SPARE[chip.core]
    found = {r: (n, board.resources.get(r, 0)) for r, n in expected.items()}
    return {resource: pair for resource, pair in found.items() if pair[0] > pair[1]}


def may_fit(chip: Chip, board: Board) -> bool:
    """Whether a chip probably fits a board; only synthesis knows that it does."""
    return not shortage(chip, board)


def fits(chip: Chip, board: Board) -> bool:
    """Whether a chip may fit a board; only synthesis knows that it does."""
    needed = least_resources(chip, board)
    return all(need <= board.resources.get(resource, 0) for resource, need in needed.items())


def misfit(chip: Chip, board: Board) -> str:
    """What a part has too little of for a chip, whatever synthesis does: the part, each such
    resource, and what the chip needs. Empty where it may fit."""
    problems = []
    for resource, need in least_resources(chip, board).items():
        available = board.resources.get(resource, 0)
        if need > available:
            problems.append(
                f"{available} {resource}s, the chip needs {need}, {need - available} too many"
                + _largest(chip, board.family, resource)
            )
    return f"{board.part} has {'; and '.join(problems)}" if problems else ""


def check_fits(
    chip: Chip, board: Board, *, advice: str = "use fewer lanes or a larger board"
) -> None:
    """Refuse a chip that cannot fit a board, whatever synthesis does.

    Raises
    ------
    ValueError
        Naming the resource, what the part has, what the chip needs, and what to do.
    """
    problem = misfit(chip, board)
    if problem:
        raise ValueError(
            f"A chip of {counted(chip.lanes, 'lane')} does not fit {board.name}: the {problem}; "
            f"{advice}"
        )


def _largest(chip: Chip, family: Family, resource: Resource) -> str:
    """The memories that use most of a resource, for a message."""
    counts: Counter[str] = Counter()
    for memory in memories(chip):
        counts[str(memory)] += memory_blocks(memory, family)[resource]
    named = ", ".join(f"{name} {n}" for name, n in counts.most_common(3) if n)
    return f" ({named})" if named else ""
