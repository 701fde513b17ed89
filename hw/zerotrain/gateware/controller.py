"""The step controller: runs a whole step on its own."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.registers import Baseline, Command, register

__all__ = ["Controller"]

_SETTINGS = (
    "n_parameters", "n_inputs", "n_outputs", "passes", "last_lanes", "bank", "queries", "baseline",
    "program_merge", "program_forward", "program_cge_merge", "program_cge",
)  # fmt: skip


class Controller(wiring.Component):
    """Sequences perturbation, merging, engine, loss unit and update.

    A step evaluates one copy of the parameters after the other. Two threads share the work:

    * one *prepares* copies: perturb, then merge;
    * the other *evaluates* them: a forward pass for every group of ``lanes`` samples, in a CGE step
      by environments followed by the section of all coordinates.

    With a merge unit there are two banks of weights. The next copy is prepared while one is
    evaluated, and an evaluation begins as soon as the first of its weights are merged: the engine
    waits where it needs others (``engine_merged``). Without, the engine merges, and the threads
    take turns.

    The units are spread over the chip: what they are told leaves from registers, and what they tell
    is registered before anything follows from it. A unit's ``busy`` rises in the cycle after its
    ``start``, or never. From the last cycle of a work to the start of what waits for it:

    ================================================ ======
    perturbing to merging; a section to the next     4
    pass to pass                                     5
    evaluation to evaluation                         7
    preparation to preparation                       6
    evaluation to preparation, for its bank          7
    preparation to evaluation, without ``merged``    7
    of the loss unit, to its next pass               3
    of the loss unit, to the update                  4
    ================================================ ======

    Where nothing is merged, what follows merging follows perturbing. The first perturbation starts
    4 cycles after ``start``. ``busy`` falls 4 cycles after the last cycle of an update, or of the
    loss unit in a step without one. ``engine_merged`` follows ``merged`` by 3 cycles.

    A step of losses ends where one of RGE begins its update, and has the generator's state
    restored. One that only updates perturbs as RGE does, but for theta itself, so that the states
    of the generator are noted. It neither merges nor evaluates.

    The loss unit works on one pass while the engine is already in the next; the controller opens a
    pass in the loss unit as soon as that is idle, and withholds the loss unit's credits until then.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    start : In(1)
        Begin the step that ``command`` names. Only while not ``busy``.
    command : In(4)
        Still from the cycle before ``start``, as settings are.
    settings
        One input for each register that the step needs, under the register's name.
    busy : Out(1)
    perturb_start, perturb_busy, perturb, raises, query
        :class:`~zerotrain.gateware.update.perturb.Perturb`.
    merge_start, merge_pc, merge_busy
        What runs the merge sections: the merge unit, or the engine.
    merged : In(1)
        Pulse: something that a contraction of the engine waits for is merged.
    copy_bank, evaluation_bank : Out(1)
        Banks of the weight memory: of the copy in preparation, of the one under evaluation.
    engine_start, engine_pc, engine_busy, input_base, active_lanes
        :class:`~zerotrain.gateware.engine.engine.Engine`; the lanes a cycle after ``engine_start``.
    engine_merged : Out(1)
        A contraction that waits for merging may begin.
    takes_merged : In(1)
        Pulse: it does.
    pass_start, first_evaluation, first_pass, target_row, loss_lanes, loss_clear, loss_busy
        The loss unit.
    pass_open : Out(1)
        The engine may use the loss unit's credits.
    update_start, update_cge, update_busy
        :class:`~zerotrain.gateware.update.update.Update`.
    update_given, restore
        On a chip that splits its steps: of that and of the perturbation.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        # Of a chip that splits its steps: the command is LOSSES; it is UPDATE.
        self._losses, self._given = Signal(name="only_losses"), Signal(name="given")
        rows = address_bits(chip.program_depth)
        super().__init__(
            {
                "start": In(1),
                "command": In(register("command").width),
                "busy": Out(1),
                **{name: In(register(name).width) for name in _SETTINGS},
                "perturb_start": Out(1),
                "perturb_busy": In(1),
                "perturb": Out(1),
                "raises": Out(1),
                "query": Out(range(chip.copy_depth)),
                "merge_start": Out(1),
                "merge_pc": Out(rows),
                "merge_busy": In(1),
                "merged": In(1),
                "copy_bank": Out(1),
                "evaluation_bank": Out(1),
                "engine_start": Out(1),
                "engine_pc": Out(rows),
                "engine_busy": In(1),
                "engine_merged": Out(1),
                "takes_merged": In(1),
                "input_base": Out(range(chip.sample_rows)),
                "active_lanes": Out(range(chip.lanes + 1)),
                "pass_start": Out(1),
                "pass_open": Out(1),
                "first_evaluation": Out(range(chip.evaluation_depth)),
                "first_pass": Out(1),
                "target_row": Out(range(chip.target_rows)),
                "loss_lanes": Out(range(chip.lanes + 1)),
                "loss_clear": Out(1),
                "loss_busy": In(1),
                "update_start": Out(1),
                "update_cge": Out(1),
                "update_busy": In(1),
                **({"update_given": Out(1), "restore": Out(1)} if chip.split else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Settings hold still: what follows from them is known before it is asked.
        rge, cge = Signal(), Signal()
        copies = Signal(range(self._chip.evaluation_depth + 1))
        asks: Value = self.command == Command.RGE
        if self._chip.split:
            m.d.sync += [
                self._losses.eq(self.command == Command.LOSSES),
                self._given.eq(self.command == Command.UPDATE),
            ]
            m.d.comb += self.update_given.eq(self._given)
            asks = asks | (self.command == Command.LOSSES) | (self.command == Command.UPDATE)
        m.d.sync += [
            rge.eq(asks),
            cge.eq((self.command == Command.CGE) & (self._chip.cge != Cge.NONE)),
            copies.eq(Mux(rge, self.queries + self._base(), 1)),
        ]
        m.d.comb += self.update_cge.eq(cge)
        with m.If(self._by_passes(cge)):
            m.d.sync += copies.eq(self.n_parameters + 1)

        # Copies of which the preparation has begun and the evaluation has not ended.
        held = Signal(range(3))
        preparing = Signal()
        begin, finish = Signal(), Signal()
        with m.If(begin != finish):
            m.d.sync += held.eq(Mux(begin, held + 1, held - 1))
        with m.If(begin):
            m.d.sync += preparing.eq(1)

        # Merged weights that the evaluation may read before their copy is complete.
        complete = Signal()
        parts = Signal(16)
        m.d.comb += complete.eq((held != 0) & ~(preparing & (held == 1)))
        m.d.sync += self.engine_merged.eq(complete | ((held != 0) & parts.any()))
        if self._chip.merge_depth:
            # Contractions begin further apart than it takes to count the one that took a part.
            merged = pipe(m, self.merged, 1, "merged")
            taken = pipe(m, self.takes_merged, 1, "taken")
            with m.If(begin):
                m.d.sync += parts.eq(0)
            with m.Elif(merged != (taken & ~complete)):
                m.d.sync += parts.eq(Mux(merged, parts + 1, parts - 1))

        self._prepare(m, rge, cge, copies, held, preparing, begin)
        self._evaluate(m, rge, cge, copies, preparing, finish)
        return m

    def _pass_over(self, m: Module, state: str) -> None:
        """Goes on elsewhere in a step that only updates."""
        if self._chip.split:
            with m.If(self._given):
                m.next = state

    def _by_passes(self, cge: Signal) -> Value:
        """A CGE step of forward passes: it has the sections of RGE, others have sections of their
        own."""
        return cge & self._chip.raises

    def _base(self) -> Value:
        """A step with queries evaluates theta itself first."""
        base = self.baseline == Baseline.BASE
        return base & ~self._given if self._chip.split else base

    @staticmethod
    def _works(m: Module, name: str, start: Signal, busy: Signal) -> tuple[Signal, Signal]:
        """Begins a unit's work, and whether it works.

        Raising the first returned signal raises ``start`` in the next cycle; the second is high
        from that cycle to the one after the end of ``busy``.
        """
        begin, works = Signal(name=f"{name}_begin"), Signal(name=f"{name}_works")
        m.d.sync += [start.eq(begin), works.eq(begin | start | busy)]
        return begin, works

    def _prepare(
        self,
        m: Module,
        rge: Signal,
        cge: Signal,
        copies: Signal,
        held: Signal,
        preparing: Signal,
        begin: Signal,
    ) -> None:
        """Perturbs and merges one copy after the other, as far as there are banks."""
        banks = self._chip.weight_banks
        begun = Signal.like(copies)
        base = (rge & self._base()) | self._by_passes(cge)
        m.d.sync += self.raises.eq(self._by_passes(cge) & (begun != 1))
        perturb, perturbs = self._works(m, "perturb", self.perturb_start, self.perturb_busy)
        merge, merges = self._works(m, "merge", self.merge_start, self.merge_busy)
        more = Signal()
        # Nothing begins so soon after a beginning that this would be late.
        wanted = Signal()
        m.d.sync += [
            wanted.eq(self.busy & (begun != copies) & (held < banks)),
            # Evaluation 0 of the base baseline, and of CGE, is theta itself.
            self.perturb.eq(rge & ~(base & (begun == 1))),
            self.query.eq(begun - 1 - base),
        ]
        m.d.comb += self.merge_pc.eq(Mux(more, self.program_cge_merge, self.program_merge))
        with m.If(self.start):
            m.d.sync += [begun.eq(0), self.copy_bank.eq(banks - 1)]
        with m.FSM(name="prepare"):
            with m.State("Idle"):
                with m.If(wanted):
                    m.d.comb += begin.eq(1)
                    m.d.sync += begun.eq(begun + 1)
                    m.d.sync += self.copy_bank.eq(~self.copy_bank & (banks - 1))
                    m.next = "Perturb"
            with m.State("Perturb"):
                m.d.comb += perturb.eq(1)
                m.next = "Perturb Wait"
            with m.State("Perturb Wait"):
                with m.If(~perturbs):
                    m.next = "Merge"
                    self._pass_over(m, "Complete")
            with m.State("Merge"):
                m.d.comb += merge.eq(1)
                m.d.sync += more.eq(0)
                m.next = "Merge Wait"
            with m.State("Merge Wait"):
                with m.If(~merges):
                    m.next = "Complete"
                    with m.If(cge & ~self._by_passes(cge)):
                        m.next = "Merge More"
            with m.State("Merge More"):
                m.d.comb += merge.eq(1)
                m.d.sync += more.eq(1)
                m.next = "Merge More Wait"
            with m.State("Merge More Wait"):
                with m.If(~merges):
                    m.next = "Complete"
            with m.State("Complete"):
                m.d.sync += preparing.eq(0)
                m.next = "Idle"

    def _evaluate(
        self,
        m: Module,
        rge: Signal,
        cge: Signal,
        copies: Signal,
        preparing: Signal,
        finish: Signal,
    ) -> None:
        """Evaluates one copy after the other, then updates."""
        chip = self._chip
        banks, groups = chip.weight_banks, chip.layout.lanes_per_way
        target_step = groups if chip.loss.record.labels else groups * self.n_outputs

        second = self.bank & (chip.sample_banks - 1)

        # The pass that the engine is in, and the one announced to the loss unit.
        evaluation = Signal.like(self.first_evaluation)
        # A pass has at least one row of samples.
        pass_index = Signal(range(chip.sample_depth + 1))
        passes = self.passes[: len(pass_index)]
        # A pass takes longer than it takes to know that it is the last.
        last_pass, last_copy = Signal(), Signal()
        ends: Value = pass_index + 1 == passes
        updating: Value = rge | cge
        if chip.split:
            ends = ends | self._given
            updating = (rge & ~self._losses) | cge
            m.d.sync += self.restore.eq(0)
        lanes = Mux(last_pass, self.last_lanes, chip.lanes)
        engine, works = self._works(m, "engine", self.engine_start, self.engine_busy)
        update, updates = self._works(m, "update", self.update_start, self.update_busy)
        coordinates = Signal()
        loss_works = pipe(m, self.loss_busy, 1, "loss_works")
        input_base = Signal.like(self.input_base)
        target_row = Signal.like(self.target_row)
        announced = Signal()
        m.d.comb += [
            self.engine_pc.eq(Mux(coordinates, self.program_cge, self.program_forward)),
            self.input_base.eq(input_base),
            self.pass_open.eq(~announced & ~self.pass_start),
        ]
        m.d.sync += [
            last_pass.eq(ends),
            last_copy.eq(evaluation + 1 == copies),
            self.active_lanes.eq(lanes),
            self.pass_start.eq(0),
        ]
        with m.If(announced & ~loss_works & ~self.pass_start):
            m.d.sync += [
                self.pass_start.eq(1),
                announced.eq(0),
                self.first_evaluation.eq(evaluation),
                self.first_pass.eq(pass_index == 0),
                self.target_row.eq(target_row),
                self.loss_lanes.eq(lanes),
            ]

        with m.FSM(name="evaluate"):
            with m.State("Idle"):
                with m.If(self.start):
                    m.d.sync += [self.busy.eq(1), evaluation.eq(0), self.evaluation_bank.eq(0)]
                    m.d.comb += self.loss_clear.eq(1)
                    m.next = "Copy"
            with m.State("Copy"):
                m.d.sync += [
                    pass_index.eq(0),
                    input_base.eq(Mux(second, chip.sample_depth, 0)),
                    target_row.eq(Mux(second, chip.target_depth, 0)),
                ]
                m.next = "Copy Wait"
            with m.State("Copy Wait"):
                # Not before it is known of this copy.
                with m.If(self.engine_merged):
                    m.next = "Pass"
                    self._pass_over(m, "Next")
            with m.State("Pass"):
                m.d.comb += engine.eq(1)
                m.d.sync += [announced.eq(1), coordinates.eq(0)]
                m.next = "Pass Wait"
            with m.State("Pass Wait"):
                # A section without logits would end while its pass is still announced.
                with m.If(~works & self.pass_open):
                    m.next = "Next"
                    with m.If(cge & ~self._by_passes(cge)):
                        m.next = "Coordinates"
            with m.State("Coordinates"):
                with m.If(~preparing):
                    m.d.comb += engine.eq(1)
                    m.d.sync += coordinates.eq(1)
                    m.next = "Coordinates Wait"
            with m.State("Coordinates Wait"):
                with m.If(~works):
                    m.next = "Next"
            with m.State("Next"):
                m.d.sync += [
                    pass_index.eq(pass_index + 1),
                    input_base.eq(input_base + self.n_inputs),
                    target_row.eq(target_row + target_step),
                ]
                m.next = "Pass"
                with m.If(last_pass):
                    m.d.comb += finish.eq(1)
                    m.d.sync += evaluation.eq(evaluation + 1)
                    m.d.sync += self.evaluation_bank.eq(~self.evaluation_bank & (banks - 1))
                    m.next = "Copy"
                    with m.If(last_copy):
                        m.next = "Losses"
            with m.State("Losses"):
                with m.If(~loss_works):
                    m.next = "Done"
                    with m.If(updating):
                        m.next = "Update"
            with m.State("Update"):
                m.d.comb += update.eq(1)
                m.next = "Update Wait"
            with m.State("Update Wait"):
                with m.If(~updates):
                    m.next = "Done"
            with m.State("Done"):
                m.d.sync += self.busy.eq(0)
                if chip.split:
                    m.d.sync += self.restore.eq(self._losses)
                m.next = "Idle"
