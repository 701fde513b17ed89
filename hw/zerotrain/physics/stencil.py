"""From nodes to integers: offsets on the input grid, weights as words, and what noise they make."""

from collections.abc import Sequence
from math import ldexp

from zerotrain.physics.calibration import Calibration
from zerotrain.physics.nodes import Nodes
from zerotrain.spec.equation import Equation, Functional, Problem, ResidualFormats, Stencil
from zerotrain.spec.formats import QFormat
from zerotrain.spec.polynomial import Kind

__all__ = ["WEIGHT_WIDTH", "check_noise", "expected_noise", "problem_of", "stencil_of"]

#: Bits of a weight, sign included.
WEIGHT_WIDTH = 24
#: Shift of a functional at most: it leaves what the field has of 2**-40.
_MOST_SHIFT = 40
#: Largest expected noise of a residual with which trainings were seen to work.
MOST_NOISE = 0.1


def problem_of(
    equation: Equation,
    nodes: Nodes,
    points: Sequence[int],
    *,
    input: QFormat,
    output: QFormat,
    formats: ResidualFormats | None = None,
) -> Problem:
    """An equation with its stencils, as integers, for batches of so many points of each group.

    Raises
    ------
    ValueError
        If the nodes do not give a derivative, or a weight does not fit its word.
    """
    formats = formats or ResidualFormats()
    stencils = tuple(
        stencil_of(nodes, equation.coordinates, group.functionals, input, formats)
        for group in equation.groups
    )
    return Problem(equation, stencils, tuple(points), input, output, formats)


def stencil_of(
    nodes: Nodes,
    coordinates: Sequence[str],
    functionals: Sequence[Functional],
    input: QFormat,
    formats: ResidualFormats,
) -> Stencil:
    """The stencil of some functionals. Nodes that none of them needs are left out, and two that
    fall on one point of the grid are one. The weight of the centre makes all of them sum to 0, or
    to what a functional takes of the field itself."""
    rule = nodes.rule(len(coordinates), functionals)
    moved = [nodes.move(node, input) for node in rule.nodes]
    merged = list(dict.fromkeys([(), *moved]))
    place = {offset: k for k, offset in enumerate(merged)}
    calibrated = Calibration(rule, moved, nodes, coordinates, input)
    rows, shifts = [], []
    for functional in functionals:
        real = [0.0] * len(merged)
        for w, offset in zip(calibrated.weights(functional), moved, strict=True):
            real[place[offset]] += w
        values = sum(float(c) for derivative, c in functional.parts if not derivative)
        row, shift = _words(real, values, formats)
        rows.append(row)
        shifts.append(shift)
    used = [k for k in range(len(merged)) if k == 0 or any(row[k] for row in rows)]
    return Stencil(
        tuple(merged[k] for k in used),
        tuple(tuple(row[k] for k in used) for row in rows),
        tuple(shifts),
    )


def _words(real: list[float], values: float, formats: ResidualFormats) -> tuple[list[int], int]:
    """Weights as words, the centre's such that they sum to ``values``, and the shift to ``word``:
    the largest with which all fit, less the powers of two that all weights have in common."""
    align = formats.field.frac_bits - formats.word.frac_bits
    top = 1 << (WEIGHT_WIDTH - 1)
    for shift in range(_MOST_SHIFT, max(0, align) - 1 if align > 0 else -1, -1):
        words = [round(ldexp(w, shift - align)) for w in real]
        words[0] = round(ldexp(values, shift - align)) - sum(words[1:])
        if max(map(abs, words)) < top:
            break
    else:
        raise ValueError(
            f"Weights of nodes have {WEIGHT_WIDTH} bits, the largest is {max(map(abs, real)):.3g}: "
            "use a larger step"
        )
    while shift > max(0, align) and all(w % 2 == 0 for w in words) and any(words):
        words, shift = [w // 2 for w in words], shift - 1
    return words, shift


def expected_noise(problem: Problem, state: QFormat) -> list[float]:
    """The expected noise of every residual, root mean square, from rounding alone.

    The noise of the network's output is taken to be that of one rounding of its hidden words, in
    format ``state``, by weights whose squares sum to 1/3, and of its own rounding. Other operands
    of a product count as 1.
    """
    own = (state.resolution**2 / 36 + problem.output.resolution**2 / 12) ** 0.5
    found = []
    for g, group in enumerate(problem.equation.groups):
        for residual in group.residuals:
            square = 0.0
            for k, gain in enumerate(problem.gains(g)):
                weight = sum(
                    abs(c) * sum(v == (Kind.VALUE, (k,)) for v in monomial)
                    for monomial, c in residual.terms
                )
                square += (gain * float(weight) * own) ** 2
            found.append(square**0.5)
    return found


def check_noise(problem: Problem, nodes: Nodes, state: QFormat) -> None:
    """Refuse nodes whose noise the formats cannot carry.

    Raises
    ------
    ValueError
        With gain, width, expected noise, and what to use instead.
    """
    noise = max(expected_noise(problem, state))
    if noise <= MOST_NOISE:
        return
    gain = max(max(problem.gains(g)) for g in range(len(problem.stencils)))
    bits = 0
    while noise / 2**bits > MOST_NOISE and bits < 64:
        bits += 1
    raise ValueError(
        f"The {nodes.method} nodes of step {nodes.step:g} amplify noise {gain:,.0f} times: with "
        f"hidden words {state} and outputs {problem.output}, residuals have an expected noise of "
        f"{noise:.2g}, at most {MOST_NOISE:g} can be trained with; use words with {bits} more "
        "fraction bits, a larger step, or differences with step 0.25"
    )
