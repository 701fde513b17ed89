"""Plans: a network's program for a chip, and what its steps cost."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from zerotrain.compiler.candidates import Candidate, cge_candidates, forward_candidates
from zerotrain.compiler.contraction import Contract, Loop, overhead
from zerotrain.compiler.lowering import Groups
from zerotrain.compiler.lowering_cge import CgeForms
from zerotrain.compiler.overlap import Overlap
from zerotrain.spec.chip import Cge, Chip
from zerotrain.spec.network import Network
from zerotrain.spec.program import Program, Result
from zerotrain.spec.registers import Baseline
from zerotrain.spec.timing import StepKind

__all__ = ["SECTIONS", "Plan", "Section", "StepCost", "StepKind"]

#: Kinds that every chip does, that chips do with CGE, and that those do which split their steps.
_COMMON: tuple[StepKind, ...] = ("evaluate", "rge")
_WITH_CGE: tuple[StepKind, ...] = ("cge",)
_HALVES: tuple[StepKind, ...] = ("losses", "update")
Section = Literal["merge", "forward", "cge_merge", "cge"]
SECTIONS: tuple[Section, ...] = ("merge", "forward", "cge_merge", "cge")
_Sections: TypeAlias = tuple[tuple[Section, ...], tuple[Section, ...]]
#: What a step runs once per pass, and what once per copy of the parameters.
_LOSSES: _Sections = (("forward",), ("merge",))
#: The same of a CGE step.
_CGE_SECTIONS: dict[Cge, _Sections] = {
    Cge.NONE: _LOSSES,
    Cge.FORWARD: _LOSSES,
    Cge.ENVIRONMENTS: (("forward", "cge"), ("merge", "cge_merge")),
}
#: Of a step that only updates: copies are perturbed for the generator's sake.
_NOTHING: _Sections = ((), ())


@dataclass(frozen=True, slots=True)
class StepCost:
    """Cost of one step.

    Attributes
    ----------
    macs : int
        Useful multiply-accumulates: one per sample for lane work, one in all for merging on the
        lanes (whose result is the same in every lane).
    parts : dict
        Estimated cycles, by what they go to: ``products`` of samples, ``idle_lanes`` in a last pass
        that is not full, ``fetching`` contractions and, on a compact chip, waiting for results to
        leave, waiting for the ``loss_unit``, ``preparing`` copies of the parameters (perturbing and
        merging) while the lanes wait, ``updating``. What the chip really needs is in its counters.
    hidden : int
        Cycles of preparing copies while the lanes work on others; not among the parts.
    """

    macs: int
    parts: dict[str, int]
    hidden: int

    @property
    def cycles(self) -> int:
        """Estimated cycles of the step."""
        return sum(self.parts.values())

    def use(self, lanes: int) -> float:
        """Share of lane-cycles that do useful multiply-accumulates."""
        return self.macs / (self.cycles * lanes)


@dataclass(frozen=True)
class Plan:
    """A network's program for a chip.

    Attributes
    ----------
    groups : Groups
        TT-core groups of each layer's forward pass: part of what defines the numbers.
    tiled : tuple of bool
        Which layers the forward pass applies tile by tile.
    forms : CgeForms
        Form of each layer's CGE evaluations; none if the chip does no CGE by environments.
    sections : dict
        Contractions of every section, before encoding; none for CGE without environments.
    words : dict
        Words that the network needs of each memory, by the name of the chip's depth parameter.
    """

    network: Network
    chip: Chip
    groups: Groups
    tiled: tuple[bool, ...]
    forms: CgeForms
    program: Program
    sections: dict[Section, list[Contract | Loop]] = field(repr=False)
    words: dict[str, int]
    batch: int

    @property
    def step_kinds(self) -> tuple[StepKind, ...]:
        """Kinds of steps that the chip does."""
        chip = self.chip
        return _COMMON + _WITH_CGE * chip.cge.kind.steps + _HALVES * chip.split

    def beats(self, section: Section) -> int:
        """Multiply-accumulates per lane of one run of a section."""
        return sum(item.beats for item in self.sections[section])

    def _loss_wait(self, section: Section) -> int:
        """Cycles of one run in which the engine waits for the loss unit."""
        timing, n_outputs, wait = self.chip.loss_timing, self.network.n_outputs, 0
        for item in self.sections[section]:
            last = item.body[-1] if isinstance(item, Loop) else item
            if last.result == Result.DLOGIT:
                wait += timing.wait(n_outputs, evaluations=item.evaluations, beats=item.beats)
        return wait

    def _loss_delay(self, passes: int, copies: int, evaluating: int, preparing: int) -> int:
        """Cycles in which the loss unit delays the next pass, or the next copy's first."""
        timing, n_outputs, forward = (
            self.chip.loss_timing, self.network.n_outputs, evaluating // passes
        )  # fmt: skip
        waits = (passes - 1) * timing.between_passes(n_outputs, work=forward)
        before_copy = timing.between_passes(n_outputs, work=forward + preparing // copies)
        return copies * (waits + before_copy)

    def _sections_of(self, kind: StepKind) -> _Sections:
        if kind == "update":
            return _NOTHING
        return _CGE_SECTIONS[self.chip.cge] if kind == "cge" else _LOSSES

    def copies(
        self, kind: StepKind, queries: int | None = None, baseline: Baseline | None = None
    ) -> int:
        """Copies of the parameters that a step evaluates by a forward pass each; of one that only
        updates, those that it perturbs.

        Raises
        ------
        ValueError
            If queries or baseline of an RGE step, or of a half of one, are not given: they decide
            what it costs.
        """
        if kind == "rge" or kind in _HALVES:
            if queries is None or baseline is None:
                raise ValueError(
                    "What an RGE step costs depends on its queries and baseline: expected both, "
                    f"got {queries!r} and {baseline!r}"
                )
            return queries + (baseline == Baseline.BASE and kind != "update")
        return self.chip.cge.kind.copies(self.network.n_parameters) if kind == "cge" else 1

    def step_cost(
        self,
        kind: StepKind,
        *,
        batch: int | None = None,
        queries: int | None = None,
        baseline: Baseline | None = None,
    ) -> StepCost:
        """MACs and estimated cycles of one step, by default of the plan's batch; one of RGE, or a
        half of it, has its queries and baseline given, which other kinds ignore."""
        batch = self.batch if batch is None else self._evaluations(kind, batch)
        lanes, d = self.chip.lanes, self.network.n_parameters
        passes = self.chip.layout.passes(batch)
        copies = self.copies(kind, queries, baseline)
        run, _ = self._sections_of(kind)
        beats = sum(self.beats(section) for section in run)
        products = copies * batch * beats // lanes
        fetching = passes * self._fetching(run)
        preparing, hidden = self._preparing(kind, passes, copies)
        delay = self._loss_delay(passes, copies, passes * beats + fetching, preparing) if run else 0
        parts = {
            "products": products,
            "idle_lanes": copies * passes * beats - products,
            "fetching": copies * fetching,
            "loss_unit": copies * passes * sum(self._loss_wait(section) for section in run) + delay,
            "preparing": preparing,
            "updating": d * self.chip.timing.update_cycles(kind, queries or 1),
        }
        return StepCost(self._macs(kind, batch, copies), parts, hidden)

    def _fetching(self, sections: Iterable[Section]) -> int:
        """Cycles without products of one run of each section."""
        return sum(overhead(self.sections[section], self.chip) for section in sections)

    def _preparing(self, kind: StepKind, passes: int, copies: int) -> tuple[int, int]:
        """Cycles of preparing copies while the lanes wait, and while they work."""
        d, gap = self.network.n_parameters, self.chip.timing.gap_cycles
        _, merging = self._sections_of(kind)
        if not (self.chip.has_merge_unit and merging):
            macs = sum(self.beats(section) for section in merging)
            fetching = self._fetching(merging)
            return copies * (d + macs + fetching), 0
        factors = self.chip.merge_depth
        overlap = Overlap(self.sections["merge"], self.sections["forward"], d, passes, gap, factors)
        waiting = overlap.evaluated(copies) - copies * passes * overlap.forward_cycles
        total = copies * overlap.preparing_cycles
        for section in merging[1:]:
            total += Overlap(self.sections[section], (), 0, 1, gap, factors).preparing_cycles
            # The coordinates of the first pass wait for everything.
            waiting += max(0, total - waiting - overlap.forward_cycles)
        return waiting, total - waiting

    def _evaluations(self, kind: StepKind, batch: int) -> int:
        """Samples that go through the network for one loss of a batch: of an equation, its points
        at all their nodes."""
        problem = self.network.problem
        return batch if problem is None or kind == "evaluate" else problem.n_evaluations

    def step_macs(self, kind: StepKind, batch: int, losses: int) -> int:
        """Useful MACs of a step that takes so many losses, for multiplier use from the chip's
        counters. With environments, those of a CGE step share one run of the program."""
        return self._macs(kind, self._evaluations(kind, batch), losses)

    def _macs(self, kind: StepKind, samples: int, losses: int) -> int:
        run, merging = self._sections_of(kind)
        macs = samples * sum(self.beats(section) for section in run)
        if not self.chip.has_merge_unit:
            macs += sum(self.beats(section) for section in merging)
        return macs * (self.copies(kind) if kind == "cge" else losses)

    def candidates(self) -> dict[str, list[dict[str, Any]]]:
        """What the planner chose from for every layer, as plain values with the reason of each
        choice: for the ``forward`` pass, and for ``cge`` if the chip does that by environments."""
        network, chip = self.network, self.chip
        forward = forward_candidates(network, chip, self.batch)
        cge = cge_candidates(network, chip, self.batch)

        def rows(found: tuple[Candidate, ...], chosen: list[Candidate]) -> list[dict[str, Any]]:
            return [
                {
                    "layer": c.layer,
                    "name": c.title,
                    "macs": c.macs,
                    "merge_macs": c.merge_macs,
                    "scratch_words": c.scratch,
                    "weight_words": c.weights,
                    "cycles": c.cycles,
                    "verdict": c.verdict(chosen[c.layer], chip),
                }
                for c in found
            ]

        ways = list(zip(self.groups, self.tiled, strict=True))
        return {
            "forward": rows(forward, [c for c in forward if (c.groups, c.tiled) == ways[c.layer]]),
            "cge": rows(cge, [c for c in cge if c.form == self.forms[c.layer]]),
        }

    def report(self, *, queries: int, baseline: Baseline) -> dict[str, Any]:
        """The plan as plain values, for JSON and tables, with RGE steps of such queries."""
        dense = sum(
            layer.n_inputs * layer.n_outputs + layer.bias * layer.n_outputs
            for layer in self.network.layers
        )
        costs = {
            kind: self.step_cost(kind, queries=queries, baseline=baseline)
            for kind in self.step_kinds
        }
        cge_passes = self.copies("cge")
        return {
            "network": self.network.to_dict(),
            "parameters": self.network.n_parameters,
            "groups": [list(sizes) for sizes in self.groups],
            "tiled": list(self.tiled),
            "cge_forms": [str(form) for form in self.forms],
            "candidates": self.candidates(),
            "batch": self.batch,
            "queries": queries,
            "baseline": baseline.name.lower(),
            "macs_per_sample": {
                "forward": self.beats("forward"),
                "dense": dense,
                "cge": cge_passes * self.beats("forward") + self.beats("cge"),
            },
            "macs_merge": {
                "query": self.beats("merge"),
                "cge_step": cge_passes * self.beats("merge") + self.beats("cge_merge"),
            },
            "steps": {
                kind: {
                    "macs": cost.macs,
                    "estimated_cycles": cost.cycles,
                    "estimated_use": round(cost.use(self.chip.lanes), 4),
                    "estimated_parts": cost.parts,
                    "estimated_hidden": cost.hidden,
                }
                for kind, cost in costs.items()
            },
            "program_rows": len(self.program.rows),
            "memory": {
                name: {"needed": need, "available": getattr(self.chip, name)}
                for name, need in self.words.items()
            },
        }
