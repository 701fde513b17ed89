"""The training chip: units, memories and the bus."""

from typing import NamedTuple

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    EnableInserter,
    Module,
    Mux,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.controller import Controller
from zerotrain.gateware.engine.engine import Engine
from zerotrain.gateware.engine.merge import MergeUnit
from zerotrain.gateware.loss.loss import LossUnit
from zerotrain.gateware.registers import SETTINGS, RegisterBank
from zerotrain.gateware.storage.batch import TargetMemory
from zerotrain.gateware.storage.program import ProgramMemory
from zerotrain.gateware.storage.shared import SharedMemory, loss_memory, show_losses
from zerotrain.gateware.storage.weights import WeightMemory
from zerotrain.gateware.update.perturb import Perturb
from zerotrain.gateware.update.update import Update
from zerotrain.gateware.variants import lane_array, loss_unit, store, update_unit
from zerotrain.gateware.wishbone import WishboneSignature
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Program
from zerotrain.spec.registers import Command, Saturation

__all__ = ["TrainingChip"]


class TrainingChip(wiring.Component):
    """A chip that runs whole training steps behind a Wishbone bus.

    Golden model: :class:`zerotrain.golden.chip.GoldenChip` (every register and memory word but the
    cycle counters, bit-exact).

    Memories have one write port, and one read port unless their unit says otherwise. Each is used
    by one unit at a time: the host while the chip is idle, otherwise the unit that the controller
    runs. No address is read in the cycle in which it is written, except where a unit says that it
    copes.

    Parameters
    ----------
    chip : Chip
        Lanes, formats, memories.
    program : Program, optional
        Initial contents of the program memory; the section registers reset to zero all the same,
        the host writes them with the network's sizes.

    Members
    -------
    clk : In(1)
        The one clock.
    rst : In(1)
        Synchronous reset. It takes effect one cycle later, from a register: the pin's timing is
        free, and a simulator need not evaluate what depends on an input.
    bus : In(WishboneSignature())
        Registers and memory windows, see :mod:`zerotrain.spec.registers`.
    """

    def __init__(self, chip: Chip, program: Program | None = None) -> None:
        if chip.loss.record.residuals:
            raise ValueError(
                "A chip that has residuals exists as a golden model only, its gateware is not "
                "written yet: train with --chip golden"
            )
        self._chip = chip
        self._program = program or Program()
        if len(self._program.rows) > chip.program_depth:
            raise ValueError(
                f"The program has {len(self._program.rows)} rows, the chip's program memory "
                f"{chip.program_depth}"
            )
        super().__init__({"clk": In(1), "rst": In(1), "bus": In(WishboneSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        self._reset(m)
        m.submodules.bank = bank = RegisterBank(chip)
        m.submodules.controller = controller = Controller(chip)
        m.submodules.perturb = perturb = Perturb(chip)
        m.submodules.engine = engine = Engine(chip, lane_array(chip))
        m.submodules.loss = loss = loss_unit(chip)
        update = update_unit(chip)
        m.submodules.update = _resting(
            m, update, update.busy | controller.perturb_start | controller.update_start
        )
        m.submodules.weights = weights = WeightMemory(chip)
        m.submodules.program = program = ProgramMemory(chip, self._program.rows)
        m.submodules.targets = targets = TargetMemory(chip)
        m.submodules.losses = losses = loss_memory(chip)
        m.submodules.store = kept = store(chip)

        wiring.connect(m, wiring.flipped(self.bus), bank.bus)
        for unit in (controller, perturb, loss, update):
            for setting in SETTINGS:
                if setting.name in unit.signature.members:
                    m.d.comb += getattr(unit, setting.name).eq(getattr(bank, setting.name))
        m.d.comb += [
            controller.start.eq(bank.start),
            controller.command.eq(bank.command),
            bank.busy.eq(controller.busy),
        ]

        # Copies of the parameters. The generator's register is its own state; only RGE moves it.
        m.d.comb += [
            perturb.start.eq(controller.perturb_start),
            perturb.perturb.eq(controller.perturb),
            perturb.raises.eq(controller.raises),
            perturb.query.eq(controller.query),
            controller.perturb_busy.eq(perturb.busy),
            perturb.load.eq(bank.lfsr_w_en),
            perturb.load_word.eq(bank.lfsr_w_data),
            bank.lfsr.eq(perturb.state),
            weights.banked.eq(chip.raises | (bank.command != Command.CGE)),
            weights.read_bank.eq(controller.evaluation_bank),
            weights.write_bank.eq(controller.copy_bank),
        ]
        wiring.connect(m, perturb.snapshot, update.snapshot)
        merging = self._merging(m, controller, engine, weights, program)
        _give(m, weights.write, perturb.weight, merging.weight_w)

        # Their evaluation.
        m.d.comb += [
            engine.merged.eq(controller.engine_merged),
            controller.takes_merged.eq(engine.takes_merged),
            engine.input_base.eq(controller.input_base),
            engine.active_lanes.eq(controller.active_lanes),
            controller.engine_busy.eq(engine.busy),
            engine.base_free.eq(loss.base_free & controller.pass_open),
            engine.delta_free.eq(loss.delta_free & controller.pass_open),
            loss.reserve_base.eq(engine.reserve_base),
            loss.reserve_delta.eq(engine.reserve_delta),
            loss.pass_start.eq(controller.pass_start),
            loss.first_evaluation.eq(controller.first_evaluation),
            loss.first_pass.eq(controller.first_pass),
            loss.target_row.eq(controller.target_row),
            loss.active_lanes.eq(controller.loss_lanes),
            loss.score.eq(bank.command == Command.EVALUATE),
            loss.clear.eq(controller.loss_clear & loss.score),
            controller.loss_busy.eq(loss.busy),
            bank.correct.eq(loss.correct),
        ]
        wiring.connect(m, engine.logits, loss.logits)
        wiring.connect(m, engine.weight, weights.read)
        wiring.connect(m, engine.program, program.read[0])
        wiring.connect(m, loss.targets, targets.read)

        # The update.
        updating = self._update(m, controller, update, losses, loss)
        m.d.comb += kept.updating.eq(updating)

        # Samples, parameters and momentum.
        m.d.comb += kept.perturbing.eq(perturb.busy)
        wiring.connect(m, perturb.theta, kept.perturbed)
        wiring.connect(m, update.theta, kept.theta)
        wiring.connect(m, update.theta_w, kept.theta_w)
        wiring.connect(m, update.momentum, kept.momentum_r)
        wiring.connect(m, update.momentum_w, kept.momentum_w)
        wiring.connect(m, kept.sample_w, engine.sample_w)
        wiring.connect(m, engine.common, kept.lanes)
        m.d.comb += [engine.sample_read.eq(kept.sample_read), kept.sample.eq(engine.sample)]

        # What the host reaches.
        m.d.comb += [
            kept.of_training.eq(bank.of_training), kept.bank.eq(bank.bank),
            targets.bank.eq(bank.bank),
        ]  # fmt: skip
        state = {"parameters": kept.parameters, "momentum": kept.momentum}
        _show(m, bank, kept, **state, samples=kept.samples)
        _show(m, bank, program, program=program.host)
        _show(m, bank, targets, targets=targets.host)
        if chip.split:
            self._split(m, bank, controller, perturb, update, losses)
        else:
            _show(m, bank, losses, losses=losses.host)

        self._count(m, bank, controller, engine)
        pulses = {
            Saturation.PERTURB: self._perturbed(controller, perturb),
            Saturation.LOSS: loss.saturated,
            Saturation.GRADIENT: update.saturated_gradient,
            Saturation.PARAMETER: update.saturated_parameter,
            Saturation.MERGE: merging.saturated,
        }
        flags = [pulses.get(flag, engine.saturation[k]) for k, flag in enumerate(Saturation)]
        m.d.comb += [
            bank.saturated.eq(pipe(m, Cat(*flags), 1, "saturated")),
            bank.bad_program.eq(engine.bad_program | merging.bad_program),
        ]
        return m

    def _reset(self, m: Module) -> None:
        """The clock, and the reset from a register."""
        m.domains.sync = ClockDomain()
        m.domains.reset = ClockDomain(reset_less=True)
        reset = Signal(init=1)
        m.d.comb += [
            ClockSignal("sync").eq(self.clk),
            ClockSignal("reset").eq(self.clk),
            ResetSignal("sync").eq(reset),
        ]
        m.d.reset += reset.eq(self.rst)

    def _merging(
        self,
        m: Module,
        controller: Controller,
        engine: Engine,
        weights: WeightMemory,
        program: ProgramMemory,
    ) -> "_Merging":
        """What merges TT-cores: a unit of its own, or the engine between two evaluations."""
        if not self._chip.merge_depth:
            m.d.comb += [
                engine.start.eq(controller.engine_start | controller.merge_start),
                engine.pc.eq(
                    Mux(controller.merge_start, controller.merge_pc, controller.engine_pc)
                ),
                controller.merge_busy.eq(engine.busy),
            ]
            clamped = engine.saturation[list(Saturation).index(Saturation.MERGE)]
            return _Merging(engine.weight_w, clamped, Const(0))
        m.submodules.merge = merge = MergeUnit(self._chip)
        wiring.connect(m, merge.left, weights.left)
        wiring.connect(m, merge.right, weights.right)
        wiring.connect(m, merge.program, program.read[1])
        m.d.comb += [
            engine.start.eq(controller.engine_start),
            engine.pc.eq(controller.engine_pc),
            merge.start.eq(controller.merge_start),
            merge.pc.eq(controller.merge_pc),
            controller.merge_busy.eq(merge.busy),
            controller.merged.eq(merge.merged),
        ]
        return _Merging(merge.weight_w, merge.saturated, merge.bad_program)

    @staticmethod
    def _update(
        m: Module,
        controller: Controller,
        update: Update,
        losses: SharedMemory,
        loss: LossUnit,
    ) -> Value:
        """The update unit's work and its losses; returns when it has the memories."""
        # A cycle later than told, so that the clock enable comes from a register.
        updates = pipe(m, controller.update_start, 1, "updates")
        # From a register, a cycle too long: what follows takes its time.
        updating = pipe(m, update.busy | update.start | controller.update_start, 1, "updating")
        m.d.comb += [
            update.start.eq(updates),
            update.cge.eq(controller.update_cge),
            controller.update_busy.eq(update.busy | updates),
            losses.active[0].eq(updating),
        ]
        _read(m, losses.read[0], update.losses)
        _read(m, losses.read[1], loss.losses)
        _give(m, losses.write[0], loss.losses_w)
        _give(m, losses.write[1], update.difference_w)
        return updating

    def _split(
        self,
        m: Module,
        bank: RegisterBank,
        controller: Controller,
        perturb: Perturb,
        update: Update,
        losses: SharedMemory,
    ) -> None:
        """What the halves of a step need besides; and the losses' memory in two windows."""
        m.d.comb += [
            perturb.restore.eq(controller.restore),
            update.given.eq(controller.update_given),
        ]
        _show(m, bank, losses)
        show_losses(m, self._chip, losses.host, bank.losses, bank.coefficients)

    def _perturbed(self, controller: Controller, perturb: Perturb) -> Value:
        """A parameter of a copy was clamped that is evaluated: no copy of an update is."""
        if self._chip.split:
            return perturb.saturated & ~controller.update_given
        return perturb.saturated

    def _count(self, m: Module, bank: RegisterBank, controller: Controller, engine: Engine) -> None:
        """Cycle, beat and stall counters of the step."""
        width = self._chip.core.kind.counter_width
        cycles, beats, stalls = Signal(width), Signal(width), Signal(32)
        m.d.comb += [bank.cycles.eq(cycles), bank.beats.eq(beats), bank.loss_stalls.eq(stalls)]
        beat = pipe(m, engine.beat, 1, "beat")
        stalled = pipe(m, engine.stalled, 1, "stalled")
        with m.If(bank.start):
            m.d.sync += [cycles.eq(0), beats.eq(0), stalls.eq(0)]
        with m.Else():
            m.d.sync += [
                cycles.eq(cycles + controller.busy),
                beats.eq(beats + beat),
                stalls.eq(stalls + stalled),
            ]


class _Merging(NamedTuple):
    """What the chip hears of whoever merges."""

    weight_w: wiring.PureInterface
    saturated: Value
    bad_program: Value


def _show(
    m: Module, bank: RegisterBank, memory: wiring.Component, **windows: wiring.PureInterface
) -> None:
    """Give windows of a memory to the host, by their names in the bank."""
    m.d.comb += memory.idle.eq(~bank.running)
    for name, window in windows.items():
        wiring.connect(m, getattr(bank, name), window)


def _read(m: Module, port: wiring.PureInterface, user: wiring.PureInterface) -> None:
    """Give a read port to a user that knows fewer bits, or none, of its words."""
    m.d.comb += [port.addr.eq(user.addr), user.data.eq(port.data)]


def _give(m: Module, port: wiring.PureInterface, *users: wiring.PureInterface) -> None:
    """Give a write port to whichever user enables it; they never do so at once."""
    for user in users:
        with m.If(user.en):
            m.d.comb += [port.en.eq(1), port.addr.eq(user.addr), port.data.eq(user.data)]


def _resting(m: Module, unit: wiring.Component, active: Value) -> Elaboratable:
    """A unit that is clocked a cycle after ``active`` and four longer, so that no pulse sticks.

    For a unit that rests most of the time: less power on the chip, less work in simulation.
    """
    trail = Signal(4)
    enable = Signal()
    m.d.sync += [trail.eq(Cat(active, trail)), enable.eq(active | trail.any())]
    return EnableInserter(enable)(unit)
