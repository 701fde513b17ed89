"""Fixed-point number formats of a chip (docs/numerics.md, section 1)."""

import re
from dataclasses import dataclass, fields
from typing import Any, Self

__all__ = ["Formats", "QFormat"]

#: A format as text.
_WRITTEN = re.compile(r"Q(-?[0-9]{1,3})\.([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class QFormat:
    """Signed two's-complement fixed point: ``real = raw * 2**-frac_bits``.

    Parameters
    ----------
    width : int
        Bits of the raw value, sign included.
    frac_bits : int
        Fraction bits. May exceed ``width`` (small values only) but not be negative.
    """

    width: int
    frac_bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.width <= 48:
            raise ValueError(f"A format is 2 to 48 bits wide, not {self.width!r}")
        if not 0 <= self.frac_bits <= 40:
            raise ValueError(f"A format has 0 to 40 fraction bits, not {self.frac_bits!r}")

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read ``"Qm.f"``: m integer bits (negative allowed), f fraction bits, and a sign bit."""
        found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(
                f"A number format is written like 'Q2.13' (2 integer and 13 fraction bits "
                f"besides the sign), not {text!r:.60}"
            )
        integer, frac = map(int, found.groups())
        return cls(integer + frac + 1, frac)

    def __str__(self) -> str:
        return f"Q{self.width - 1 - self.frac_bits}.{self.frac_bits}"

    @property
    def raw_min(self) -> int:
        return -(1 << (self.width - 1))

    @property
    def raw_max(self) -> int:
        return (1 << (self.width - 1)) - 1

    @property
    def resolution(self) -> float:
        """Real value of one raw step."""
        return 2.0**-self.frac_bits


@dataclass(frozen=True, slots=True)
class Formats:
    """The number format of every tensor role on the chip.

    ``tt`` and ``delta`` are words of the per-sample lane memories and share one width, which is
    that of the multiplier's operand; ``input`` and ``preact`` may be narrower. ``logit`` and
    ``dlogit`` share another. Fraction bits differ freely as long as no requantisation would have to
    shift left (:meth:`check`).

    Parameters
    ----------
    weight : QFormat, 4 bits to the width of tt, holds 1.0
        Parameters and merged TT-cores.
    input : QFormat, at most as wide as tt
        Network input.
    tt : QFormat, 4 to 24 bits
        Intermediates inside a TT layer.
    preact : QFormat, at most as wide as tt
        Pre-activations, and hidden activations read from them.
    delta : QFormat, as wide as tt, with at least its fraction bits
        Perturbation-scaled environments ``mu * E`` and pre-activation differences of CGE.
    logit : QFormat, 8 to 24 bits, at most 20 of them fraction bits
        Network output.
    dlogit : QFormat, as wide as logit
        Output differences of CGE.
    loss : QFormat, 24 to 32 bits, 20 of them fraction bits
        Loss summed over the batch.
    momentum : QFormat, 8 to 32 bits
        Momentum word of one parameter. Its unit is set by the gradient shift at run time.
    cge_mu_shift : int, 1 to 12
        Smoothing radius of CGE, ``mu = 2**-cge_mu_shift``.
    """

    weight: QFormat = QFormat(16, 13)
    input: QFormat = QFormat(16, 11)
    tt: QFormat = QFormat(16, 11)
    preact: QFormat = QFormat(16, 9)
    delta: QFormat = QFormat(16, 17)
    logit: QFormat = QFormat(20, 14)
    dlogit: QFormat = QFormat(20, 17)
    loss: QFormat = QFormat(32, 20)
    momentum: QFormat = QFormat(24, 20)
    cge_mu_shift: int = 6

    def __post_init__(self) -> None:
        self.check()

    @property
    def lane_width(self) -> int:
        """Width of a word of the lane memories."""
        return self.tt.width

    @property
    def cge_mu(self) -> int:
        """Smoothing radius of CGE in weight LSB; 0 where the format ``weight`` is too coarse."""
        return (1 << self.weight.frac_bits) >> self.cge_mu_shift

    def lane_shift(self, source: QFormat, target: QFormat) -> int:
        """Right shift of a contraction ``weight * source -> target``."""
        return self.weight.frac_bits + source.frac_bits - target.frac_bits

    def delta_shift(self, source: QFormat) -> int:
        """Right shift of an environment contraction, which also multiplies by mu."""
        return self.lane_shift(source, self.delta) + self.cge_mu_shift

    def forward_shifts(self, *activated: QFormat) -> tuple[int, ...]:
        """Every right shift that forward passes and merging can ask for, ascending; with formats of
        activations, if any are not that of pre-activations.

        The requantiser of a lane is a multiplexer over the chip's set, not a barrel shifter.
        """
        sources = (self.input, self.tt, self.preact, *activated)
        targets = (self.tt, self.preact, self.logit)
        found = {self.lane_shift(s, t) for s in sources for t in targets}
        found.add(self.weight.frac_bits)  # merging two weights
        return tuple(sorted(found))

    @property
    def shifts(self) -> tuple[int, ...]:
        """The same with those of CGE."""
        found = set(self.forward_shifts())
        found |= {self.delta_shift(s) for s in (self.input, self.tt, self.preact)}
        found |= {self.lane_shift(self.delta, t) for t in (self.delta, self.dlogit)}
        return tuple(sorted(found))

    def constants(self, *activated: QFormat) -> frozenset[int]:
        """Every ``constant_shift`` that a program can ask for: those that turn a weight into a
        word of its format, a bias into that of a sum's source, and mu of CGE. ``activated`` as for
        :meth:`forward_shifts`."""
        sources = (self.weight, self.input, self.tt, self.preact, *activated)
        mu = self.delta.frac_bits - self.cge_mu_shift
        return frozenset((mu, *(source.frac_bits for source in sources)))

    def check(self) -> None:
        """Raise ``ValueError`` where the formats contradict each other."""
        if self.delta.width != self.tt.width:
            raise ValueError(
                f"Formats tt and delta share one memory word: expected delta to be "
                f"{self.tt.width} bits wide like tt, got {self.delta} ({self.delta.width} bits)"
            )
        for name, fmt in (("Inputs", self.input), ("Pre-activations", self.preact)):
            if fmt.width > self.tt.width:
                raise ValueError(
                    f"{name} are {self.tt.width} bits wide (like tt) at most, got {fmt} "
                    f"({fmt.width} bits)"
                )
        if not 4 <= self.tt.width <= 24:
            raise ValueError(f"Lane words are 4 to 24 bits wide, not {self.tt.width}")
        if not 4 <= self.weight.width <= self.tt.width:
            raise ValueError(
                f"Weights are 4 bits wide at least and {self.tt.width} (a lane word) at most, "
                f"got {self.weight} ({self.weight.width} bits)"
            )
        if self.logit.width != self.dlogit.width:
            raise ValueError(
                f"Formats logit and dlogit share one width, got {self.logit} and {self.dlogit}"
            )
        if self.loss.frac_bits != 20:
            raise ValueError(f"The loss has 20 fraction bits, not {self.loss.frac_bits}")
        if not 24 <= self.loss.width <= 32:
            raise ValueError(
                f"The loss is 24 to 32 bits (one bus word) wide, not {self.loss.width}"
            )
        if not 8 <= self.momentum.width <= 32:
            raise ValueError(f"A momentum word is 8 to 32 bits wide, not {self.momentum.width}")
        for name, fmt in (("logit", self.logit), ("dlogit", self.dlogit)):
            if not 8 <= fmt.width <= 24 or fmt.frac_bits > 20:
                raise ValueError(
                    f"Format {name} is 8 to 24 bits wide with at most 20 fraction bits, got {fmt}"
                )
        if not 1 <= self.cge_mu_shift <= 12:
            raise ValueError(f"CGE's mu is 2**-1 to 2**-12, not 2**-{self.cge_mu_shift}")
        for name, fmt in (("input", self.input), ("tt", self.tt), ("preact", self.preact)):
            if self.delta.frac_bits < fmt.frac_bits:
                raise ValueError(
                    f"Format delta needs at least the {fmt.frac_bits} fraction bits of {name}, "
                    f"got {self.delta}"
                )
            # The constant 1.0 stands in for the input of a bias, mu for that of its perturbation.
            if (1 << (self.lane_width - 1)) - 1 < 1 << fmt.frac_bits:
                raise ValueError(
                    f"A lane word of {self.lane_width} bits must hold the value 1.0 of format "
                    f"{name}, got {fmt}"
                )
        if self.weight.raw_max < 1 << self.weight.frac_bits:
            raise ValueError(f"Format weight must hold the value 1.0, got {self.weight}")
        if not 0 <= self.delta.frac_bits - self.cge_mu_shift <= self.delta.width - 2:
            raise ValueError(
                f"Format delta must hold CGE's mu = 2**-{self.cge_mu_shift}, got {self.delta}"
            )
        for shift in self.shifts:
            if shift < 0:
                raise ValueError(
                    "Requantisation only shifts right: weight and source fraction bits together "
                    f"must reach those of every target, missing {-shift} bits in {self.describe()}"
                )

    def describe(self) -> str:
        """One line naming every format."""
        return ", ".join(f"{key} {value}" for key, value in self.to_dict().items())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: str(v) if isinstance(v, QFormat) else v for k, v in values.items()}
