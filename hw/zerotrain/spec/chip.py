"""A chip: everything that is fixed when the gateware is generated.

A chip does not know its network. It has lanes, formats and memories; any network whose program and
tensors fit the memories can be loaded over the bus.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from zerotrain.spec.activations import ACTIVATIONS, Activation, check_differences
from zerotrain.spec.batch import BatchLayout
from zerotrain.spec.choices import Cge, Core, Place, Store
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.lfsr import TAPS
from zerotrain.spec.network import Loss
from zerotrain.spec.sine import check_preact
from zerotrain.spec.timing import LossTiming, SerialLossTiming, SweptLossTiming, Timing

__all__ = ["COEFFICIENT_WORD", "COMMON_PART", "Cge", "Chip", "Core", "Store"]

#: Bits of a row of the common memory that are written apart from others: those of iCE40's SPRAM.
COMMON_PART = 4

#: Bits of what the host writes in place of a difference of losses.
COEFFICIENT_WORD = 32

#: Entries of the configuration hash that stand for the choices of the time before they had names.
_FIRST_ENTRIES: dict[str, dict[str, dict[str, bool]]] = {
    "cge": {Cge.ENVIRONMENTS: {}, Cge.FORWARD: {"environments": False}, Cge.NONE: {"cge": False}},
    "core": {Core.PIPELINED: {}, Core.COMPACT: {"compact": True}},
    "store": {
        Store.BLOCKS: {}, Store.SPRAM: {"spram": True},
        Store.COMMON: {"spram": True, "common": True},
    },
}  # fmt: skip

#: Most lanes of a group: 18 words of any width fill whole columns of ECP5's 18-bit block RAM.
_GROUP_LANES = 18


def _power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


@dataclass(frozen=True, slots=True)
class Chip:
    """Parameters of the gateware.

    Parameters
    ----------
    lanes : int, 1 to 64
        Multipliers, one sample of the minibatch each; 8 at most on a compact chip.
    formats : Formats
        Number formats.
    loss : Loss
        The loss unit that is built.
    cge : Cge
        ``environments``: CGE finds all differences of a step from environments, beside one forward
        pass (docs/numerics.md, section 4). ``forward``: it evaluates one raised copy of the
        parameters after the other: the chip is smaller, since lanes have no ReLU differences and
        the loss unit keeps no logits, and a CGE step takes ``d + 1`` forward passes. ``none``: the
        chip does not know the command.
    sine : bool
        Whether there are units for the sine of pre-activations, as a network with sines needs. Such
        a chip has no environments.
    split : bool
        Whether the chip knows the two halves of an RGE step as commands: losses, and an update from
        coefficients that the host writes.
    residual_depth : int
        Residuals that one step can hold, of all its evaluations; 0 on chips without.
    loops : bool
        Whether programs may have loops, which tile forward passes and make up those of
        environments.
    core : Core
        ``pipelined``: for a high clock. ``compact``: fewer logic cells at a lower clock, for small
        parts, on 1 to 8 lanes: results leave the lanes one after the other through one requantiser,
        few registers are on any way, the lanes merge, and a softmax loss of one way takes its
        outputs one after the other.
    parameter_depth : int, 2 to 65536
        Words of the parameter and momentum memories.
    weight_depth : int, 2 to 65536
        Words of the weight memory: the perturbed parameters, then merged TT-cores; of both banks.
    merge_depth : int, 0 or parameter_depth to half of weight_depth
        Words of the merge unit's copy of the weights: parameters, then merged TT-cores of which
        others are made. With a merge unit, the weight memory is two banks for RGE, one is prepared
        while the lanes work with the other. 0: no such unit, the lanes merge.
    store : Store
        Where samples, pre-activations and the state of the training are: in block RAM, or much of
        it in SPRAM of the iCE40UP5K (docs/small-chips.md).
    sample_banks : int, 1 to 2
        2: samples and targets of one step are loaded while another works on those of the step
        before. 1: half the memory; a batch is loaded between two steps.
    sample_depth : int, 2 to 65536
        Input words per lane and bank.
    target_depth : int, 2 to 65536
        Target words per loss way and bank.
    scratch_depth, preact_depth : int, 2 to 65536
        Words per lane of intermediates and of pre-activations.
    program_depth : int, 2 to 65536
        64-bit rows of the program memory.
    output_depth : int, a power of two, 2 to 64
        Largest number of network outputs.
    evaluation_depth : int, 2 to 65536
        Losses that one step can hold: ``d + 1`` for CGE, ``N + 1`` for RGE.
    query_depth : int, 2 to 64
        Largest number N of RGE queries.
    loss_ways : int, 1 to lanes
        Lanes whose losses are computed side by side.
    lfsr_degree : int, one of 32, 33, 40, 48, 64
        Degree of the perturbation generator.
    acc_width : int, 32 to 48
        Accumulator width in bits.
    count_width : int, 2 to 16
        Bits of the counters of a contraction, at most those of an address.
    """

    lanes: int
    formats: Formats = field(default_factory=Formats)
    loss: Loss = Loss.SOFTMAX_CROSS_ENTROPY
    cge: Cge = Cge.ENVIRONMENTS
    sine: bool = False
    split: bool = False
    residual_depth: int = 0
    loops: bool = True
    core: Core = Core.PIPELINED
    parameter_depth: int = 512
    weight_depth: int = 2048
    merge_depth: int = 0
    store: Store = Store.BLOCKS
    sample_banks: int = 2
    sample_depth: int = 256
    target_depth: int = 32
    scratch_depth: int = 1024
    preact_depth: int = 128
    program_depth: int = 1024
    output_depth: int = 16
    evaluation_depth: int = 512
    query_depth: int = 16
    loss_ways: int = 2
    lfsr_degree: int = 48
    acc_width: int = 40
    count_width: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.lanes <= 64:
            raise ValueError(f"A chip has 1 to 64 lanes, not {self.lanes!r}")
        self.loss.record.check(self.formats)
        if self.loss.record.residuals and self.cge.kind.environments:
            raise ValueError(
                'Residuals of an equation have no environments: expected cge = "none" or '
                '"forward", got cge = "environments"'
            )
        if self.has_environments and not self.loops:
            raise ValueError(
                "A chip with CGE by environments has loops, got loops = false; without them, its "
                'cge is "forward"'
            )
        if self.raises and not self.formats.cge_mu:
            raise ValueError(
                f"CGE by forward passes raises parameters by 2**-{self.formats.cge_mu_shift} "
                f"(cge_mu_shift), and the format weight does not resolve it: {self.formats.weight}"
            )
        if self.sine:
            self._check_sine()
        if self.compact and self.lanes > 8:
            raise ValueError(f"A compact chip has 1 to 8 lanes, not {self.lanes!r}")
        if self.compact and self.merge_depth:
            raise ValueError(
                f"A compact chip merges on its lanes: merge_depth is 0, not {self.merge_depth!r}"
            )
        if not 1 <= self.loss_ways <= self.lanes:
            raise ValueError(
                f"Loss ways are 1 to the number of lanes ({self.lanes}), not {self.loss_ways!r}"
            )
        if self.lfsr_degree not in TAPS:
            raise ValueError(f"LFSR degree must be one of {sorted(TAPS)}, not {self.lfsr_degree!r}")
        if not 32 <= self.acc_width <= 48:
            raise ValueError(f"Accumulators are 32 to 48 bits wide, not {self.acc_width!r}")
        for name in (
            "parameter_depth", "weight_depth", "sample_depth", "target_depth", "scratch_depth",
            "preact_depth", "program_depth", "output_depth", "evaluation_depth", "query_depth",
        ):  # fmt: skip
            depth = getattr(self, name)
            if not 2 <= depth <= 1 << 16:
                raise ValueError(f"{name} is 2 to 65536 words, not {depth!r}")
        if not 0 <= self.residual_depth <= 1 << 16:
            raise ValueError(f"residual_depth is 0 to 65536 words, not {self.residual_depth!r}")
        if not 2 <= self.count_width <= 16:
            raise ValueError(f"Counters are 2 to 16 bits wide, not {self.count_width!r}")
        if self.common:
            self._check_common()
        if self.sample_banks not in (1, 2):
            raise ValueError(f"A chip has 1 or 2 banks of samples, not {self.sample_banks!r}")
        if self.merge_depth:
            bank = self.weight_depth // 2
            if self.weight_depth % 2 or not self.parameter_depth <= self.merge_depth <= bank:
                raise ValueError(
                    "With a merge unit, weight_depth is even and merge_depth between "
                    f"parameter_depth ({self.parameter_depth}) and half of weight_depth "
                    f"({self.weight_depth}), not {self.merge_depth!r}"
                )
        if not _power_of_two(self.output_depth) or self.output_depth > 64:
            raise ValueError(
                f"output_depth is a power of two of at most 64, not {self.output_depth!r}"
            )
        if self.query_depth > 64:
            raise ValueError(f"query_depth is at most 64, not {self.query_depth!r}")

    def _check_sine(self) -> None:
        if self.cge.kind.environments:
            check_differences(Activation.SINE)
        check_preact(self.formats.preact)
        if self.shifts[0] < 0:
            (sines,) = self.activated
            raise ValueError(
                "Requantisation only shifts right: weight and sine fraction bits together must "
                f"reach those of every target, missing {-self.shifts[0]} bits with sines in "
                f"{sines} and {self.formats.describe()}"
            )

    def _check_common(self) -> None:
        if self.has_environments or self.core != Core.COMPACT or self.sample_banks != 1:
            raise ValueError(
                'A chip with store = "common" has core = "compact", sample_banks = 1 and cge = '
                f'"forward" or "none", got core = "{self.core}", sample_banks = '
                f'{self.sample_banks} and cge = "{self.cge}"'
            )
        f = self.formats
        if f.preact.width != f.input.width:
            raise ValueError(
                'With store = "common", samples and pre-activations share one memory word: '
                f"expected preact to be {f.input.width} bits wide like input, got {f.preact} "
                f"({f.preact.width} bits)"
            )

    @property
    def has_environments(self) -> bool:
        """Whether the chip does CGE by environments."""
        return self.cge.kind.environments

    @property
    def raises(self) -> bool:
        """Whether the chip does CGE by forward passes at raised parameters."""
        return self.cge.kind.forwards > 0

    @property
    def compact(self) -> bool:
        return self.core == Core.COMPACT

    @property
    def common(self) -> bool:
        return self.store.kind.common

    @property
    def has_merge_unit(self) -> bool:
        """Whether a unit of its own merges, into a second bank; otherwise the lanes do."""
        return self.merge_depth > 0

    @property
    def weight_banks(self) -> int:
        """Copies of the parameters that are in work at a time, each with a bank of weights in an
        RGE step and a sequencer: with a merge unit, one is prepared while the lanes use another."""
        return 1 + self.has_merge_unit

    @property
    def timing(self) -> Timing:
        """Times of the engine, of shared memories and of the update."""
        return Timing.of(
            self.core, lanes=self.lanes, merge_unit=self.has_merge_unit, sine=self.sine
        )

    @property
    def loss_timing(self) -> LossTiming:
        """Times of the loss unit."""
        if self.serial_loss:
            return SerialLossTiming.of(lanes=self.lanes, environments=self.has_environments)
        exponentials = self.loss.record.exponentials
        return SweptLossTiming(self.layout.lanes_per_way, self.loss_ways, exponentials)

    @property
    def layout(self) -> BatchLayout:
        """Where the samples of a batch are."""
        return BatchLayout(self.lanes, self.loss_ways, self.sample_banks)

    @property
    def copy_depth(self) -> int:
        """Most perturbed copies of a step: queries, or parameters that are raised."""
        return max(self.query_depth, self.cge.kind.copies(self.parameter_depth) - 1)

    @property
    def lane_groups(self) -> list[list[int]]:
        """Lanes of every group; those of a group have their memories in common.

        Lanes of the same way of the loss unit are neighbours.
        """
        lanes = sorted(range(self.lanes), key=lambda lane: (lane % self.loss_ways, lane))
        return [lanes[k : k + _GROUP_LANES] for k in range(0, self.lanes, _GROUP_LANES)]

    @property
    def activated(self) -> tuple[QFormat, ...]:
        """Formats of activations that are not that of pre-activations."""
        return (ACTIVATIONS[Activation.SINE].value(self.formats.preact),) if self.sine else ()

    @property
    def sine_units(self) -> int:
        """Units of a chip with sines. Lanes of a group share them; results that leave one after the
        other go through one."""
        if not self.sine:
            return 0
        each = self.timing.sine_apart
        return sum(-(-len(g) // each) for g in self.lane_groups) if each else 1

    @property
    def shifts(self) -> tuple[int, ...]:
        """Every right shift that a program for this chip can ask for, ascending."""
        if self.has_environments:
            return self.formats.shifts
        return self.formats.forward_shifts(*self.activated)

    @property
    def constants(self) -> frozenset[int]:
        """Every ``constant_shift`` that a program for this chip can ask for."""
        return self.formats.constants(*self.activated)

    @property
    def sample_rows(self) -> int:
        """Input words per lane, of all banks."""
        return self.sample_banks * self.sample_depth

    @property
    def subtracts(self) -> bool:
        """Whether merging can subtract products: CGE needs that with the softmax loss."""
        return self.has_environments and self.loss.record.shift_invariant

    @property
    def lane_subtracts(self) -> bool:
        """The same where a lane merges."""
        return self.subtracts and not self.merge_depth

    @property
    def serial_loss(self) -> bool:
        """Whether the loss unit takes one output after the other."""
        return self.core.kind.serial and self.loss.record.exponentials and self.loss_ways == 1

    @property
    def preact_place(self) -> Place:
        """Which memory pre-activations are in. Without environments, no operand takes a word of
        intermediates and a pre-activation at once: they then need no memory of their own."""
        return Place.OWN if self.has_environments else self.store.kind.preact

    @property
    def preact_base(self) -> int:
        """Row of the first pre-activation, behind what else is in its memory."""
        before = {
            Place.OWN: 0, Place.SCRATCH: self.scratch_depth, Place.COMMON: self.sample_rows
        }  # fmt: skip
        return before[self.preact_place]

    @property
    def preact_rows(self) -> int:
        """Rows of the memory that pre-activations are in."""
        return self.preact_base + self.preact_depth

    @property
    def scratch_rows(self) -> int:
        """Rows of the scratch memory."""
        return self.preact_rows if self.preact_place == Place.SCRATCH else self.scratch_depth

    @property
    def training_base(self) -> int:
        """Row of the first parameter where everything is in one memory: a power of two."""
        return 1 << (max(self.preact_rows, self.parameter_depth) - 1).bit_length()

    @property
    def common_width(self) -> int:
        """Bits of a row of the memory that holds all that: words of all lanes, of which the bits
        that fill no part share one, or a parameter and its momentum."""
        f = self.formats
        own, rest = divmod(f.input.width, COMMON_PART)
        shared = -(-self.lanes // (COMMON_PART // rest)) if rest else 0
        training = sum(-(-fmt.width // COMMON_PART) for fmt in (f.weight, f.momentum))
        return COMMON_PART * max(self.lanes * own + shared, training)

    @property
    def loop_counters(self) -> int:
        """Counters of a loop."""
        return self.cge.kind.loop_counters

    @property
    def target_rows(self) -> int:
        """Target words per loss way, of all banks."""
        return self.sample_banks * self.target_depth

    @property
    def target_width(self) -> int:
        """Bits of a target word: a label, or a value in the format of the logits."""
        return self.loss.record.target_width(self.formats, self.output_depth)

    @property
    def difference_width(self) -> int:
        """Bits of a difference of losses: of N |D| is at most ``(N - 1)(2**w - 1)``, and every
        partial sum of it is below ``N * 2**w``. Where steps are split, at least a coefficient's."""
        width = self.formats.loss.width + (self.query_depth - 1).bit_length() + 1
        return max(width, COEFFICIENT_WORD) if self.split else width

    @property
    def gradient_width(self) -> int:
        """Bits of a gradient: of RGE, at most N |D|."""
        n = self.query_depth
        width = self.formats.loss.width + (n * (n - 1)).bit_length() + 1
        return max(width, COEFFICIENT_WORD + n.bit_length()) if self.split else width

    @property
    def keeps_differences(self) -> bool:
        """Whether the update of an RGE step keeps the differences of its losses in the memory of
        the losses, from row :attr:`difference_row` on. Where steps are split, the host writes
        coefficients there."""
        return self.split or self.core.kind.keeps_differences

    @property
    def difference_row(self) -> int:
        """Row of the loss memory of query 0's difference, behind the losses of an RGE step."""
        return self.query_depth + 1

    @property
    def loss_rows(self) -> int:
        """Rows of the loss memory."""
        with_differences = self.keeps_differences * (self.difference_row + self.query_depth)
        return max(self.evaluation_depth, with_differences)

    @property
    def loss_word(self) -> int:
        """Bits of a row of the loss memory."""
        return self.difference_width if self.keeps_differences else self.formats.loss.width

    @property
    def loss_columns(self) -> int:
        """Columns of the loss memory that are in SPRAM: where differences make it a large one."""
        columns = self.spram_columns("loss", self.loss_rows, self.loss_word)
        return self.core.kind.keeps_differences * columns

    def spram_columns(self, name: str, depth: int, width: int) -> int:
        """Columns of the memory of ``parameter``, ``momentum``, ``loss`` or ``weights`` that are in
        SPRAM."""
        return self.store.kind.spram_columns(name, depth, width)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = {k: str(v) if isinstance(v, StrEnum) else v for k, v in asdict(self).items()}
        return plain | {"formats": self.formats.to_dict()}

    def _fingerprinted(self) -> dict[str, Any]:
        """What the configuration hash is made of. Choices have the entries that they had at first,
        later ones their names, and those that were the only ones once are left out, so that
        fingerprints of chips that were routed and of checkpoints stay."""
        values = self.to_dict()
        for name, first in _FIRST_ENTRIES.items():
            choice = values.pop(name)
            values |= first.get(choice, {name: choice})
        for name, only in (
            ("loops", True), ("sine", False), ("count_width", 16), ("split", False),
            ("residual_depth", 0),
        ):  # fmt: skip
            if values[name] == only:
                del values[name]
        return values

    @property
    def config_hash(self) -> int:
        """32-bit fingerprint held in the chip's ``config_hash`` register."""
        text = json.dumps(self._fingerprinted(), sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
