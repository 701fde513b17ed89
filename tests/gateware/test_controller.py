"""The controller's two threads, cycle by cycle, around stub units of drawn durations."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from amaranth.sim import Simulator

from zerotrain.gateware.controller import Controller
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.losses import OUTPUT_LOSSES
from zerotrain.spec.network import Loss
from zerotrain.spec.registers import Baseline, Command

PERIOD = 1e-6
PROGRAMS = {
    "program_merge": 11, "program_forward": 22, "program_cge_merge": 33, "program_cge": 44,
}  # fmt: skip


@dataclass
class Step:
    """A chip, the command and its settings, and how long every work takes."""

    rng: Random
    chip: Chip
    command: Command
    settings: dict[str, int]
    longest: int = 30

    @property
    def by_environments(self) -> bool:
        return self.command == Command.CGE and self.chip.cge == Cge.ENVIRONMENTS

    @property
    def asks(self) -> bool:
        """The step has queries."""
        return self.command in (Command.RGE, Command.LOSSES, Command.UPDATE)

    @property
    def given(self) -> bool:
        """The step only updates."""
        return self.command == Command.UPDATE

    @property
    def unmoved(self) -> bool:
        """Evaluation 0 is of the parameters themselves, among others."""
        base = self.settings["baseline"] == Baseline.BASE
        return (self.asks and base and not self.given) or (
            self.command == Command.CGE and self.chip.cge == Cge.FORWARD
        )

    @property
    def copies(self) -> int:
        if self.asks:
            return self.settings["queries"] + self.unmoved
        return self.settings["n_parameters"] + 1 if self.unmoved else 1

    @property
    def banks(self) -> int:
        return 2 if self.chip.merge_depth else 1

    def draw(self, least: int) -> int:
        return self.rng.choice([least, self.rng.randint(least, self.longest)])


@dataclass
class Seen:
    """Starts of the works, each with what its unit was told and for how long it was busy."""

    perturb: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)
    merge: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)
    engine: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)
    update: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)
    #: Passes that the loss unit is told, and the last cycle in which it is busy with each.
    passes: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)
    merged: list[int] = field(default_factory=list)  # first pulse of every copy
    open: list[int] = field(default_factory=list)
    clears: list[int] = field(default_factory=list)
    restores: list[int] = field(default_factory=list)
    busy: tuple[int, int] = (0, 0)  # first and last cycle


#: What each unit is told, which holds still while it works.
TOLD = {
    "perturb": ("perturb", "query", "copy_bank"),
    "merge": ("merge_pc", "copy_bank"),
    "engine": ("engine_pc", "input_base", "active_lanes", "evaluation_bank"),
    "update": ("update_cge",),
}
PASS = ("first_evaluation", "first_pass", "target_row", "loss_lanes")


def simulate(step: Step) -> Seen:
    """One step; the command starts in cycle 0."""
    dut, seen = Controller(step.chip), Seen()
    raises = step.chip.cge == Cge.FORWARD

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.command, step.command)
        for name, value in step.settings.items():
            if name in dut.signature.members:
                ctx.set(getattr(dut, name), value)
        await ctx.tick().repeat(3)
        busy_until = dict.fromkeys(TOLD, -1)
        pulse = loss_from = loss_until = -1
        ctx.set(dut.start, 1)
        for cycle in range(20_000):
            for name, told in TOLD.items():
                ctx.set(getattr(dut, f"{name}_busy"), cycle <= busy_until[name])
                starts: list[tuple[int, int, dict[str, int]]] = getattr(seen, name)
                if name == "perturb" and raises:
                    told = (*told, "raises")
                if name == "update" and step.chip.split:
                    told = (*told, "update_given")
                now = {t: ctx.get(getattr(dut, t)) for t in told}
                if ctx.get(getattr(dut, f"{name}_start")):
                    assert cycle > busy_until[name], f"{name} starts while it is busy"
                    duration = step.draw(0) * (3 if name == "merge" else 1)
                    starts.append((cycle, duration, now))
                    busy_until[name] = cycle + duration
                    if name == "engine" and now["engine_pc"] == PROGRAMS["program_forward"]:
                        busy_until[name] = 1 << 30  # until it has given logits away
                    if name == "merge" and now["merge_pc"] == PROGRAMS["program_merge"]:
                        pulse = cycle + step.rng.randint(1, duration) if duration else -1
                        pulse = pulse if step.banks == 2 else -1
                        seen.merged.append(pulse)
                elif cycle <= busy_until[name]:
                    if name == "engine" and cycle == starts[-1][0] + 1:
                        starts[-1][2]["active_lanes"] = now["active_lanes"]
                    assert now == starts[-1][2], f"What {name} is told moved while it worked"
            ctx.set(dut.merged, cycle == pulse)
            # What the engine takes of a complete copy is not of the one in preparation.
            ahead = len(seen.perturb) > len(seen.passes) // step.settings["passes"] + 1
            ctx.set(dut.takes_merged, ahead and cycle <= busy_until["engine"] and cycle % 4 == 0)
            now = {t: ctx.get(getattr(dut, t)) for t in PASS}
            if ctx.get(dut.pass_start):
                assert cycle > loss_until, "A pass starts while the loss unit is busy"
                loss_from = cycle + step.rng.randint(1, 3)
                loss_until = loss_from + step.draw(0)
                start, duration, told_engine = seen.engine[-1]
                duration = max(duration, loss_from + 3 - start)
                seen.engine[-1] = start, duration, told_engine
                busy_until["engine"] = start + duration
                seen.passes.append((cycle, loss_until, now))
            elif cycle <= loss_until:
                assert now == seen.passes[-1][2]
            ctx.set(dut.loss_busy, loss_from <= cycle <= loss_until)
            seen.open.append(ctx.get(dut.pass_open))
            if ctx.get(dut.loss_clear):
                seen.clears.append(cycle)
            if step.chip.split and ctx.get(dut.restore):
                seen.restores.append(cycle)
            if cycle == 1:
                assert ctx.get(dut.busy)
            elif cycle and not ctx.get(dut.busy):
                seen.busy = 1, cycle - 1
                return
            await ctx.tick()
            ctx.set(dut.start, 0)
        raise AssertionError("The step does not end")

    sim = Simulator(dut)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, whose loop has a deadline
    return seen


def check_prepared(step: Step, seen: Seen, finished: list[int]) -> list[int]:
    """The copies' perturbing and merging. Returns the first cycle after each preparation.

    ``finished`` are the cycles in which evaluations end, which free a bank.
    """
    merges, complete = iter(seen.merge), list[int]()
    sections = ["program_merge", *(["program_cge_merge"] if step.by_environments else [])]
    sections = [] if step.given else sections
    assert len(seen.perturb) == step.copies
    assert len(seen.merge) == step.copies * len(sections)
    for k, (start, duration, told) in enumerate(seen.perturb):
        freed = finished[k - step.banks] + 4 if k >= step.banks else 0
        assert start == max(complete[-1] + 2 if k else 4, freed)
        plain = step.unmoved and k == 0
        assert told["perturb"] == (step.asks and not plain)
        if told["perturb"] or told.get("raises"):
            assert told["query"] == k - step.unmoved
        if "raises" in told:
            assert told["raises"] == (step.command == Command.CGE and not plain)
        bank = k % step.banks
        assert told["copy_bank"] == bank
        after = start + duration
        for section in sections:
            start, duration, told = next(merges)
            assert start == after + 4
            assert told == {"merge_pc": PROGRAMS[section], "copy_bank": bank}
            after = start + duration
        complete.append(after + 4)
    return complete


@pytest.mark.parametrize("seed", range(60))
def test_steps(seed: int) -> None:
    """Drawn chips and steps: every start in its cycle, and what the units are told with it."""
    rng = Random(seed)
    cge = (Cge.ENVIRONMENTS, Cge.FORWARD, Cge.NONE)[seed % 3]
    merge_unit = rng.random() < 0.5
    lanes, loss = rng.randint(1, 8), rng.choice(OUTPUT_LOSSES)
    chip = Chip(
        lanes=lanes,
        loss=loss,
        loss_ways=rng.randint(1, lanes),
        cge=cge,
        core=Core.PIPELINED if merge_unit or rng.random() < 0.5 else Core.COMPACT,
        merge_depth=512 if merge_unit else 0,
        split=rng.random() < 0.5,
        sample_banks=rng.choice([1, 2]),
        target_depth=128,
    )
    commands = [Command.EVALUATE, Command.RGE]
    commands += [Command.CGE] * 2 if cge != Cge.NONE else []
    commands += [Command.LOSSES, Command.UPDATE] * 2 if chip.split else []
    passes, bank = rng.randint(1, 4), rng.randint(0, chip.sample_banks - 1)
    settings = {
        "n_inputs": rng.randint(1, 16), "n_outputs": rng.randint(2, 4), "passes": passes,
        "last_lanes": rng.randint(1, lanes), "bank": bank, "queries": rng.randint(1, 5),
        "baseline": rng.choice(list(Baseline)), "n_parameters": rng.randint(1, 5), **PROGRAMS,
    }  # fmt: skip
    step = Step(rng, chip, rng.choice(commands), settings)
    seen = simulate(step)

    if step.given:
        assert not seen.merge and not seen.engine and not seen.passes
        passed = passed_over(step, seen)
        check_prepared(step, seen, passed)
        check_end(step, seen, passed[-1] + 1)
        return

    # Ends of the evaluations, from the engine's last work for each.
    sections = ["program_forward", *(["program_cge"] if step.by_environments else [])]
    assert len(seen.engine) == step.copies * passes * len(sections)
    assert len(seen.passes) == step.copies * passes
    works, told_passes = iter(seen.engine), iter(seen.passes)
    groups = -(-lanes // chip.loss_ways)
    rows = groups if loss == Loss.SOFTMAX_CROSS_ENTROPY else groups * settings["n_outputs"]
    withheld: set[int] = set()
    finished: list[int] = []
    following, loss_until = 4, -3
    for k in range(step.copies):
        for p in range(passes):
            start, duration, told = next(works)
            if p:
                assert start == following
            lane_count = settings["last_lanes"] if p == passes - 1 else lanes
            expected = {
                "engine_pc": PROGRAMS["program_forward"],
                "input_base": bank * chip.sample_depth + p * settings["n_inputs"],
                "active_lanes": lane_count,
                "evaluation_bank": k % step.banks,
            }
            assert told == expected
            if not p:
                finished.append(start)  # until the end is known
                first_start = start
            # Credits are withheld until the loss unit has rested and is told of the pass.
            opened, until, told = next(told_passes)
            assert opened == max(start, loss_until + 2) + 1
            withheld |= set(range(start, opened + 1))
            loss_until = until
            assert told == {
                "first_evaluation": k, "first_pass": int(p == 0),
                "target_row": bank * chip.target_depth + p * rows, "loss_lanes": lane_count,
            }  # fmt: skip
            end = max(start + duration + 2, opened + 1)
            if step.by_environments:
                start, duration, told = next(works)
                complete = seen.merge[-1][0] + seen.merge[-1][1] + 4
                assert start == max(end + 1, complete) + 1
                assert told == expected | {"engine_pc": PROGRAMS["program_cge"]}
                end = start + duration + 2
            following = end + 3
        # The first pass waits for the evaluation before, and for its weights.
        _, duration, _ = seen.merge[k * len(sections)]
        known = seen.merge[(k + 1) * len(sections) - 1]
        merged = known[0] + known[1] + 5
        if seen.merged[k] >= 0:
            merged = min(merged, seen.merged[k] + 3)
        ready = finished[k - 1] + 2 if k else 2
        assert first_start == max(ready, merged) + 2
        finished[k] = end + 1
    check_prepared(step, seen, finished)
    assert [c for c, high in enumerate(seen.open) if not high] == sorted(withheld)
    assert seen.clears == [0]

    check_end(step, seen, max(finished[-1] + 1, loss_until + 2))


def passed_over(step: Step, seen: Seen) -> list[int]:
    """The cycles in which a step that only updates is done with its copies."""
    finished: list[int] = []
    for k, (start, duration, _) in enumerate(seen.perturb):
        ready = finished[k - 1] + 2 if k else 2
        finished.append(max(ready, start + duration + 5) + 1)
    return finished


def check_end(step: Step, seen: Seen, rested: int) -> None:
    """The update, the restored generator, and the end, after the cycle in which all rest."""
    if step.command in (Command.EVALUATE, Command.LOSSES):
        assert not seen.update
        assert seen.busy == (1, rested + 1)
        assert seen.restores == ([rested + 2] if step.command == Command.LOSSES else [])
        return
    ((start, duration, told),) = seen.update
    assert start == rested + 2
    expected = {"update_given": step.given} if step.chip.split else {}
    assert told == {"update_cge": step.command == Command.CGE} | expected
    assert seen.busy == (1, start + duration + 3)
    assert not seen.restores


def test_merged_parts() -> None:
    """While its copy is prepared, ``engine_merged`` counts what is merged and not yet taken."""
    rng = Random(3)
    chip = Chip(lanes=2, merge_depth=512)
    dut = Controller(chip)
    merged = sorted(rng.sample(range(20, 200), 25))
    high: list[int] = []
    takes: list[int] = []

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.command, Command.EVALUATE)
        ctx.set(dut.passes, 1)
        ctx.set(dut.last_lanes, 2)
        await ctx.tick().repeat(3)
        ctx.set(dut.start, 1)
        for cycle in range(285):
            ctx.set(dut.merge_busy, 9 <= cycle <= 250)
            ctx.set(dut.engine_busy, cycle >= 22)
            ctx.set(dut.merged, cycle in merged)
            high.append(ctx.get(dut.engine_merged))
            # Contractions begin at least four cycles apart.
            take = high[-1] and 25 < cycle and (not takes or cycle > takes[-1] + 3)
            take = bool(take and rng.random() < 0.3)
            takes.extend([cycle] if take else [])
            ctx.set(dut.takes_merged, take)
            await ctx.tick()
            ctx.set(dut.start, 0)

    sim = Simulator(dut)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, which takes 285 cycles
    # A preparation is complete four cycles after merging, and that is known one later.
    for cycle, found in enumerate(high):
        count = sum(t <= cycle - 3 for t in merged) - sum(t <= cycle - 3 for t in takes)
        assert found == (count > 0 or cycle >= 250 + 5), cycle
    assert 0 in high[60:200]
    assert len(takes) > 15
