"""The step controller: runs a whole evaluate, RGE or CGE step on its own."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.memory import address_bits
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Loss
from zerotrain.spec.registers import Baseline, Command, register

__all__ = ["Controller"]

_SETTINGS = (
    "n_inputs", "n_outputs", "passes", "last_lanes", "bank", "queries", "baseline",
    "program_merge", "program_forward", "program_cge_merge", "program_cge",
)  # fmt: skip


class Controller(wiring.Component):
    """Sequences perturbation, engine, loss unit and update.

    A step evaluates one copy of the parameters after the other: perturb, merge, then a forward pass
    for every group of ``lanes`` samples. The loss unit works on one pass while the engine is
    already in the next; the controller opens a pass in the loss unit as soon as that is idle, and
    withholds the loss unit's credits until then.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    start : In(1)
        Begin the step that ``command`` names. Only while not ``busy``.
    command : In(4)
    settings
        One input for each register that the step needs, under the register's name.
    busy : Out(1)
    perturb_start, perturb_busy, perturb, query
        :class:`~zerotrain.gateware.perturb.Perturb`; ``perturb`` low copies theta.
    engine_start, engine_pc, engine_busy, input_base, active_lanes
        :class:`~zerotrain.gateware.engine.Engine`.
    pass_start, first_evaluation, first_pass, target_row, loss_lanes, loss_clear, loss_busy
        The loss unit.
    pass_open : Out(1)
        The engine may use the loss unit's credits.
    update_start, update_cge, update_busy
        :class:`~zerotrain.gateware.update.Update`.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
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
                "query": Out(range(chip.query_depth)),
                "engine_start": Out(1),
                "engine_pc": Out(rows),
                "engine_busy": In(1),
                "input_base": Out(range(2 * chip.sample_depth)),
                "active_lanes": Out(range(chip.lanes + 1)),
                "pass_start": Out(1),
                "pass_open": Out(1),
                "first_evaluation": Out(range(chip.evaluation_depth)),
                "first_pass": Out(1),
                "target_row": Out(range(2 * chip.target_depth)),
                "loss_lanes": Out(range(chip.lanes + 1)),
                "loss_clear": Out(1),
                "loss_busy": In(1),
                "update_start": Out(1),
                "update_cge": Out(1),
                "update_busy": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        groups = -(-chip.lanes // chip.loss_ways)
        target_step = groups if chip.loss == Loss.SOFTMAX_CROSS_ENTROPY else groups * self.n_outputs

        rge, cge = Signal(), Signal()
        query = Signal.like(self.first_evaluation)
        last_query, unperturbed = Signal(), Signal()
        m.d.comb += [
            rge.eq(self.command == Command.RGE),
            cge.eq(self.command == Command.CGE),
            # Query 0 of the base baseline is theta itself.
            unperturbed.eq(~rge | ((self.baseline == Baseline.BASE) & (query == 0))),
            last_query.eq(~rge | (query == self.queries - (self.baseline == Baseline.MEAN))),
            self.perturb.eq(~unperturbed),
            self.query.eq(query - (rge & (self.baseline == Baseline.BASE))),
            self.update_cge.eq(cge),
        ]

        # The pass that the engine is in, and the one announced to the loss unit.
        pass_index = Signal.like(self.passes)
        last_pass = Signal()
        input_base = Signal.like(self.input_base)
        target_row = Signal.like(self.target_row)
        announced = Signal()
        m.d.comb += [
            last_pass.eq(pass_index == self.passes - 1),
            self.active_lanes.eq(Mux(last_pass, self.last_lanes, chip.lanes)),
            self.input_base.eq(input_base),
            self.pass_open.eq(~announced & ~self.pass_start),
        ]
        m.d.sync += self.pass_start.eq(0)
        with m.If(announced & ~self.loss_busy & ~self.pass_start):
            m.d.sync += [
                self.pass_start.eq(1),
                announced.eq(0),
                self.first_evaluation.eq(Mux(rge, query, 0)),
                self.first_pass.eq(pass_index == 0),
                self.target_row.eq(target_row),
                self.loss_lanes.eq(self.active_lanes),
            ]

        with m.FSM() as fsm:
            with m.State("Idle"):
                with m.If(self.start):
                    m.d.sync += query.eq(0)
                    m.d.comb += self.loss_clear.eq(1)
                    m.next = "Perturb"
            with m.State("Perturb"):
                m.d.comb += self.perturb_start.eq(1)
                m.next = "Perturb Wait"
            with m.State("Perturb Wait"):
                with m.If(~self.perturb_busy):
                    m.next = "Merge"
            with m.State("Merge"):
                m.d.comb += [
                    self.engine_start.eq(1),
                    self.engine_pc.eq(Mux(cge, self.program_cge_merge, self.program_merge)),
                ]
                m.d.sync += [
                    pass_index.eq(0),
                    input_base.eq(Mux(self.bank, chip.sample_depth, 0)),
                    target_row.eq(Mux(self.bank, chip.target_depth, 0)),
                ]
                m.next = "Merge Wait"
            with m.State("Merge Wait"):
                with m.If(~self.engine_busy):
                    m.next = "Pass"
            with m.State("Pass"):
                m.d.comb += [
                    self.engine_start.eq(1),
                    self.engine_pc.eq(Mux(cge, self.program_cge, self.program_forward)),
                ]
                m.d.sync += announced.eq(1)
                m.next = "Pass Wait"
            with m.State("Pass Wait"):
                # A section without logits would end while its pass is still announced.
                with m.If(~self.engine_busy & self.pass_open):
                    m.d.sync += [
                        pass_index.eq(pass_index + 1),
                        input_base.eq(input_base + self.n_inputs),
                        target_row.eq(target_row + target_step),
                    ]
                    m.next = "Pass"
                    with m.If(last_pass):
                        m.d.sync += query.eq(query + 1)
                        m.next = "Perturb"
                        with m.If(last_query):
                            m.next = "Losses"
            with m.State("Losses"):
                with m.If(~self.loss_busy):
                    m.next = "Done"
                    with m.If(rge | cge):
                        m.next = "Update"
            with m.State("Update"):
                m.d.comb += self.update_start.eq(1)
                m.next = "Update Wait"
            with m.State("Update Wait"):
                with m.If(~self.update_busy):
                    m.next = "Done"
            with m.State("Done"):
                m.next = "Idle"
        m.d.comb += self.busy.eq(~fsm.ongoing("Idle"))
        return m
