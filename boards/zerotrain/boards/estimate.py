"""What a chip needs at least of a part, known before anything is synthesised."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from zerotrain.boards.catalogue import Board, Family, Resource
from zerotrain.spec.chip import Chip, Store
from zerotrain.spec.tables import FINE_BITS

__all__ = ["MemoryNeed", "block_rams", "check_fits", "chip_memories", "fits", "least_resources"]

# Shapes (word width, words) that Yosys makes of one block: iCE40's SB_RAM40_4K, ECP5's DP16KD.
_SHAPES = {
    Family.ICE40: ((16, 256), (8, 512), (4, 1024), (2, 2048), (1, 4096)),
    Family.ECP5: ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
}


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """A memory with one write port and one registered read port.

    Parameters
    ----------
    name : str
        For messages.
    depth : int
        Words.
    width : int
        Bits of a word.
    part : int
        Bits that can be written apart from the others of a word; ``width`` where a write is whole.
    """

    name: str
    depth: int
    width: int
    part: int

    @property
    def bits(self) -> int:
        return self.depth * self.width


def _ice40_blocks(depth: int, width: int, part: int) -> int:
    """The 16-bit shape has a write enable per bit; the others are written whole."""
    shapes = _SHAPES[Family.ICE40]
    # The last bits of a part may sit in blocks of another shape than the first.
    best = [0] * (part + 1)
    for bits in range(1, part + 1):
        best[bits] = min(best[max(0, bits - w)] + -(-depth // d) for w, d in shapes)
    masked = -(-width // 16) * -(-depth // 256)
    return min(masked, width // part * best[part])


def _ecp5_blocks(depth: int, width: int, part: int) -> int:
    """Wide shapes have a write enable per 9 bits; the others are written whole."""
    counts = []
    for w, d in _SHAPES[Family.ECP5]:
        if part == width:
            columns = -(-width // w)
        elif w >= 9:
            columns = -(-(width // part * (-(-part // 9) * 9)) // w)
        else:
            columns = width // part * -(-part // w)
        counts.append(columns * -(-depth // d))
    return min(counts)


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
    if family == Family.ECP5:
        blocks = _ecp5_blocks(depth, width, part)
        lut_rams = -(-depth // 16) * -(-part // 4) * (width // part)
        return 0 if 4 * lut_rams < 128 * blocks else blocks
    blocks = _ice40_blocks(depth, width, part)
    # Smaller memories become flip-flops.
    return 0 if depth * width <= 64 * blocks + 8 else blocks


def chip_memories(chip: Chip, family: Family) -> list[MemoryNeed]:
    """The large memories of a chip, as ``zerotrain.gateware.chip`` builds them."""
    f, groups = chip.formats, -(-chip.lanes // chip.loss_ways)
    target = chip.loss.record.target_width(f, chip.output_depth)
    whole = [] if chip.compact else [("loss", chip.loss_rows, f.loss.width)]
    for name, depth, width, columns in _single_port_memories(chip):
        if columns < width:
            whole.append((name, depth, width - columns))
    if chip.serial_loss:
        words = chip.output_depth << max(1, (chip.lanes - 1).bit_length()) + chip.has_environments
        # With them, slopes and values of two curves.
        whole.append(("logits", max(words, 256) + 256, max(f.logit.width, FINE_BITS)))
    else:
        whole.append(("logits", 2 * chip.output_depth, chip.lanes * f.logit.width))
    if chip.has_environments and not chip.serial_loss:
        kept = groups * chip.output_depth, chip.loss_ways * f.logit.width
        whole.append(("logits kept", *kept))
    parts = [
        ("program", chip.program_depth, 64, 32),
        ("target", chip.target_rows, chip.loss_ways * target, target),
    ]
    for lanes in map(len, chip.lane_groups):
        row = lanes * f.lane_width
        # On a compact chip, words of a row are written one after the other.
        part = f.lane_width if chip.compact else row
        parts.append(("scratch", chip.scratch_rows, row, part))
        if chip.has_environments:
            parts.append(("preact", chip.preact_depth, row, part))
        if not chip.common:
            parts.append(("input", chip.sample_rows, lanes * f.input.width, f.input.width))
    if chip.merge_depth:
        whole += [("weight", chip.weight_depth // 2, f.weight.width)] * 2
        # ECP5's blocks have two ports for reading; elsewhere two reads at a time are two memories.
        copies = 1 if family == Family.ECP5 else 2
        whole += [("factors", chip.merge_depth, f.weight.width)] * copies
        parts.append(("program of the merge unit", chip.program_depth, 64, 32))
    elif not chip.common:
        whole.append(("weight", chip.weight_depth, f.weight.width))
    return [MemoryNeed(n, d, w, w) for n, d, w in whole] + [MemoryNeed(*row) for row in parts]


def _single_port_memories(chip: Chip) -> list[tuple[str, int, int, int]]:
    """Name, depth and width of the memories that may be SPRAM, and how many columns of each are."""
    f = chip.formats
    found = [
        ("parameter", chip.parameter_depth, f.weight.width),
        ("momentum", chip.parameter_depth, f.momentum.width),
    ]
    if chip.common:
        found = [("weight", chip.weight_depth, f.weight.width)]
    if chip.compact:
        found.append(("loss", chip.loss_rows, chip.difference_width))
    out = [(*memory, chip.spram_columns(*memory[1:])) for memory in found]
    if chip.common:
        depth, width = chip.training_base + chip.parameter_depth, chip.common_width
        out.append(("common", depth, width, width))
    return out


def least_resources(chip: Chip, board: Board) -> dict[Resource, int]:
    """Multipliers of the lanes and block RAMs of the large memories.

    Logic is not estimated: only synthesis knows it. Loss and update units may add multipliers
    and small memories.
    """
    family = board.family
    blocks = sum(block_rams(family, m.depth, m.width, m.part) for m in chip_memories(chip, family))
    # One multiplier of a lane takes operands of at most 16 (iCE40) or 18 bits (ECP5).
    operand = 16 if family == Family.ICE40 else 18
    per_lane = 0
    for width in (chip.formats.weight.width, chip.formats.lane_width):
        per_lane = max(per_lane, 1) * -(-width // operand)
    needed = {Resource.MULTIPLIER: chip.lanes * per_lane, Resource.BLOCK_RAM: blocks}
    if chip.store != Store.BLOCKS:
        # Blocks of 16384 words of 16 bits.
        needed[Resource.SPRAM] = sum(
            -(-depth // 16384) * -(-columns // 16)
            for _, depth, _, columns in _single_port_memories(chip)
        )
    return needed


def fits(chip: Chip, board: Board) -> bool:
    """Whether a chip may fit a board; only synthesis knows that it does."""
    needed = least_resources(chip, board)
    return all(need <= board.resources.get(resource, 0) for resource, need in needed.items())


def check_fits(chip: Chip, board: Board) -> None:
    """Refuse a chip that cannot fit a board, whatever synthesis does.

    Raises
    ------
    ValueError
        Naming the resource, what the part has, and what the chip needs.
    """
    problems = []
    for resource, need in least_resources(chip, board).items():
        available = board.resources.get(resource, 0)
        if need > available:
            detail = ""
            if resource == Resource.BLOCK_RAM:
                detail = f" ({_largest(chip_memories(chip, board.family), board.family)})"
            problems.append(
                f"{available} {resource}s, the chip needs {need}, {need - available} too many"
                + detail
            )
    if problems:
        raise ValueError(
            f"A chip of {chip.lanes} lanes does not fit {board.name}: the {board.part} has "
            + "; and ".join(problems)
            + "; use fewer lanes or a larger board"
        )


def _largest(memories: Iterable[MemoryNeed], family: Family) -> str:
    """The memories that use most blocks, for a message."""
    counts: Counter[str] = Counter()
    for m in memories:
        counts[m.name] += block_rams(family, m.depth, m.width, m.part)
    return ", ".join(f"{name} {n}" for name, n in counts.most_common(3))
