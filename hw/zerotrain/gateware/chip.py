"""The training chip: units, memories and the bus."""

from collections.abc import Sequence

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
    signed,
)
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.controller import Controller
from zerotrain.gateware.engine.engine import Engine
from zerotrain.gateware.engine.merge import MergeUnit
from zerotrain.gateware.loss.loss_units import loss_unit
from zerotrain.gateware.registers import SETTINGS, RegisterBank
from zerotrain.gateware.storage.common_memory import CommonMemory
from zerotrain.gateware.storage.memory import SinglePortMemory, address_bits, read_latency
from zerotrain.gateware.storage.memory import WritePort as WriteUser
from zerotrain.gateware.storage.weights import WeightMemory
from zerotrain.gateware.update.perturb import Perturb
from zerotrain.gateware.update.update import Update
from zerotrain.gateware.update.update_serial import SerialUpdate
from zerotrain.gateware.wishbone import WishboneSignature
from zerotrain.spec.chip import Chip
from zerotrain.spec.program import Program
from zerotrain.spec.registers import Command, Saturation

__all__ = ["TrainingChip"]


class TrainingChip(wiring.Component):
    """A chip that runs whole training steps behind a Wishbone bus.

    Golden model: :class:`zerotrain.golden.chip.GoldenChip` (every register and memory word but the
    cycle counters, bit-exact).

    Memories have one read and one write port. Each is used by one unit at a time: the host while
    the chip is idle, otherwise the unit that the controller runs. No address is read in the cycle
    in which it is written, except where a unit says that it copes.

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
        m.domains.sync = ClockDomain()
        m.domains.reset = ClockDomain(reset_less=True)
        reset = Signal(init=1)
        m.d.comb += [
            ClockSignal("sync").eq(self.clk),
            ClockSignal("reset").eq(self.clk),
            ResetSignal("sync").eq(reset),
        ]
        m.d.reset += reset.eq(self.rst)
        m.submodules.bank = bank = RegisterBank(chip)
        m.submodules.controller = controller = Controller(chip)
        m.submodules.perturb = perturb = Perturb(chip)
        m.submodules.engine = engine = Engine(chip)
        m.submodules.weights = weights = WeightMemory(chip)
        m.submodules.loss = loss = loss_unit(chip)
        update = SerialUpdate(chip) if chip.compact else Update(chip)
        # A cycle later than told, so that the clock enable comes from a register.
        updates = Signal()
        m.d.sync += updates.eq(controller.update_start)
        m.submodules.update = _resting(
            m, update, update.busy | controller.perturb_start | controller.update_start
        )
        wiring.connect(m, wiring.flipped(self.bus), bank.bus)
        wiring.connect(m, perturb.snapshot, update.snapshot)

        for unit in (controller, perturb, loss, update):
            for setting in SETTINGS:
                if setting.name in unit.signature.members:
                    m.d.comb += getattr(unit, setting.name).eq(getattr(bank, setting.name))
        evaluate = bank.command == Command.EVALUATE
        m.d.comb += [
            controller.start.eq(bank.start),
            controller.command.eq(bank.command),
            bank.busy.eq(controller.busy),
            perturb.start.eq(controller.perturb_start),
            perturb.perturb.eq(controller.perturb),
            perturb.query.eq(controller.query),
            controller.perturb_busy.eq(perturb.busy),
            engine.merged.eq(controller.engine_merged),
            controller.takes_merged.eq(engine.takes_merged),
            weights.banked.eq(1 if chip.raises else bank.command != Command.CGE),
            weights.read_bank.eq(controller.evaluation_bank),
            weights.write_bank.eq(controller.copy_bank),
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
            loss.clear.eq(controller.loss_clear & evaluate),
            controller.loss_busy.eq(loss.busy),
            update.start.eq(updates),
            update.cge.eq(controller.update_cge),
            controller.update_busy.eq(update.busy | updates),
            bank.correct.eq(loss.correct),
            loss.score.eq(evaluate),
        ]
        if chip.raises:
            m.d.comb += perturb.raises.eq(controller.raises)
        wiring.connect(m, engine.logits, loss.logits)
        wiring.connect(m, engine.weight, weights.read)
        merge = self._merging(m, controller, engine, weights)
        m.d.comb += bank.bad_program.eq(
            engine.bad_program | (merge.bad_program if merge else Const(0))
        )
        # The register is the generator's own state; only RGE moves it.
        m.d.comb += [
            perturb.load.eq(bank.lfsr_w_en),
            perturb.load_word.eq(bank.lfsr_w_data),
            bank.lfsr.eq(perturb.state),
        ]
        self._count(m, bank, controller, engine)
        self._flags(m, bank, engine, merge, perturb, loss, update)
        self._memories(m, bank, controller, engine, merge, weights, perturb, loss, update)
        return m

    def _merging(
        self, m: Module, controller: Controller, engine: Engine, weights: WeightMemory
    ) -> MergeUnit | None:
        """What merges TT-cores: a unit of its own, or the engine between two evaluations."""
        if not self._chip.merge_depth:
            m.d.comb += [
                engine.start.eq(controller.engine_start | controller.merge_start),
                engine.pc.eq(
                    Mux(controller.merge_start, controller.merge_pc, controller.engine_pc)
                ),
                controller.merge_busy.eq(engine.busy),
            ]
            return None
        m.submodules.merge = merge = MergeUnit(self._chip)
        wiring.connect(m, merge.left, weights.left)
        wiring.connect(m, merge.right, weights.right)
        m.d.comb += [
            engine.start.eq(controller.engine_start),
            engine.pc.eq(controller.engine_pc),
            merge.start.eq(controller.merge_start),
            merge.pc.eq(controller.merge_pc),
            controller.merge_busy.eq(merge.busy),
            controller.merged.eq(merge.merged),
        ]
        return merge

    def _count(self, m: Module, bank: RegisterBank, controller: Controller, engine: Engine) -> None:
        """Cycle, beat and stall counters of the step."""
        # 32 bits hold some minutes of the clock of a small part: longer than its longest step.
        width = 32 if self._chip.compact else 48
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

    @staticmethod
    def _flags(
        m: Module,
        bank: RegisterBank,
        engine: Engine,
        merge: MergeUnit | None,
        perturb: Perturb,
        loss: wiring.Component,
        update: Update,
    ) -> None:
        """Saturation flags of all units."""
        pulses = {
            Saturation.PERTURB: perturb.saturated,
            Saturation.LOSS: loss.saturated,
            Saturation.GRADIENT: update.saturated_gradient,
            Saturation.PARAMETER: update.saturated_parameter,
        }
        if merge:
            pulses[Saturation.MERGE] = merge.saturated
        bits: list[Value] = [
            pulses.get(flag, engine.saturation[k]) for k, flag in enumerate(Saturation)
        ]
        m.d.comb += bank.saturated.eq(pipe(m, Cat(*bits), 1, "saturated"))

    def _memories(
        self,
        m: Module,
        bank: RegisterBank,
        controller: Controller,
        engine: Engine,
        merge: MergeUnit | None,
        weights: WeightMemory,
        perturb: Perturb,
        loss: wiring.Component,
        update: Update,
    ) -> None:
        chip, f = self._chip, self._chip.formats
        idle, always = ~bank.running, Const(1)

        def memory(
            name: str, width: int, depth: int, *, part: int | None = None, init: Sequence[int] = ()
        ) -> tuple[WritePort, ReadPort]:
            m.submodules[f"{name}_memory"] = made = Memory(shape=width, depth=depth, init=init)
            return made.write_port(granularity=part), made.read_port()

        def write(port: WritePort | wiring.PureInterface, *users: wiring.PureInterface) -> None:
            """Give the write port to whichever user enables it; they never do so at once."""
            for user in users:
                with m.If(user.en):
                    m.d.comb += [port.en.eq(1), port.addr.eq(user.addr), port.data.eq(user.data)]

        def program(unit: Engine | MergeUnit, port: ReadPort) -> Value:
            """Give a unit its rows, which a register alone behind the memory brings to it."""
            row = pipe(m, port.data, 1 - chip.compact, "program_row", reset_less=True)
            m.d.comb += [port.addr.eq(unit.program.addr), unit.program.data.eq(row)]
            return row

        def later(name: str, host: wiring.PureInterface, *place: Value) -> list[Value]:
            """The host's enable, place and word, a cycle later: memories are far from the bank."""
            asked = (host.w_en, *place, host.w_data)
            return [pipe(m, v, 1 - chip.compact, f"{name}_{k}") for k, v in enumerate(asked)]

        def answer(name: str, host: wiring.PureInterface, word: Value) -> None:
            """Give a word to the host. Block RAM is slow, and the host has time."""
            if not chip.compact:
                word = pipe(m, word, 1, f"{name}_held", reset_less=True)
            m.d.comb += host.r_data.eq(word)

        crossing = read_latency(chip) // 2

        def share(
            name: str,
            w: WritePort | wiring.PureInterface,
            r: ReadPort | wiring.PureInterface,
            writer: wiring.PureInterface,
            *users: tuple[Value, wiring.PureInterface],
        ) -> None:
            """Give an idle memory to the host, else its read port to the first user that is active.

            All see the data, ``read_latency(chip)`` cycles after the address. Words are written a
            cycle later than told, or at once on a compact chip.
            """
            host = getattr(bank, name)
            m.d.comb += host.granted.eq(idle)
            address = users[-1][1].addr
            for active, user in reversed(users[:-1]):
                address = Mux(active, user.addr, address)
            address = Mux(idle, host.addr, address)
            m.d.comb += r.addr.eq(pipe(m, address, crossing, f"{name}_row", reset_less=True))
            word = pipe(m, Value.cast(r.data), crossing, f"{name}_word", reset_less=True)
            for _, user in users:
                m.d.comb += user.data.eq(word)
            answer(name, host, word)

            told = Cat(
                writer.en | host.w_en,
                Mux(writer.en, writer.addr, host.addr),
                Mux(writer.en, writer.data, host.w_data),
            )
            told = pipe(m, told, crossing, f"{name}_told", reset_less=True)
            m.d.comb += Cat(w.en, w.addr, w.data).eq(told)

        def large_memory(
            name: str, width: int, depth: int
        ) -> tuple[WritePort | wiring.PureInterface, ReadPort | wiring.PureInterface]:
            """In SPRAM, if there is any and it saves block RAM."""
            columns = chip.spram_columns(name, depth, width)
            if not columns:
                return memory(name, width, depth)
            made = SinglePortMemory(width, depth, columns)
            m.submodules[f"{name}_memory"] = made
            return made.write, made.read

        # From a register, a cycle too long: what follows takes its time.
        updating = Signal()
        m.d.sync += updating.eq(update.busy | update.start | controller.update_start)
        if chip.common:
            self._common_memory(m, bank, engine, perturb, update, updating)
        else:
            w, r = large_memory("parameter", f.weight.width, chip.parameter_depth)
            theta = (updating, update.theta), (always, perturb.theta)
            share("parameters", w, r, update.theta_w, *theta)
            w, r = large_memory("momentum", f.momentum.width, chip.parameter_depth)
            share("momentum", w, r, update.momentum_w, (always, update.momentum))
        if chip.compact:
            w, r = large_memory("loss", chip.difference_width, chip.loss_rows)
            writer = WriteUser(len(w.addr), signed(len(w.data))).create()
            write(writer, loss.losses_w, update.difference_w)
        else:
            w, r = memory("loss", f.loss.width, chip.evaluation_depth)
            writer = loss.losses_w
        share("losses", w, r, writer, (updating, update.losses), (always, loss.losses))

        write(weights.write, perturb.weight, merge.weight_w if merge else engine.weight_w)

        # The program's rows are two bus words wide.
        w, r = memory("program", 64, chip.program_depth, part=32, init=self._program.rows)
        rows = program(engine, r)
        if merge:
            program(merge, m.submodules.program_memory.read_port())
        host = bank.program
        m.d.comb += host.granted.eq(idle)
        with m.If(idle):
            m.d.comb += r.addr.eq(host.addr >> 1)
        high = Signal(reset_less=True)
        m.d.sync += high.eq(host.addr[0])
        answer("program", host, rows.word_select(high, 32))
        m.d.comb += [
            w.addr.eq(host.addr >> 1),
            w.data.eq(host.w_data.replicate(2)),
            w.en.eq(host.w_en << host.addr[0]),
        ]

        bits = len(bank.targets.w_data)
        w, r = memory("target", chip.loss_ways * bits, chip.target_rows, part=bits)
        m.d.comb += [r.addr.eq(loss.targets.addr), loss.targets.data.eq(r.data)]
        part, row = self._batch_memory(m, bank, bank.targets, chip.target_depth, idle)
        en, part, row, word = later("targets", bank.targets, part, row)
        m.d.comb += [
            w.addr.eq(row),
            w.data.eq(word.replicate(chip.loss_ways)),
            w.en.eq(en << part),
        ]
        with m.If(idle):
            m.d.comb += r.addr.eq(row)
        answer("targets", bank.targets, r.data.word_select(part, bits))

        if chip.common:
            return
        # The lanes' own memories belong to the engine; of these the host sees the samples.
        part, row = self._batch_memory(m, bank, bank.samples, chip.sample_depth, idle)
        en, part, row, word = later("samples", bank.samples, part, row)
        m.d.comb += [
            engine.sample_w.en.eq(en),
            engine.sample_w.lane.eq(part),
            engine.sample_w.row.eq(row),
            engine.sample_w.data.eq(word),
            engine.sample_read.eq(idle),
            bank.samples.r_data.eq(engine.sample),
        ]

    def _common_memory(
        self,
        m: Module,
        bank: RegisterBank,
        engine: Engine,
        perturb: Perturb,
        update: SerialUpdate,
        updating: Value,
    ) -> None:
        """The memory of samples, pre-activations, parameters and momentum, and who has it.

        Units that work with parameters do so while the engine rests.
        """
        idle = ~bank.running
        m.submodules.common_memory = memory = CommonMemory(self._chip)
        wiring.connect(m, engine.common, memory.lanes)
        lane, row = self._batch_memory(m, bank, bank.samples, self._chip.sample_depth, idle)
        hosts = {"theta": bank.parameters, "momentum": bank.momentum}
        index = Mux(updating, update.theta.addr, perturb.theta.addr)
        m.d.comb += [
            memory.idle.eq(idle),
            memory.sample_row.eq(row),
            memory.sample_lane.eq(lane),
            memory.sample_en.eq(bank.samples.w_en),
            memory.sample_data.eq(bank.samples.w_data),
            bank.samples.r_data.eq(memory.sample),
            memory.training.eq(Mux(idle, bank.of_training, updating | perturb.busy)),
            # The bank has one address for all windows, a serial update one for both words.
            memory.index.eq(Mux(idle, bank.parameters.addr, index)),
            perturb.theta.data.eq(memory.theta),
        ]
        for name, host in hosts.items():
            user, read = getattr(update, f"{name}_w"), getattr(memory, name)
            m.d.comb += [
                host.granted.eq(idle),
                host.r_data.eq(read),
                getattr(update, name).data.eq(read),
                getattr(memory, f"{name}_en").eq(user.en | host.w_en),
                getattr(memory, f"{name}_data").eq(Mux(user.en, user.data, host.w_data)),
            ]

    def _batch_memory(
        self, m: Module, bank: RegisterBank, host: wiring.PureInterface, depth: int, idle: Value
    ) -> tuple[Value, Value]:
        """Part and row of the word that the host means, in a memory of one or two banks. With two,
        the one that no step works on may be written at any time; the second begins at ``depth``.
        """
        bits = address_bits(depth)
        if self._chip.sample_banks == 1:
            m.d.comb += host.granted.eq(idle)
            return host.addr[bits:], host.addr[:bits]
        half = host.addr[bits]
        m.d.comb += host.granted.eq(idle | (host.writing & (half != bank.bank)))
        return host.addr[bits + 1 :], host.addr[:bits] + Mux(half, depth, 0)


def _resting(m: Module, unit: wiring.Component, active: Value) -> Elaboratable:
    """A unit that is clocked a cycle after ``active`` and four longer, so that no pulse sticks.

    For a unit that rests most of the time: less power on the chip, less work in simulation.
    """
    trail = Signal(4)
    enable = Signal()
    m.d.sync += [trail.eq(Cat(active, trail)), enable.eq(active | trail.any())]
    return EnableInserter(enable)(unit)
