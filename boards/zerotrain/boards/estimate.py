"""What a chip needs at least of a part, known before anything is synthesised."""

from collections import Counter
from collections.abc import Iterable

from zerotrain.boards.catalogue import Board
from zerotrain.boards.family import Family, Resource
from zerotrain.spec.chip import Chip
from zerotrain.spec.memories import Kind, Memory, memories

__all__ = ["block_rams", "check_fits", "fits", "least_resources", "memory_blocks", "misfit"]

#: Words of one SPRAM, and bits of a word.
_SPRAM = 16384, 16


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
            f"A chip of {chip.lanes} lanes does not fit {board.name}: the {problem}; {advice}"
        )


def _largest(chip: Chip, family: Family, resource: Resource) -> str:
    """The memories that use most of a resource, for a message."""
    counts: Counter[str] = Counter()
    for memory in memories(chip):
        counts[str(memory)] += memory_blocks(memory, family)[resource]
    named = ", ".join(f"{name} {n}" for name, n in counts.most_common(3) if n)
    return f" ({named})" if named else ""
