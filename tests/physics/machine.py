"""A residual unit in plain Python integers, written from the page of its instructions."""

from zerotrain.spec.equation import Problem
from zerotrain.spec.residual_program import Instruction, ProblemPrograms, ResidualProgram


class Machine:
    """Runs programs of a problem at single points.

    Attributes
    ----------
    clamped : bool
        Whether any value was clamped.
    """

    def __init__(self, problem: Problem, programs: ProblemPrograms) -> None:
        self.problem, self.programs, self.clamped = problem, programs, False

    def _saturate(self, value: int, width: int) -> int:
        kept = min(max(value, -(1 << (width - 1))), (1 << (width - 1)) - 1)
        self.clamped |= kept != value
        return kept

    def _requantize(self, value: int, shift: int, width: int) -> int:
        return self._saturate((value + (1 << shift >> 1)) >> shift, width)

    def run(
        self, program: ResidualProgram, x: list[int], data: list[int], values: list[int]
    ) -> tuple[list[int], int]:
        """Residuals, and what is in the register of the result."""
        registers = [0] * program.registers
        registers[: len(program.constants)] = program.constants
        for first, words in (
            (program.coordinates, x), (program.data, data), (program.values, values),
        ):  # fmt: skip
            registers[first : first + len(words)] = words
        acc, residuals = 0, []
        for row in program.rows:
            row = Instruction.decode(row.encode())
            product = registers[row.a] * registers[row.b]
            acc = (0 if row.first else acc) + (-product if row.subtract else product)
            if row.store:
                registers[row.target] = self._requantize(acc, row.shift, row.width)
                if row.residual:
                    residuals.append(registers[row.target])
        return residuals, registers[program.result]

    def _aligned(self, words: list[int], frac_bits: int, to: tuple[int, int]) -> list[int]:
        width, frac = to
        return [self._saturate(word << (frac - frac_bits), width) for word in words]

    def residuals(self, group: int, x: list[int], data: list[int], f: list[int]) -> list[int]:
        """Residuals of one point from the outputs at its nodes."""
        problem, stencil = self.problem, self.problem.stencils[group]
        formats = problem.formats
        fine, word = formats.field, formats.word
        at_nodes = []
        for output, offset in zip(f, stencil.offsets, strict=True):
            moved = list(x)
            for coordinate, amount in offset:
                moved[coordinate] += amount
            place = self._aligned(moved, problem.input.frac_bits, (fine.width, fine.frac_bits))
            value = self._aligned([output], problem.output.frac_bits, (fine.width, fine.frac_bits))
            at_nodes.append(self.run(self.programs.field, place, [], value)[1])
        taken = [
            self._requantize(
                sum(w * value for w, value in zip(row, at_nodes, strict=True)), shift, word.width
            )
            for row, shift in zip(stencil.weights, stencil.shifts, strict=True)
        ]
        place = self._aligned(x, problem.input.frac_bits, (word.width, word.frac_bits))
        return self.run(self.programs.groups[group], place, data, taken)[0]
