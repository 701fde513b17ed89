"""The signals of a chip that are worth looking at: their names, and what their bits mean.

The only place that knows where in the generated Verilog they are. Verilator refuses a path that is
not there, and a test compares what arrives with the golden model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from amaranth.hdl import Fragment

from zerotrain.gateware.controller import Controller
from zerotrain.spec.batch import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.choices import Core
from zerotrain.spec.formats import QFormat
from zerotrain.spec.registers import Command, Saturation

__all__ = ["SCOPE", "Probe", "probes", "verilog_of"]

#: Where the probes are in a trace: ``SCOPE.group.name``.
SCOPE = "wrapper.signals"


@dataclass(frozen=True)
class Probe:
    """A signal of a trace.

    Parameters
    ----------
    group, name : str
        Its place among the others.
    width : int
        Bits.
    source : str
        Verilog expression of the value, as seen from the wrapper, whose instance ``chip`` is the
        chip.
    format : QFormat, optional
        The number that the bits stand for.
    signed : bool
        The bits are a signed integer, if they have no format.
    words : mapping of int to str
        Values that have names.
    """

    group: str
    name: str
    width: int
    source: str
    format: QFormat | None = None
    signed: bool = False
    words: Mapping[int, str] = field(default_factory=dict)

    @property
    def range(self) -> tuple[int, int]:
        """Numbers of the highest and the lowest bit: a bit's number is the power of two that it
        counts, so that a fixed-point number has negative ones."""
        lowest = -self.format.frac_bits if self.format else 0
        return self.width - 1 + lowest, lowest

    @property
    def path(self) -> str:
        """Name in the trace, without its range."""
        return f"{SCOPE}.{self.group}.{self.name}"


def probes(chip: Chip, *, lanes: int) -> tuple[Probe, ...]:
    """What a trace of a chip shows, in the order in which it is shown.

    Parameters
    ----------
    chip : Chip
    lanes : int
        How many lanes are shown, from the first. Each has bits that change nearly every cycle.
    """
    shown = range(min(lanes, chip.lanes))
    return (
        *_bus(), *_controller(chip), *_engine(chip, shown), *_lanes(chip, shown), *_loss(chip),
        *_update(chip), *_saturation(),
    )  # fmt: skip


def _bus() -> Iterator[Probe]:
    yield Probe("bus", "clock", 1, "clk")
    yield Probe("bus", "access", 1, "chip.bus__cyc & chip.bus__stb")
    yield Probe("bus", "write", 1, "chip.bus__we")
    yield Probe("bus", "ack", 1, "chip.bus__ack")
    yield Probe("bus", "address", 32, "{chip.bus__adr, 2'd0}")
    yield Probe("bus", "write_data", 32, "chip.bus__dat_w")
    yield Probe("bus", "read_data", 32, "chip.bus__dat_r")


def _controller(chip: Chip) -> Iterator[Probe]:
    machines = Fragment.get(Controller(chip), None).generated
    at = "chip.controller"
    yield Probe("controller", "command", 4, f"{at}.command", words={c: c.name for c in Command})
    for name in ("start", "busy"):
        yield Probe("controller", name, 1, f"{at}.{name}")
    for name in ("prepare", "evaluate"):
        states = {code: state for state, code in machines[name].encoding.items()}
        width = (len(states) - 1).bit_length()
        yield Probe("controller", f"{name}_state", width, f"{at}.{name}_state", words=states)
    for unit in ("perturb", "merge", "engine", "loss", "update"):
        yield Probe("controller", f"{unit}_busy", 1, f"{at}.{unit}_busy")
    for name in ("copy_bank", "evaluation_bank"):
        yield Probe("controller", name, 1, f"{at}.{name}")
    evaluation = address_bits(chip.evaluation_depth)
    yield Probe("controller", "evaluation", evaluation, f"{at}.evaluation")


def _engine(chip: Chip, shown: range) -> Iterator[Probe]:
    f, address = chip.formats, address_bits(chip.weight_depth)
    for name in ("beat", "stalled"):
        yield Probe("engine", name, 1, f"chip.engine.{name}")
    yield Probe("engine", "weight_address", address, "chip.engine.weight__addr")
    yield Probe("engine", "weight", f.weight.width, "chip.engine.weight__data", f.weight)
    # Perturbed copies and merged TT-cores, on their way into the memory.
    yield Probe("engine", "copy_write", 1, "chip.weights.write__en")
    yield Probe("engine", "copy_address", address, "chip.weights.write__addr")
    yield Probe("engine", "copy_value", f.weight.width, "chip.weights.write__data", f.weight)
    for name, source in (("logit_write", "en"), ("logit_is_difference", "delta")):
        yield Probe("engine", name, 1, f"chip.engine.logits__{source}")
    index = address_bits(chip.output_depth)
    yield Probe("engine", "logit_index", index, "chip.engine.logits__index")
    width = f.logit.width
    if chip.serial_loss:
        yield Probe("engine", "logit", width, "chip.engine.logits__data", f.logit)
    else:
        for k in shown:
            word = f"chip.engine.logits__data[{width * k} +: {width}]"
            yield Probe("engine", f"logit_{k}", width, word, f.logit)


def _lanes(chip: Chip, shown: range) -> Iterator[Probe]:
    """Operand, weight and sum. Their point moves with what is multiplied: integers."""
    f = chip.formats
    for k in shown:
        if chip.core == Core.PIPELINED:
            group = next(g for g, members in enumerate(chip.lane_groups) if k in members)
            at = f"chip.engine.lanes.group_{group}.lane_{k - chip.lane_groups[group][0]}"
            names = {"operand": f"{at}.p2_operand", "weight": f"{at}.p2_weight", "sum": f"{at}.acc"}
            width = chip.acc_width
        else:
            at = "chip.engine.lanes"
            names = {"operand": f"{at}.p1_operand_{k}", "weight": f"{at}.p1_weight"}
            names["sum"] = f"{at}.acc_{k}"
            width = max(32, f.weight.width + f.lane_width)
        lane = f"lane_{k}"
        yield Probe(lane, "operand", f.lane_width, names["operand"], signed=True)
        yield Probe(lane, "weight", f.weight.width, names["weight"], f.weight)
        yield Probe(lane, "accumulator", width, names["sum"], signed=True)


def _loss(chip: Chip) -> Iterator[Probe]:
    """Losses as they are written: summed over the passes so far."""
    f, address = chip.formats.loss, address_bits(chip.evaluation_depth)
    yield Probe("loss", "write", 1, "chip.loss.losses_w__en")
    yield Probe("loss", "evaluation", address, "chip.loss.losses_w__addr")
    yield Probe("loss", "value", f.width, "chip.loss.losses_w__data", f)


def _update(chip: Chip) -> Iterator[Probe]:
    """Momentum and parameters as they are written. The unit of momentum is a register's."""
    f, address = chip.formats, address_bits(chip.parameter_depth)
    width = f.momentum.width
    yield Probe("update", "momentum_write", 1, "chip.update.momentum_w__en")
    yield Probe("update", "momentum_index", address, "chip.update.momentum_w__addr")
    yield Probe("update", "momentum", width, "chip.update.momentum_w__data", signed=True)
    yield Probe("update", "theta_write", 1, "chip.update.theta_w__en")
    yield Probe("update", "theta_index", address, "chip.update.theta_w__addr")
    yield Probe("update", "theta", f.weight.width, "chip.update.theta_w__data", f.weight)


def _saturation() -> Iterator[Probe]:
    """Pulses: a value of this kind was clamped."""
    for bit, flag in enumerate(Saturation):
        name = f"clamped_{str(flag.name).lower()}"
        yield Probe("saturation", name, 1, f"chip.saturated[{bit}]")


def verilog_of(shown: tuple[Probe, ...]) -> str:
    """The probes as wires, to be put at the end of the wrapper.

    Their ranges tell a viewer where the point of a fixed-point number is.
    """
    lines = ["  if (1) begin : signals"]
    for group in dict.fromkeys(probe.group for probe in shown):
        lines.append(f"    if (1) begin : {group}")
        for probe in shown:
            if probe.group == group:
                high, low = probe.range
                size = f"[{high}:{low}] " if probe.width > 1 else ""
                lines.append(f"      wire {size}{probe.name} = {probe.source};")
        lines.append("    end")
    return "\n".join([*lines, "  end"]) + "\n"
