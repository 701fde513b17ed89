"""A differential equation as golden model, compiler and host know it (docs/physics-numerics.md).

The solution is ``u = a(x) f(x) + b(x)`` with the network's output f and polynomials a and b. The
field is ``F = a f``. An :class:`Equation` is exact mathematics; a :class:`Problem` adds the
integers: nodes, weights and formats.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor, ldexp

from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Kind, Polynomial

__all__ = [
    "FIELD_WIDTH", "MOST_RESIDUALS", "MOST_TERMS", "RESIDUAL_WIDTH", "WORD_WIDTH", "Derivative",
    "Equation", "Functional", "PointGroup", "Problem", "ResidualFormats", "Stencil",
    "constant_word", "offset_word",
]  # fmt: skip

#: Terms of a sum of products, at most: so many products of words fit 63 bits.
MOST_TERMS = 255
#: Residuals of a batch, at most: the sum of so many squares fits 63 bits.
MOST_RESIDUALS = 1 << 16
#: Bits of F and of what leads to it, of functionals and data, and of residuals, at most.
FIELD_WIDTH, WORD_WIDTH, RESIDUAL_WIDTH = 28, 28, 24

#: Coordinates by which the field is differentiated, ascending; () is the field itself.
Derivative = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Functional:
    """What is taken from the field around a point: a sum of derivatives times numbers."""

    parts: tuple[tuple[Derivative, Fraction], ...]

    @classmethod
    def of(cls, *derivatives: Derivative) -> "Functional":
        """The plain sum of some derivatives."""
        return cls(tuple((d, Fraction(1)) for d in derivatives))


@dataclass(frozen=True, slots=True)
class PointGroup:
    """Points at which the same residuals are to vanish.

    Attributes
    ----------
    name : str
        Such as ``interior`` or ``boundary``.
    functionals : tuple of Functional
        What residuals take from the field: ``VALUE`` k of their polynomials is functional k.
    residuals : tuple of Polynomial
        In coordinates, data and functionals.
    """

    name: str
    functionals: tuple[Functional, ...]
    residuals: tuple[Polynomial, ...]


@dataclass(frozen=True, slots=True)
class Equation:
    """Residuals of a differential equation, exactly.

    Attributes
    ----------
    coordinates, data : tuple of str
        Names of the coordinates, which are the network's inputs, and of the data words of a point.
    factor, offset : Polynomial
        a and b, in the coordinates.
    groups : tuple of PointGroup
    """

    coordinates: tuple[str, ...]
    data: tuple[str, ...]
    factor: Polynomial
    offset: Polynomial
    groups: tuple[PointGroup, ...]

    @property
    def field(self) -> Polynomial:
        """``a f``."""
        return self.factor * Polynomial.variable(Kind.OUTPUT)

    @property
    def n_coordinates(self) -> int:
        return len(self.coordinates)


@dataclass(frozen=True, slots=True)
class ResidualFormats:
    """Formats between the network's output and the loss.

    Parameters
    ----------
    field : QFormat
        F at a node, and every intermediate on the way to it.
    word : QFormat
        Functionals of F, data, and every intermediate of a residual.
    residual : QFormat
        Residuals.
    """

    field: QFormat = QFormat(FIELD_WIDTH, 24)
    word: QFormat = QFormat(WORD_WIDTH, 20)
    residual: QFormat = QFormat(RESIDUAL_WIDTH, 20)

    def __post_init__(self) -> None:
        for name, fmt, width in (
            ("field", self.field, FIELD_WIDTH), ("word", self.word, WORD_WIDTH),
            ("residual", self.residual, RESIDUAL_WIDTH),
        ):  # fmt: skip
            if not 8 <= fmt.width <= width or not 0 <= fmt.frac_bits <= fmt.width - 2:
                raise ValueError(
                    f"Format {name} of residuals has 8 to {width} bits and holds the value 1, got "
                    f"{fmt}"
                )
        if self.residual.frac_bits > 2 * self.word.frac_bits:
            raise ValueError(
                f"Residuals have at most twice the fraction bits of words, got {self.residual} and "
                f"{self.word}"
            )


@dataclass(frozen=True, slots=True)
class Stencil:
    """Nodes around a point, and how functionals follow from the field there.

    A functional is ``requantize(sum_k weights[k] * F_k, shift)`` in format ``word``.

    Attributes
    ----------
    offsets : tuple
        For every node what is added to the point: ``(coordinate, amount)`` pairs by coordinate,
        amounts raw in ``input`` and not zero.
    weights : tuple of tuple of int
        For every functional one per node.
    shifts : tuple of int
        For every functional, 0 or more.
    """

    offsets: tuple[tuple[tuple[int, int], ...], ...]
    weights: tuple[tuple[int, ...], ...]
    shifts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """An equation with all integers that residuals are computed with.

    Attributes
    ----------
    equation : Equation
    stencils : tuple of Stencil
        One per group of points.
    points : tuple of int
        Points of each group in a batch: the first so many, then those of the next group.
    input, output : QFormat
        Of coordinates and of f.
    formats : ResidualFormats
    """

    equation: Equation
    stencils: tuple[Stencil, ...]
    points: tuple[int, ...]
    input: QFormat
    output: QFormat
    formats: ResidualFormats = field(default_factory=ResidualFormats)

    def __post_init__(self) -> None:
        formats = self.formats
        for name, fmt, low in (
            ("Coordinates", self.input, min(formats.field.frac_bits, formats.word.frac_bits)),
            ("Outputs of the network", self.output, formats.field.frac_bits),
        ):
            if fmt.frac_bits > low:
                raise ValueError(
                    f"{name} become words of residuals by shifts to the left: expected at most "
                    f"{low} fraction bits, got {fmt}"
                )
        if len(self.points) != len(self.equation.groups) or min(self.points) < 1:
            raise ValueError(
                f"A batch has 1 point or more of each of {len(self.equation.groups)} groups, got "
                f"{self.points}"
            )
        if self.n_residuals > MOST_RESIDUALS:
            raise ValueError(
                f"A batch has at most {MOST_RESIDUALS:,} residuals, got {self.n_residuals:,}: take "
                "fewer points"
            )
        for polynomial in self._polynomials():
            for size, terms in polynomial.by_size():
                if len(terms) > MOST_TERMS:
                    raise ValueError(
                        f"A sum of a residual has at most {MOST_TERMS} terms with the same "
                        f"coefficient, got {len(terms)} with {size}: make a smaller equation of it"
                    )

    def _polynomials(self) -> Iterator[Polynomial]:
        yield self.equation.field
        for group in self.equation.groups:
            yield from group.residuals

    def n_nodes(self, group: int) -> int:
        """Evaluations of the network per point of a group."""
        return len(self.stencils[group].offsets)

    def gains(self, group: int) -> list[float]:
        """By how much each functional of a group is noisier than the field at a node, if the noise
        of nodes is independent."""
        align = self.formats.field.frac_bits - self.formats.word.frac_bits
        stencil = self.stencils[group]
        return [
            ldexp(sum(w * w for w in row) ** 0.5, align - shift)
            for row, shift in zip(stencil.weights, stencil.shifts, strict=True)
        ]

    @property
    def batch(self) -> int:
        """Points of a batch."""
        return sum(self.points)

    @property
    def spans(self) -> list[slice]:
        """Where the points of each group are in a batch."""
        ends = [sum(self.points[:k]) for k in range(len(self.points) + 1)]
        return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the network for one loss."""
        return sum(n * self.n_nodes(g) for g, n in enumerate(self.points))

    @property
    def n_residuals(self) -> int:
        """Residuals of a batch."""
        groups = self.equation.groups
        return sum(n * len(g.residuals) for n, g in zip(self.points, groups, strict=True))

    def error(self, count: int) -> "Problem":
        """The problem whose residual is what the solution misses at so many points: ``F - data``,
        with the exact ``u - b`` as data."""
        field, word = self.formats.field.frac_bits, self.formats.word.frac_bits
        value = Polynomial.variable(Kind.VALUE, 0) - Polynomial.variable(Kind.DATA, 0)
        group = PointGroup("check", (Functional.of(()),), (value,))
        equation = replace(self.equation, data=("exact",), groups=(group,))
        scale = max(0, word - field)
        stencil = Stencil(((),), ((1 << scale,),), (max(0, field - word),))
        return replace(self, equation=equation, stencils=(stencil,), points=(count,))


def constant_word(value: Fraction, fmt: QFormat) -> tuple[int, int]:
    """The factor ``mantissa * 2**-shift`` for a number above 0: with the largest shift, up to twice
    the width, for which the mantissa, rounded half up, fits a word.

    Raises
    ------
    ValueError
        If the number is out of range.
    """
    for shift in range(2 * fmt.width, -1, -1):
        mantissa = floor(value * (1 << shift) + Fraction(1, 2))
        if mantissa <= fmt.raw_max:
            return mantissa, shift
    raise ValueError(f"A number in an equation is below 2**{fmt.width - 1}, got {value}")


def offset_word(value: Fraction, fmt: QFormat) -> int:
    """A number that is added, as the nearest word, half up.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    word = floor(value * (1 << fmt.frac_bits) + Fraction(1, 2))
    if not fmt.raw_min <= word <= fmt.raw_max:
        raise ValueError(
            f"A number that an equation adds fits format {fmt}, {fmt.raw_min * fmt.resolution:g} "
            f"to {fmt.raw_max * fmt.resolution:g}, got {value}: give the residual a weight"
        )
    return word
