"""The update unit: from the losses of a step to new parameters, one parameter after another.

The perturbation unit tells it the generator's state at the beginning of every query:

    wiring.connect(m, perturb.snapshot, update.snapshot)
"""

from abc import abstractmethod

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.update.gradient import Gradient
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import Baseline, register

__all__ = ["Update"]

_SETTINGS = ("update_rule", "gradient_shift", "decay", "step_mantissa", "step_shift")


class Update(wiring.Component):
    """Gradient from losses, momentum, and the step of every parameter.

    Golden model: :func:`zerotrain.golden.update.update` of the gradients of
    :class:`~zerotrain.gateware.update.gradient.Gradient` (bit-exact).

    Latency: ``busy`` is high for :meth:`cycles` cycles; the last parameter is in memory when it
    falls.

    Parameters
    ----------
    chip : Chip
        Formats, depths and generator degree.
    gradient : Gradient
        What sums the losses.

    Members
    -------
    start : In(1)
        Begin. Only while not ``busy``. Inputs up to ``n_parameters`` hold still from two cycles
        before until ``busy`` falls.
    cge : In(1)
        Losses are those of CGE, else of RGE.
    queries, baseline, update_rule, gradient_shift, decay, step_mantissa, step_shift, n_parameters
        The registers of these names. At most ``query_depth`` queries.
    busy : Out(1)
    losses, difference_w : Out(ReadPort), Out(WritePort)
        Losses, by evaluation, and differences that are kept behind them, as of
        :class:`~zerotrain.gateware.update.gradient.Gradient`.
    theta, theta_w : Out(ReadPort), Out(WritePort)
        Parameter memory.
    momentum, momentum_w : Out(ReadPort), Out(WritePort)
        Momentum memory.
    snapshot : In(WritePort)
        Generator state at the beginning of each query; written while this unit is idle.
    saturated_gradient, saturated_parameter : Out(1)
        Pulses: a scaled gradient or momentum word, a parameter was clamped.
    given : In(1)
        On a chip that splits its steps: coefficients are in the place of the differences.
    """

    start: Signal
    cge: Signal
    queries: Signal
    baseline: Signal
    update_rule: Signal
    gradient_shift: Signal
    decay: Signal
    step_mantissa: Signal
    step_shift: Signal
    n_parameters: Signal
    busy: Signal
    losses: wiring.PureInterface
    difference_w: wiring.PureInterface
    theta: wiring.PureInterface
    theta_w: wiring.PureInterface
    momentum: wiring.PureInterface
    momentum_w: wiring.PureInterface
    snapshot: wiring.PureInterface
    saturated_gradient: Signal
    saturated_parameter: Signal
    given: Signal

    def __init__(self, chip: Chip, gradient: Gradient) -> None:
        self._chip = chip
        f = chip.formats
        bits = address_bits(chip.parameter_depth)
        theta, momentum = signed(f.weight.width), signed(f.momentum.width)
        self._gradient = gradient
        sums = gradient.signature.members
        super().__init__(
            {
                "start": In(1),
                **{name: sums[name] for name in ("cge", "queries", "baseline", "n_parameters")},
                **{name: In(register(name).width) for name in _SETTINGS},
                "busy": Out(1),
                "losses": sums["losses"],
                "difference_w": sums["difference_w"],
                "theta": Out(ReadPort(bits, theta)),
                "theta_w": Out(WritePort(bits, theta)),
                "momentum": Out(ReadPort(bits, momentum)),
                "momentum_w": Out(WritePort(bits, momentum)),
                "snapshot": sums["snapshot"],
                "saturated_gradient": Out(1),
                "saturated_parameter": Out(1),
                **({"given": sums["given"]} if chip.split else {}),
            }
        )

    @abstractmethod
    def cycles(
        self,
        *,
        cge: bool,
        n_parameters: int,
        queries: int,
        baseline: Baseline,
        given: bool = False,
    ) -> int:
        """Most cycles that ``busy`` is high."""

    def _sums(self, m: Module) -> Gradient:
        """The gradients' unit, with everything that it needs."""
        m.submodules.gradient = gradient = self._gradient
        wiring.connect(m, gradient.losses, wiring.flipped(self.losses))
        wiring.connect(m, gradient.difference_w, wiring.flipped(self.difference_w))
        wiring.connect(m, wiring.flipped(self.snapshot), gradient.snapshot)
        m.d.comb += [
            gradient.start.eq(self.start),
            gradient.cge.eq(self.cge),
            gradient.queries.eq(self.queries),
            gradient.baseline.eq(self.baseline),
            gradient.n_parameters.eq(self.n_parameters),
        ]
        if self._chip.split:
            m.d.comb += gradient.given.eq(self.given)
        return gradient
