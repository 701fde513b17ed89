"""Networks of tensor-train and dense layers, and the fixed order of their parameters.

A TT layer of ``d`` TT-cores holds ``W[i_1..i_d, j_1..j_d] = G_1(i_1,j_1) ... G_d(i_d,j_d)`` (paper,
eq. 7), TT-core ``k`` an array ``[r_{k-1}, m_k, n_k, r_k]`` with ``r_0 = r_d = 1``. A dense layer is
a TT layer of one TT-core. A plain TT layer has a TT-core for every single index: the other mode of
each is 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from typing import Any

from numpy.typing import NDArray

from zerotrain.spec.activations import ACTIVATIONS, Activation
from zerotrain.spec.equation import Problem
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.losses import Loss
from zerotrain.spec.words import counted

__all__ = ["Activation", "Layer", "Loss", "Network", "ParameterBlock", "dense", "plain_tt"]

#: Order of storage of a TT-core's axes a, i, j, b: by whether it is left of the layer's middle.
_STORED = {True: (2, 3, 0, 1), False: (2, 0, 3, 1)}


@dataclass(frozen=True, slots=True)
class Layer:
    """A TT-matrix layer ``y = W x + bias`` followed by an activation.

    Parameters
    ----------
    in_modes, out_modes : tuple of int, each at least 1
        Input modes ``n_1..n_d`` and output modes ``m_1..m_d``.
    ranks : tuple of int, each at least 1
        Inner TT-ranks ``r_1..r_{d-1}``. A rank may exceed what its bond can use (the smaller side
        of the unfolding); such layers are redundant, not wrong.
    bias : bool
        Whether a bias of ``prod(out_modes)`` values is added.
    activation : Activation
        Applied to the pre-activation. The last layer of a network has none.
    """

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...] = ()
    bias: bool = True
    activation: Activation = Activation.NONE

    def __post_init__(self) -> None:
        for name in ("in_modes", "out_modes", "ranks"):
            values = getattr(self, name)
            if any(type(v) is not int or v < 1 for v in values):
                raise ValueError(f"{name} are positive integers, got {values!r}")
        if not self.in_modes or len(self.in_modes) != len(self.out_modes):
            raise ValueError(
                "A TT layer has one input mode and one output mode per TT-core, got "
                f"{len(self.in_modes)} input modes {self.in_modes} and "
                f"{len(self.out_modes)} output modes {self.out_modes}"
            )
        if len(self.ranks) != len(self.in_modes) - 1:
            raise ValueError(
                f"A TT layer of {counted(self.n_tt_cores, 'TT-core')} has "
                f"{counted(self.n_tt_cores - 1, 'inner rank')}, one per bond, got "
                f"{len(self.ranks)}: {self.ranks}"
            )

    @property
    def n_tt_cores(self) -> int:
        return len(self.in_modes)

    @property
    def middle(self) -> int:
        """The first TT-core of the right half."""
        return self.n_tt_cores // 2

    @property
    def n_inputs(self) -> int:
        return prod(self.in_modes)

    @property
    def n_outputs(self) -> int:
        return prod(self.out_modes)

    @property
    def all_ranks(self) -> tuple[int, ...]:
        """Ranks with the boundary ones: ``r_0 = 1, r_1, ..., r_d = 1``."""
        return (1, *self.ranks, 1)

    @property
    def core_shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """Shape ``(r_{k-1}, m_k, n_k, r_k)`` of every TT-core."""
        r = self.all_ranks
        return tuple(
            (r[k], self.out_modes[k], self.in_modes[k], r[k + 1]) for k in range(self.n_tt_cores)
        )

    @property
    def n_parameters(self) -> int:
        return sum(prod(s) for s in self.core_shapes) + (self.n_outputs if self.bias else 0)

    @property
    def is_plain(self) -> bool:
        """Whether this is a plain TT layer (:func:`plain_tt`)."""
        outputs = sum(1 for _ in takewhile(lambda n: n == 1, self.in_modes))
        return 0 < outputs < self.n_tt_cores and {*self.out_modes[outputs:]} == {1}

    def __str__(self) -> str:
        def product(modes: tuple[int, ...]) -> str:
            modes = tuple(n for n in modes if n > 1) if self.is_plain else modes
            total = prod(modes)
            return f"{total}={'·'.join(map(str, modes))}" if len(modes) > 1 else str(total)

        ranks = f", ranks {','.join(map(str, self.ranks))}" if self.ranks else ""
        ranks = ", plain TT" * self.is_plain + ranks
        tail = (", no bias" if not self.bias else "") + (
            f", {self.activation}" if self.activation != Activation.NONE else ""
        )
        return f"{product(self.in_modes)} -> {product(self.out_modes)}{ranks}{tail}"


def dense(
    n_inputs: int, n_outputs: int, *, bias: bool = True, activation: Activation = Activation.NONE
) -> Layer:
    """A dense layer: one TT-core ``[1, n_outputs, n_inputs, 1]``."""
    return Layer((n_inputs,), (n_outputs,), (), bias, activation)


def plain_tt(
    in_modes: tuple[int, ...],
    out_modes: tuple[int, ...],
    ranks: tuple[int, ...],
    *,
    bias: bool = True,
    activation: Activation = Activation.NONE,
) -> Layer:
    """A plain TT layer: ``W[i_1..i_p, j_1..j_q] = G_1(i_1) ... G_p(i_p) H_1(j_1) ... H_q(j_q)``.

    So an input goes through the bottleneck between ``G_p`` and ``H_1``. Indices are as in any
    layer, the first mode most significant. Who writes the train with the input's indices first
    reads it from the right here.

    Parameters
    ----------
    in_modes, out_modes : tuple of int, each at least 1
        ``n_1..n_q`` and ``m_1..m_p``.
    ranks : tuple of int, each at least 1
        Of the ``p + q - 1`` bonds, outputs first.
    """
    left, right = len(out_modes), len(in_modes)
    if not (left and right):
        raise ValueError(
            f"A plain TT layer has one input mode and one output mode at least, got {in_modes} and "
            f"{out_modes}"
        )
    return Layer((1,) * left + in_modes, out_modes + (1,) * right, ranks, bias, activation)


@dataclass(frozen=True, slots=True)
class ParameterBlock:
    """Where one TT-core or bias lies in the parameter vector, and in which order.

    Attributes
    ----------
    layer : int
    tt_core : int or None
        Index of the TT-core in its layer, or None for the bias.
    offset : int
        Position of the first element.
    shape : tuple of int
        Natural shape: ``(r_k, m_k, n_k, r_{k+1})``, or ``(n_outputs,)``.
    stored : tuple of int
        Axes of ``shape`` in the order of storage, the slowest first.
    """

    layer: int
    tt_core: int | None
    offset: int
    shape: tuple[int, ...]
    stored: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)

    @property
    def strides(self) -> tuple[int, ...]:
        """Distance in the parameter vector of neighbours along each axis of ``shape``."""
        inside = [self.stored[self.stored.index(axis) + 1 :] for axis in range(len(self.shape))]
        return tuple(prod(self.shape[axis] for axis in axes) for axes in inside)

    def natural(self, values: NDArray[Any]) -> NDArray[Any]:
        """The block of parameter vectors ``[..., d]`` as a view ``[..., *shape]``."""
        lead = values.shape[:-1]
        stored = values[..., self.slice].reshape(*lead, *(self.shape[axis] for axis in self.stored))
        order = (self.stored.index(axis) for axis in range(len(self.shape)))
        return stored.transpose(*range(len(lead)), *(len(lead) + axis for axis in order))


@dataclass(frozen=True, slots=True)
class Network:
    """A feed-forward network and its loss.

    The parameter order is fixed (docs/numerics.md, section 2): layer by layer, in each layer
    TT-core by TT-core from the left, then the bias.

    Parameters
    ----------
    layers : tuple of Layer
        From the inputs to the outputs; at most 65,536 parameters and 64 outputs fit a chip.
    loss : Loss
        Of labels: ``softmax_cross_entropy``. Of target values: ``mean_squared_error``.
        Of an equation: ``residual``, the default where there is one.
    name : str
        Runs and generated files are called after it.
    problem : Problem or None
        The equation of a network that solves one.
    """

    layers: tuple[Layer, ...]
    loss: Loss = Loss.SOFTMAX_CROSS_ENTROPY
    name: str = "network"
    problem: Problem | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("A network has at least one layer, got none")
        for k in range(1, len(self.layers)):
            if self.layers[k].n_inputs != self.layers[k - 1].n_outputs:
                raise ValueError(
                    f"Layer {k + 1} takes as many inputs as layer {k} has outputs: expected "
                    f"{self.layers[k - 1].n_outputs}, got {self.layers[k].n_inputs} "
                    f"(modes {self.layers[k].in_modes})"
                )
        if self.layers[-1].activation != Activation.NONE:
            raise ValueError(
                f"The last layer has no activation (the loss takes its outputs), got "
                f"{self.layers[-1].activation}"
            )
        record = self.loss.record
        if self.n_outputs < record.least_outputs:
            raise ValueError(
                f"{record.title} needs at least {record.least_outputs} outputs, got "
                f"{self.n_outputs}"
            )
        self._check_problem()

    def _check_problem(self) -> None:
        if self.loss.record.residuals != (self.problem is not None):
            raise ValueError(
                'A network has an equation if its loss is "residual", and only then: got the loss '
                f'"{self.loss}" {"without" if self.problem is None else "with"} one'
            )
        if self.problem is None:
            return
        coordinates = self.problem.equation.n_coordinates
        if (self.n_inputs, self.n_outputs) != (coordinates, 1):
            raise ValueError(
                f"An equation in {coordinates} coordinates takes a network of {coordinates} inputs "
                f"and 1 output, got one of {self.n_inputs} and {self.n_outputs}"
            )

    @property
    def n_inputs(self) -> int:
        return self.layers[0].n_inputs

    @property
    def n_outputs(self) -> int:
        return self.layers[-1].n_outputs

    @property
    def n_parameters(self) -> int:
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def sines(self) -> bool:
        """Whether any layer needs the chip's sine unit."""
        return any(ACTIVATIONS[layer.activation].on_write for layer in self.layers)

    @property
    def has_differences(self) -> bool:
        """Whether every activation has the differences that CGE by environments needs."""
        return all(ACTIVATIONS[layer.activation].shrinks for layer in self.layers)

    def source(self, layer: int, formats: Formats) -> QFormat:
        """Format of a layer's input: of samples, or of the activations below."""
        if layer == 0:
            return formats.input
        return ACTIVATIONS[self.layers[layer - 1].activation].value(formats.preact)

    def target(self, layer: int, formats: Formats) -> QFormat:
        """Format of a layer's output before its activation: of the logits, or of that activation's
        argument."""
        if layer == len(self.layers) - 1:
            return formats.logit
        return ACTIVATIONS[self.layers[layer].activation].argument(formats.preact)

    @property
    def relative_logits(self) -> bool:
        """Whether CGE takes what hidden layers change of the logits relative to the first of them
        (docs/numerics.md, section 4)."""
        return self.loss.record.shift_invariant and self.layers[-1].n_tt_cores > 1

    @property
    def n_targets(self) -> int:
        """Target words per sample: a label, one value per output, or the data words of a point, of
        which there is one for the exact solution at least."""
        if self.problem is not None:
            return max(1, len(self.problem.equation.data))
        return self.loss.record.n_targets(self.n_outputs)

    def blocks(self) -> Iterator[ParameterBlock]:
        """Every TT-core and bias in parameter order."""
        offset = 0
        for index, layer in enumerate(self.layers):
            for k, shape in enumerate(layer.core_shapes):
                yield ParameterBlock(index, k, offset, shape, _STORED[k < layer.middle])
                offset += prod(shape)
            if layer.bias:
                yield ParameterBlock(index, None, offset, (layer.n_outputs,), (0,))
                offset += layer.n_outputs

    def block(self, layer: int, tt_core: int | None) -> ParameterBlock:
        """The block of one TT-core, or of the bias (``tt_core=None``)."""
        for block in self.blocks():
            if (block.layer, block.tt_core) == (layer, tt_core):
                return block
        raise KeyError((layer, tt_core))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML, JSON and fingerprints."""
        return {
            "name": self.name,
            "loss": str(self.loss),
            "layers": [
                {
                    "in_modes": list(layer.in_modes),
                    "out_modes": list(layer.out_modes),
                    "ranks": list(layer.ranks),
                    "bias": layer.bias,
                    "activation": str(layer.activation),
                }
                for layer in self.layers
            ],
        }
