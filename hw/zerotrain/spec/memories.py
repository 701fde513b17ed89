"""Every memory of a chip: who owns it, how deep and how wide it is, what kind of store it asks for.

Gateware builds these memories and no others; the planner's depths and a board's estimate are taken
from the same list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from zerotrain.spec.batch import address_bits
from zerotrain.spec.chip import COMMON_PART, Chip
from zerotrain.spec.choices import Core, Place, Store
from zerotrain.spec.registers import REGISTERS
from zerotrain.spec.sine import signed_bits, sine_lines
from zerotrain.spec.tables import EXP2, FINE_BITS, LOG2

__all__ = ["PART_LANES", "Kind", "Memory", "memories", "segments"]

#: Lanes of a group whose words have block RAM and address registers of their own: words of any even
#: width of nine lanes fill whole blocks of ECP5's.
PART_LANES = 9
#: Words of ECP5's block RAM at 16 to 18 bits.
_BLOCK = 1024


class Kind(StrEnum):
    """What kind of store a memory asks for."""

    BLOCKS = "blocks"  # block RAM, or LUT RAM where it is shallow and the part has that
    SPRAM = "spram"  # single-port RAM of the iCE40UP5K
    TABLE = "table"  # never written: logic, since it is small
    LINES = "lines"  # never written, in block RAM


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory with one write port, or none, and registered read ports.

    Parameters
    ----------
    owner, name : str
        The part of the chip that it belongs to, and what it holds.
    depth, width : int
        Words, and bits of a word.
    part : int
        Bits that can be written apart from the others of a word; ``width`` where a write is whole.
    reads : int
        Read ports.
    shares_port : bool
        One of them never reads while something is written, with the write port's address.
    kind : Kind
    """

    owner: str
    name: str
    depth: int
    width: int
    part: int = 0
    reads: int = 1
    shares_port: bool = False
    kind: Kind = Kind.BLOCKS

    def __post_init__(self) -> None:
        object.__setattr__(self, "part", self.part or self.width)

    def __str__(self) -> str:
        return f"{self.owner} {self.name}"

    @property
    def bits(self) -> int:
        return self.depth * self.width


def segments(depth: int) -> list[int]:
    """Depths of the memories that a large one is made of, each a power of two of blocks but the
    last. In those, block RAM holds a few bits of all words, and none is multiplexed; between them,
    the leading address bits decide. It takes no more blocks than one memory of full words."""
    blocks, parts = -(-depth // _BLOCK), []
    while blocks:
        parts.append(_BLOCK << (blocks.bit_length() - 1))
        blocks -= parts[-1] // _BLOCK
    parts[-1] -= sum(parts) - depth
    return parts


def memories(chip: Chip) -> tuple[Memory, ...]:
    """All memories of a chip."""
    return (
        *_STATE[chip.store](chip), *_losses(chip), *_batch(chip), *_program(chip), *_weights(chip),
        *_LANES[chip.core](chip), *_sines(chip), *_loss(chip), *_update(chip),
    )  # fmt: skip


def _single_port(chip: Chip, owner: str, name: str, depth: int, width: int) -> Iterator[Memory]:
    """A large memory of parameters or weights."""
    columns = chip.spram_columns(name if owner == "store" else owner, depth, width)
    yield from _split(owner, name, depth, width, columns)


def _split(owner: str, name: str, depth: int, width: int, columns: int) -> Iterator[Memory]:
    """A memory of which some columns, or all, may be in SPRAM."""
    if columns:
        yield Memory(owner, name, depth, columns, kind=Kind.SPRAM)
    if columns < width:
        yield Memory(owner, name, depth, width - columns)


def _own_state(chip: Chip) -> Iterator[Memory]:
    """Parameters and momentum in memories of their own."""
    f, depth = chip.formats, chip.parameter_depth
    yield from _single_port(chip, "store", "parameter", depth, f.weight.width)
    yield from _single_port(chip, "store", "momentum", depth, f.momentum.width)


def _common_state(chip: Chip) -> Iterator[Memory]:
    """The same together with samples and pre-activations."""
    rows, width = chip.training_base + chip.parameter_depth, chip.common_width
    yield Memory("store", "common", rows, width, COMMON_PART, kind=Kind.SPRAM)


_STATE = {Store.BLOCKS: _own_state, Store.SPRAM: _own_state, Store.COMMON: _common_state}


def _losses(chip: Chip) -> Iterator[Memory]:
    """Losses, and differences of them for the update."""
    yield from _split("losses", "words", chip.loss_rows, chip.loss_word, chip.loss_columns)
    if not chip.keeps_differences:
        yield Memory("update", "differences", chip.query_depth, chip.difference_width)


def _batch(chip: Chip) -> Iterator[Memory]:
    """Targets; samples are with the lanes."""
    width = chip.target_width
    yield Memory("targets", "rows", chip.target_rows, chip.loss_ways * width, width)


def _program(chip: Chip) -> Iterator[Memory]:
    """Instructions, of which a merge unit reads its own, and what registers hold."""
    yield Memory("program", "rows", chip.program_depth, 64, 32, reads=chip.weight_banks)
    yield Memory("bank", "stored", len(REGISTERS), 32)


def _weights(chip: Chip) -> Iterator[Memory]:
    """Weights under evaluation: one area, or two banks and a copy of the lowest words."""
    width = chip.formats.weight.width
    if not chip.has_merge_unit:
        yield from _single_port(chip, "weights", "words", chip.weight_depth, width)
        return
    for _ in range(chip.weight_banks):
        for depth in segments(chip.weight_depth // chip.weight_banks):
            yield Memory("weights", "half", depth, width)
    for depth in segments(chip.merge_depth):
        yield Memory("weights", "factors", depth, width, reads=2, shares_port=True)


def _lane_rows(chip: Chip) -> list[tuple[str, int, int]]:
    """Name, rows and bits of a word of the memories whose rows hold a word of every lane."""
    f = chip.formats
    rows = [("scratch", chip.scratch_rows, f.lane_width)]
    if chip.preact_place == Place.OWN:
        rows.append(("preact", chip.preact_depth, f.lane_width))
    if not chip.store.kind.common:
        rows.append(("samples", chip.sample_rows, f.input.width))
    return rows


def _grouped_lanes(chip: Chip) -> Iterator[Memory]:
    """Groups of lanes. Samples come one by one, other words of a row together."""
    for group in chip.lane_groups:
        for name, depth, width in _lane_rows(chip):
            if name == "samples":
                yield Memory("engine", "input", depth, len(group) * width, width)
                continue
            for first in range(0, len(group), PART_LANES):
                lanes = min(PART_LANES, len(group) - first)
                yield Memory("engine", name, depth, lanes * width)


def _compact_lanes(chip: Chip) -> Iterator[Memory]:
    """Words of a row are written one after the other."""
    names = {"samples": "sample"}
    for name, depth, width in _lane_rows(chip):
        yield Memory("engine", names.get(name, name), depth, chip.lanes * width, width)


_LANES = {Core.PIPELINED: _grouped_lanes, Core.COMPACT: _compact_lanes}


def _sines(chip: Chip) -> Iterator[Memory]:
    """The table of every sine unit."""
    for _ in range(chip.sine_units):
        lines = sine_lines(chip.formats.preact)
        width = sum(map(signed_bits, lines))
        yield Memory("engine", "lines", len(lines[0]), width, kind=Kind.LINES)


def _loss(chip: Chip) -> Iterator[Memory]:
    """Logits, what is kept of them, and tables of the softmax."""
    f, exponentials = chip.formats, chip.loss.record.exponentials
    curves = (EXP2, LOG2)
    if chip.serial_loss:
        tables = sum(2 * (len(curve) - 1) for curve in curves)
        words = chip.output_depth << address_bits(chip.lanes) + chip.has_environments
        width = max(f.logit.width, FINE_BITS)
        yield Memory("loss", "words", max(words, tables) + tables, width)
        return
    per_way = chip.layout.lanes_per_way
    for _ in range(chip.loss_ways):
        yield Memory("loss", "rows", 2 * chip.output_depth, per_way * f.logit.width)
    if chip.has_environments:
        # Of squared errors, differences from the targets are kept.
        width = f.logit.width + (not exponentials)
        yield Memory("loss", "kept", per_way * chip.output_depth, chip.loss_ways * width)
    if exponentials:
        # A single way shares its interpolator with the logarithm.
        single = [curves] if chip.loss_ways == 1 else [(EXP2,)] * chip.loss_ways + [(LOG2,)]
        for held in single:
            depth = sum(len(curve) - 1 for curve in held)
            slopes = max(b - a for c in held for a, b in zip(c, c[1:], strict=False))
            yield Memory("loss", "slope", depth, slopes.bit_length(), kind=Kind.TABLE)
            yield Memory("loss", "value", depth, FINE_BITS, kind=Kind.TABLE)


def _update(chip: Chip) -> Iterator[Memory]:
    """States of the perturbation generator."""
    yield Memory("update", "snapshots", chip.query_depth, chip.lfsr_degree)
