"""Straight-line programs of the residual unit: one multiply-add, a register file, no branches.

An instruction of operands ``a``, ``b`` and an accumulator, which is exact::

    acc = (0 if first else acc) + (-1 if subtract else 1) * register[a] * register[b]
    if store:     register[target] = saturate(round(acc, shift), width)
    if residual:  the same value is the next residual of the point

The functions are those of docs/numerics.md, section 1. Before a program runs for a point, the host
has written the constants, once, and the unit the point's inputs: coordinates, data words, and
functionals of the field or the network's output.
"""

from dataclasses import dataclass

from zerotrain.spec.formats import QFormat

__all__ = ["Instruction", "ProblemPrograms", "ResidualProgram"]

_REGISTER_BITS = 10
_SHIFT_BITS = 6
_WIDTH_BITS = 5


@dataclass(frozen=True, slots=True)
class Instruction:
    """One multiply-add; registers by number."""

    a: int
    b: int
    subtract: bool = False
    first: bool = False
    store: bool = False
    residual: bool = False
    target: int = 0
    shift: int = 0
    width: int = 0

    #: Fields of a row from bit 0, with their bits.
    LAYOUT = (
        ("a", _REGISTER_BITS), ("b", _REGISTER_BITS), ("target", _REGISTER_BITS),
        ("shift", _SHIFT_BITS), ("width", _WIDTH_BITS), ("subtract", 1), ("first", 1),
        ("store", 1), ("residual", 1),
    )  # fmt: skip

    def encode(self) -> int:
        """The row of program memory."""
        row, place = 0, 0
        for name, bits in self.LAYOUT:
            value = int(getattr(self, name))
            if not 0 <= value < 1 << bits:
                raise ValueError(f"Field {name} of a residual instruction is {bits} bits: {value}")
            row |= value << place
            place += bits
        return row

    @classmethod
    def decode(cls, row: int) -> "Instruction":
        """The instruction of a row."""
        values: dict[str, int] = {}
        for name, bits in cls.LAYOUT:
            values[name] = row & ((1 << bits) - 1)
            row >>= bits
        a, b, target, shift, width, *rest = values.values()
        subtract, first, store, residual = map(bool, rest)
        return cls(a, b, subtract, first, store, residual, target, shift, width)


@dataclass(frozen=True, slots=True)
class ResidualProgram:
    """A program and where its inputs are.

    Attributes
    ----------
    fmt : QFormat
        Of the registers, but for factors among the constants.
    rows : tuple of Instruction
    constants : tuple of int
        Registers 0, 1, ...
    coordinates, data : int
        Register of the first coordinate and of the first data word.
    values : int
        Register of the first functional, or of the network's output.
    registers : int
        Size of the register file.
    result : int
        Register of the result where the program yields no residuals.
    """

    fmt: QFormat
    rows: tuple[Instruction, ...]
    constants: tuple[int, ...]
    coordinates: int
    data: int
    values: int
    registers: int
    result: int = 0


@dataclass(frozen=True, slots=True)
class ProblemPrograms:
    """What a problem needs: a program for F at a node, and one per group for its residuals."""

    field: ResidualProgram
    groups: tuple[ResidualProgram, ...]
