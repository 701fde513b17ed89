"""A small network that solves an equation: the heat equation in one dimension."""

from zerotrain.physics.nodes import Nodes
from zerotrain.physics.space import Residual, Space, d, d2
from zerotrain.physics.stencil import problem_of
from zerotrain.spec.equation import Problem
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Activation, Layer, Loss, Network, dense

FORMATS = Formats(
    weight=QFormat(16, 14), input=QFormat(14, 12), tt=QFormat(18, 15), preact=QFormat(18, 15),
    delta=QFormat(18, 15), logit=QFormat(24, 20), dlogit=QFormat(24, 20), loss=QFormat(32, 26),
)  # fmt: skip
GROUPS = ((1, 1), (2,), (1,))


def heat(points: tuple[int, int] = (4, 3)) -> Problem:
    """``u_t = u_xx / 10 + g``, with values h of u at the boundary."""
    space = Space("x", "t", data=["g"])
    x, t = space.coordinates
    (g,), u = space.data, space.unknown
    equation = space.equation(
        ansatz=t * space.network + x,
        residuals=[d(u, t) - d2(u, x) / 10 - g, Residual(u - g, "boundary", weight=2)],
    )
    return problem_of(
        equation, Nodes(step=0.125), points, input=FORMATS.input, output=FORMATS.logit
    )


def network(problem: Problem | None = None) -> Network:
    layers = (
        Layer((1, 2), (3, 2), (2,), True, Activation.SINE),
        Layer((3, 2), (2, 3), (2,), True, Activation.SINE),
        dense(6, 1),
    )
    return Network(layers, Loss.RESIDUAL, "heat", problem or heat())
