"""Register map and memory windows of a chip, as seen from its 32-bit Wishbone bus.

Byte addresses; every access is one aligned 32-bit word. Reads have no side effects. Windows are
accessible while the chip is idle; where samples and targets have two banks, the one that the
running step does not use can be written at any time.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from zerotrain.spec.batch import address_bits
from zerotrain.spec.chip import COEFFICIENT_WORD, Chip
from zerotrain.spec.equation import RESIDUAL_WIDTH

__all__ = [
    "IDENTIFIER", "REGISTERS", "VERSION", "Baseline", "Command", "Error", "Register", "Saturation",
    "Status", "UpdateRule", "Window", "register", "windows",
]  # fmt: skip

IDENTIFIER = int.from_bytes(b"ZTRN", "big")
VERSION = 1


class Command(IntEnum):
    """Values of the ``command`` register. Writing one while the chip is idle starts the step."""

    NONE = 0
    EVALUATE = 1  # loss and number of correct predictions at theta; nothing is updated
    RGE = 2
    CGE = 3
    LOSSES = 4  # the losses of an RGE step; nothing is updated
    UPDATE = 5  # the update of an RGE step, from coefficients in place of loss differences


def commands(chip: Chip) -> tuple[Command, ...]:
    """The commands that a chip knows."""
    known = {Command.EVALUATE, Command.RGE}
    known |= {Command.CGE} if chip.cge.kind.steps else set()
    known |= {Command.LOSSES, Command.UPDATE} if chip.split else set()
    return tuple(sorted(known))


class Status(IntFlag):
    """Bits of the ``status`` register."""

    BUSY = 1
    DONE = 2  # a step has finished since the last command


class Error(IntFlag):
    """Bits of the sticky ``error`` register; write ones to clear."""

    BAD_COMMAND = 1  # unknown command, or a command while busy
    BUSY_ACCESS = 2  # a window or setting of the running step was accessed; ignored
    BAD_ADDRESS = 4  # no register or window there
    BAD_PROGRAM = 8  # the program ran into a row that is no instruction


class Saturation(IntFlag):
    """Bits of the sticky ``saturation`` register; write ones to clear.

    A bit is set when any value that the numerics define (docs/numerics.md) was clamped.
    """

    PERTURB = 1  # theta +- mu
    MERGE = 2  # a merged TT-core
    SCRATCH = 4  # a TT intermediate or an environment
    PREACT = 8
    LOGIT = 16  # logits and output differences
    LOSS = 32
    GRADIENT = 64  # scaled gradient, or momentum
    PARAMETER = 128  # theta - delta


class Baseline(IntEnum):
    """What RGE subtracts from each query's loss."""

    BASE = 0  # the loss at theta: one more evaluation, N + 1 in all
    MEAN = 1  # the mean of the N losses


class UpdateRule(IntEnum):
    """How theta moves against the momentum word v."""

    LINEAR = 0  # theta -= round(v * mantissa / 2**step_shift)
    SIGN = 1  # theta -= mantissa * sign(v)


@dataclass(frozen=True, slots=True)
class Register:
    """One 32-bit register.

    ``width`` counts the implemented low bits; the others read zero and ignore writes.
    ``access`` is ``"r"``, ``"rw"`` or ``"rc"`` (writing ones clears).
    """

    name: str
    address: int
    width: int
    access: str
    doc: str


def _layout(*rows: tuple[str, int, str, str]) -> tuple[Register, ...]:
    return tuple(Register(n, 4 * k, w, a, d) for k, (n, w, a, d) in enumerate(rows))


REGISTERS = _layout(
    ("identifier", 32, "r", "'ZTRN' in ASCII"),
    ("version", 32, "r", "version of this register map"),
    ("config_hash", 32, "r", "fingerprint of the chip's configuration"),
    (
        "command",
        4,
        "rw",
        "last command; writing starts a step: 1 evaluate, 2 RGE, 3 CGE, 4 losses, 5 update",
    ),
    ("status", 2, "r", "bit 0 busy, bit 1 done"),
    ("error", 4, "rc", "sticky errors: bad command, busy access, bad address, bad program"),
    ("saturation", 8, "rc", "sticky saturation, one bit per kind of value"),
    ("cycles_lo", 32, "r", "clock cycles of the last or running step, low word"),
    ("cycles_hi", 32, "r", "clock cycles of the last or running step, high word"),
    ("beats_lo", 32, "r", "cycles in which the multipliers worked, low word"),
    ("beats_hi", 32, "r", "cycles in which the multipliers worked, high word"),
    ("loss_stalls", 32, "r", "cycles in which the engine waited for the loss unit"),
    ("correct", 32, "r", "correct predictions of the last evaluate step"),
    ("n_parameters", 17, "rw", "parameters d of the loaded network"),
    ("n_inputs", 17, "rw", "input words of one sample"),
    ("n_outputs", 7, "rw", "outputs of the network"),
    ("passes", 16, "rw", "passes over the lanes: ceil(batch / lanes)"),
    ("last_lanes", 7, "rw", "lanes in use in the last pass, 1 to lanes"),
    ("bank", 1, "rw", "bank of samples and targets that the next step reads, where there are two"),
    ("queries", 7, "rw", "RGE queries N"),
    ("baseline", 1, "rw", "RGE baseline: 0 loss at theta, 1 mean of the N losses"),
    ("update_rule", 1, "rw", "0 linear, 1 sign"),
    ("mu", 16, "rw", "RGE smoothing radius in weight LSB"),
    ("gradient_shift", 5, "rw", "right shift of the gradient before momentum"),
    ("decay", 4, "rw", "momentum factor in sixteenths; 0 is no momentum"),
    ("step_mantissa", 8, "rw", "step size: mantissa"),
    ("step_shift", 5, "rw", "step size: right shift (linear rule)"),
    ("lfsr_lo", 32, "rw", "perturbation generator state, low word"),
    ("lfsr_hi", 32, "rw", "perturbation generator state, high word"),
    (
        "program_merge",
        16,
        "rw",
        "first program row of the merge section, per copy of theta",
    ),
    ("program_forward", 16, "rw", "first program row of the per-pass forward section"),
    ("program_cge_merge", 16, "rw", "first program row of what CGE merges besides, per step"),
    ("program_cge", 16, "rw", "first program row of all coordinates, per pass of CGE"),
)

_BY_NAME = {r.name: r for r in REGISTERS}


def register(name: str) -> Register:
    """The register of that name."""
    return _BY_NAME[name]


@dataclass(frozen=True, slots=True)
class Window:
    """A memory seen through the bus: ``words`` 32-bit words from byte address ``base``.

    ``base`` is a multiple of the window's size rounded up to a power of two.
    ``signed`` and ``width`` say how a memory word sits in the low bits of a bus word.
    """

    name: str
    base: int
    words: int
    width: int
    signed: bool
    doc: str


def windows(chip: Chip) -> dict[str, Window]:
    """Every window of a chip, by name.

    * ``parameters``, ``momentum``: word p is parameter p.
    * ``program``: row r is words 2r (low half) and 2r + 1 (high half).
    * ``losses``: word e is the summed loss of evaluation e of the last step; read only. On a
      compact chip, an RGE step leaves words behind the first ``query_depth + 1`` undefined; so it
      does on a chip that splits its steps, and so do coefficients.
    * ``samples``: word ``(lane << L) | (bank << B) | row`` where ``row = pass * n_inputs + input``,
      B = bits of sample_depth, L = B + 1, or B with one bank. Sample s of the batch is in lane
      ``s % lanes`` of pass ``s // lanes``.
    * ``targets``: word ``(way << L) | (bank << B) | row`` where way = lane % loss_ways,
      ``row = (pass * ceil(lanes / loss_ways) + lane // loss_ways) * n_targets + target``,
      B = bits of target_depth, L likewise.
    * ``coefficients``, on chips whose steps can be split: word q is that of query q. RGE and CGE
      steps leave it undefined, others as it is.
    * ``residuals``, on chips that have them: word ``e * R + r`` is residual r, of R, of evaluation
      e of the last step; read only.
    """
    f = chip.formats
    layout = chip.layout
    sizes = [
        ("parameters", chip.parameter_depth, f.weight.width, True, "parameters theta"),
        ("momentum", chip.parameter_depth, f.momentum.width, True, "momentum words"),
        ("program", 2 * chip.program_depth, 32, False, "contraction program"),
        ("losses", chip.evaluation_depth, f.loss.width, True, "loss of every evaluation"),
        ("samples", layout.bus_words(chip.lanes, chip.sample_depth), f.input.width, True,
         "input samples"),
        ("targets", layout.bus_words(chip.loss_ways, chip.target_depth),
         chip.target_width, not chip.loss.record.labels, "labels or target values"),
    ]  # fmt: skip
    if chip.split:
        sizes.append(
            ("coefficients", chip.query_depth, COEFFICIENT_WORD, True, "coefficients of an update")
        )
    if chip.residual_depth:
        sizes.append(("residuals", chip.residual_depth, RESIDUAL_WIDTH, True, "residuals"))
    out: dict[str, Window] = {}
    end = 4 << address_bits(len(REGISTERS))
    for name, words, width, signed, doc in sizes:
        size = 4 << address_bits(words)
        base = -(-end // size) * size
        out[name] = Window(name, base, words, width, signed, doc)
        end = base + size
    return out
