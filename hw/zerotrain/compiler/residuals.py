"""From polynomials to programs of the residual unit, rounded as docs/physics-numerics.md has it."""

from collections.abc import Sequence

from zerotrain.spec.equation import Problem, constant_word, offset_word
from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Kind, Monomial, Polynomial, Variable
from zerotrain.spec.residual_program import Instruction, ProblemPrograms, ResidualProgram

__all__ = ["compile_polynomials", "compile_problem"]

#: Registers that an instruction can name.
_MOST_REGISTERS = 1024


def compile_problem(problem: Problem) -> ProblemPrograms:
    """The programs of a problem.

    Raises
    ------
    ValueError
        If one needs more registers than the unit has.
    """
    equation, formats = problem.equation, problem.formats
    n, words = equation.n_coordinates, len(equation.data)
    field = compile_polynomials(
        [equation.field], formats.field, formats.field, n, 0, 1, residuals=False
    )
    groups = tuple(
        compile_polynomials(
            group.residuals, formats.word, formats.residual, n, words, len(group.functionals)
        )
        for group in equation.groups
    )
    return ProblemPrograms(field, groups)


def compile_polynomials(
    polynomials: Sequence[Polynomial], fmt: QFormat, out: QFormat, coordinates: int, data: int,
    values: int, *, residuals: bool = True,
) -> ResidualProgram:  # fmt: skip
    """One program for some polynomials; sizes are those of its inputs.

    Parameters
    ----------
    residuals : bool
        Whether results are residuals. Otherwise there is one, and it stays in a register.
    """
    writer = _Writer(polynomials, fmt, coordinates, data, values)
    result = 0
    for polynomial in polynomials:
        result = writer.polynomial(polynomial, out, residuals)
    if writer.free > _MOST_REGISTERS:
        raise ValueError(
            f"The residual unit has {_MOST_REGISTERS} registers, this equation needs "
            f"{writer.free}: write it with fewer products"
        )
    return ResidualProgram(
        fmt, tuple(writer.rows), tuple(writer.constants), writer.inputs[Kind.COORDINATE],
        writer.inputs[Kind.DATA], writer.inputs[Kind.VALUE], writer.free, result,
    )  # fmt: skip


class _Writer:
    """Writes instructions, and keeps in mind which products are in which registers."""

    def __init__(
        self, polynomials: Sequence[Polynomial], fmt: QFormat, coordinates: int, data: int,
        values: int,
    ) -> None:  # fmt: skip
        self.fmt = fmt
        self.rows: list[Instruction] = []
        self.constants: list[int] = []
        self._constant(1 << fmt.frac_bits)
        for polynomial in polynomials:
            if polynomial.constant_term:
                self._constant(offset_word(polynomial.constant_term, fmt))
            for size, _ in polynomial.by_size():
                if size != 1:
                    self._constant(constant_word(size, fmt)[0])
        place = len(self.constants)
        self.inputs = {Kind.COORDINATE: place, Kind.DATA: place + coordinates}
        self.inputs[Kind.VALUE] = self.inputs[Kind.OUTPUT] = place + coordinates + data
        self.free = place + coordinates + data + values
        self._products: dict[Monomial, int] = {}

    def _constant(self, word: int) -> int:
        if word not in self.constants:
            self.constants.append(word)
        return self.constants.index(word)

    def _input(self, variable: Variable) -> int:
        return self.inputs[variable.kind] + (variable.at[0] if variable.at else 0)

    def _new(self) -> int:
        self.free += 1
        return self.free - 1

    def _emit(self, factors: list[tuple[int, int, bool]], **store: int) -> None:
        """A sum of products, stored at its end."""
        last = len(factors) - 1
        for k, (a, b, subtract) in enumerate(factors):
            end = {"store": True, **store} if k == last else {}
            self.rows.append(Instruction(a, b, subtract, first=k == 0, **end))  # type: ignore[arg-type]

    def _rounded_product(self, monomial: Monomial) -> int:
        """The register of a product of at least one variable, rounded after every factor."""
        if len(monomial) == 1:
            return self._input(monomial[0])
        if monomial not in self._products:
            a, b = self._rounded_product(monomial[:-1]), self._input(monomial[-1])
            target = self._products[monomial] = self._new()
            shift, width = self.fmt.frac_bits, self.fmt.width
            self._emit([(a, b, False)], target=target, shift=shift, width=width)
        return self._products[monomial]

    def _factors(self, monomial: Monomial) -> tuple[int, int]:
        """Registers whose product is a term's, exactly."""
        left = (
            self._rounded_product(monomial[:-1])
            if len(monomial) > 1
            else self._constant(1 << self.fmt.frac_bits)
        )
        return left, self._input(monomial[-1])

    def polynomial(self, polynomial: Polynomial, out: QFormat, residual: bool) -> int:
        """Instructions for a polynomial; its register."""
        fmt, one = self.fmt, self._constant(1 << self.fmt.frac_bits)
        final: list[tuple[int, int, bool]] = []
        if polynomial.constant_term:
            final.append((self._constant(offset_word(polynomial.constant_term, fmt)), one, False))
        for size, terms in polynomial.by_size():
            products = [(*self._factors(monomial), sign < 0) for sign, monomial in terms]
            if size == 1:
                final += products
                continue
            mantissa, shift = constant_word(size, fmt)
            common, scaled = self._new(), self._new()
            self._emit(products, target=common, shift=fmt.frac_bits, width=fmt.width)
            factor = [(common, self._constant(mantissa), False)]
            self._emit(factor, target=scaled, shift=shift, width=fmt.width)
            final.append((scaled, one, False))
        target, shift = self._new(), 2 * fmt.frac_bits - out.frac_bits
        self._emit(final, target=target, shift=shift, width=out.width, residual=residual)
        return target
