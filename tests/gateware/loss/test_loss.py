"""The loss units against the golden model, fed as the engine feeds them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth import Module, signed, unsigned
from amaranth.sim import Simulator

from zerotrain.gateware.loss.loss import LossUnit
from zerotrain.gateware.variants import loss_unit
from zerotrain.golden.fixed import Flags
from zerotrain.golden.loss import (
    accumulate,
    correct,
    reference,
    softmax_loss,
    squared_error_loss,
)
from zerotrain.spec.chip import Cge, Chip, Core
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Loss
from zerotrain.spec.registers import Saturation

Attach = Callable[..., Any]
Draw = Callable[..., Formats]

PERIOD = 1e-6
EVALUATIONS = 16


def words(rng: Random, fmt: QFormat, shape: tuple[int, ...]) -> np.ndarray:
    """Words of one magnitude, drawn from 2 bits to the full width; now and then a corner."""
    if rng.random() < 0.1:
        values = [rng.choice([fmt.raw_min, fmt.raw_max]) for _ in range(int(np.prod(shape)))]
    else:
        width = rng.randint(2, fmt.width)
        top = (1 << (width - 1)) - 1
        values = [rng.randint(-top - 1, top) for _ in range(int(np.prod(shape)))]
    return np.array(values, np.int64).reshape(shape)


@dataclass
class Evaluation:
    """Words of one evaluation, all lanes: base logits, or differences of the touched outputs."""

    delta: bool
    values: np.ndarray  # int64[lanes, C], zero where not touched
    outputs: list[int]  # the outputs that are written, in this order


@dataclass
class Case:
    chip: Chip
    n_outputs: int
    active: list[int]  # lanes in use, pass by pass: all of them but in the last
    passes: list[list[Evaluation]]
    targets: np.ndarray  # int64[batch] or int64[batch, C]
    first_evaluation: int

    @property
    def softmax(self) -> bool:
        return self.chip.loss == Loss.SOFTMAX_CROSS_ENTROPY

    def golden(self) -> tuple[list[int], int, int]:
        """Losses, number of correct predictions, saturation flags."""
        f, flags, hits, start = self.chip.formats, Flags(), 0, 0
        losses = []
        for active, evaluations in zip(self.active, self.passes, strict=True):
            target = self.targets[start : start + active]
            start += active
            rows = []
            for e in evaluations:
                values = e.values[:active]
                if not e.delta:
                    z, ref = values, reference(values, f)
                dz = values if e.delta else None
                if self.softmax:
                    rows.append(softmax_loss(z, target, f, flags, dz, ref))
                    hits += 0 if e.delta else correct(z, target)
                else:
                    rows.append(squared_error_loss(z, target, f, dz))
            losses.append(rows)
        joined = np.concatenate([np.array(rows) for rows in losses], axis=1)
        return accumulate(joined, self.chip.lanes, f, flags).tolist(), hits, flags.value

    def target_memory(self) -> tuple[list[int], list[int]]:
        """Memory rows (``spec.registers.windows``), and the first row of each pass."""
        chip, c = self.chip, self.n_outputs
        width = chip.formats.logit.width if not self.softmax else chip.output_depth.bit_length() - 1
        per_group = 1 if self.softmax else c
        rows = [0] * (2 * chip.target_depth)
        first, start, row = [], 0, chip.target_depth
        for active in self.active:
            first.append(row)
            for lane in range(active):
                values = np.atleast_1d(self.targets[start + lane])
                for k, value in enumerate(values):
                    place = row + lane // chip.loss_ways * per_group + k
                    word = int(value) & ((1 << width) - 1)
                    rows[place] |= word << (lane % chip.loss_ways * width)
            start += active
            row += -(-chip.lanes // chip.loss_ways) * per_group
        return rows, first


def draw_evaluations(
    rng: Random, chip: Chip, n_outputs: int, kinds: list[bool]
) -> list[Evaluation]:
    f, out = chip.formats, []
    for delta in kinds:
        shape = (chip.lanes, n_outputs)
        outputs = rng.sample(range(n_outputs), rng.randint(1, n_outputs) if delta else n_outputs)
        values = words(rng, f.dlogit if delta else f.logit, shape)
        if not delta and rng.random() < 0.3:  # ties: the first largest logit counts
            values[:, rng.randrange(n_outputs)] = values.max(axis=1)
        values[:, [c for c in range(n_outputs) if c not in outputs]] = 0
        out.append(Evaluation(delta, values, outputs))
    return out


def draw_case(
    rng: Random,
    loss: Loss,
    formats: Formats,
    *,
    serial: bool = False,
    cge: bool = True,
    **fixed: int,
) -> Case:
    lanes = fixed.get("lanes", rng.randint(1, 8 if serial else 9))
    ways = fixed.get("ways", 1 if serial else rng.randint(1, min(3, lanes)))
    c = fixed.get("n_outputs", rng.choice([2, 3, 10, rng.randint(2, 16)]))
    n_passes = rng.randint(1, 3)
    chip = Chip(
        lanes=lanes,
        loss_ways=ways,
        formats=formats,
        loss=loss,
        cge=Cge.ENVIRONMENTS if cge else Cge.NONE,
        core=Core.COMPACT if serial else Core.PIPELINED,
        output_depth=1 << (c - 1).bit_length(),
        evaluation_depth=EVALUATIONS + 2,
        target_depth=3 * 9 * 16,
    )
    count = rng.randint(1, EVALUATIONS) if cge else 1
    kinds = [k > 0 and rng.random() < 0.75 for k in range(count)]
    active = [lanes] * (n_passes - 1) + [rng.randint(1, lanes)]
    batch = sum(active)
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        targets = np.array([rng.randrange(c) for _ in range(batch)], np.int64)
    else:
        targets = words(rng, formats.logit, (batch, c))
    passes = [draw_evaluations(rng, chip, c, kinds) for _ in active]
    return Case(chip, c, active, passes, targets, rng.randint(0, 2))


def write_events(
    rng: Random, case: Case, evaluations: list[Evaluation], gaps: bool
) -> Iterator[list[dict[str, int]]]:
    """Writes of each evaluation, cycle by cycle; an empty dictionary is a pause."""
    width = case.chip.formats.logit.width
    for e in evaluations:
        events: list[dict[str, int]] = []
        for k, output in enumerate(e.outputs):
            events += [{}] * (rng.choice([0, 0, 1, 5]) if gaps else 0)
            data = [int(word) & ((1 << width) - 1) for word in e.values[:, output]]
            last = int(k == len(e.outputs) - 1)
            event = {"delta": e.delta, "index": output, "last": last}
            if case.chip.serial_loss:
                events += [event | {"lane": k, "data": word} for k, word in enumerate(data)]
            else:
                row = sum(word << (lane * width) for lane, word in enumerate(data))
                events.append(event | {"data": row})
        yield events


async def run_pass(
    ctx: Any, dut: LossUnit, rng: Random, case: Case, number: int, gaps: bool
) -> tuple[list[int], bool]:
    """One pass. Reservations run ahead of the writes by the engine's pipeline.

    Returns the cycles in which losses were written, and whether a loss was clamped.
    """
    evaluations = case.passes[number]
    delay = rng.randrange(8) if gaps else 0
    pending: list[dict[str, int]] = [{}] * delay
    source = zip(evaluations, write_events(rng, case, evaluations, gaps), strict=True)
    upcoming = next(source, None)
    issuing = 0
    written: list[int] = []
    clamped, cycle, data = False, 0, 0
    while upcoming or pending or ctx.get(dut.busy) or not written:
        assert cycle < 40_000, "The loss unit stopped answering"
        reserve = ""
        if upcoming and issuing == 0:
            kind = "delta" if upcoming[0].delta else "base"
            reserve = kind if ctx.get(getattr(dut, f"{kind}_free")) else ""
        ctx.set(dut.reserve_base, reserve == "base")
        ctx.set(dut.reserve_delta, reserve == "delta")
        if reserve and upcoming:
            # The engine begins with an evaluation when it has issued the one before.
            pending += upcoming[1]
            issuing = len(upcoming[1])
            upcoming = next(source, None)
        elif issuing == 0:
            pending.append({})
        issuing = max(0, issuing - 1)
        if not case.chip.serial_loss:
            ctx.set(dut.logits.data, data)
        event = pending.pop(0) if pending else {}
        ctx.set(dut.logits.en, bool(event))
        for name, value in event.items():
            # Rows come a cycle later than the rest, single words with it.
            if name != "data" or case.chip.serial_loss:
                ctx.set(getattr(dut.logits, name), value)
        data = event.get("data", data)
        if ctx.get(dut.losses_w.en):
            written.append(cycle)
        clamped |= bool(ctx.get(dut.saturated))
        await ctx.tick()
        if not upcoming and not any(pending):
            pending.clear()
        cycle += 1
    ctx.set(dut.logits.en, 0)
    ctx.set(dut.reserve_base, 0)
    ctx.set(dut.reserve_delta, 0)
    return written, clamped


def simulate(
    case: Case, attach: Attach, *, seed: int = 0, gaps: bool = True, **options: bool
) -> tuple[list[int], int, bool, list[int]]:
    """Losses, correct predictions, clamped flag, and write cycles of the last pass."""
    rng, chip = Random(seed), case.chip
    rows, first_rows = case.target_memory()
    m = Module()
    m.submodules.dut = dut = loss_unit(chip, **options)
    shape = signed(chip.formats.loss.width)
    dirt = [rng.randint(-1000, 1000) for _ in range(chip.evaluation_depth)]
    losses = attach(
        m, "losses", shape, chip.evaluation_depth, dirt,
        read=dut.losses, write=dut.losses_w, latency=chip.timing.read_latency,
    )  # fmt: skip
    attach(m, "targets", unsigned(len(dut.targets.data)), len(rows), rows, read=dut.targets)
    result: tuple[list[int], int, bool, list[int]] | None = None

    async def testbench(ctx: Any) -> None:
        nonlocal result
        clamped = False
        ctx.set(dut.clear, 1)
        ctx.set(dut.score, 1)
        ctx.set(dut.n_outputs, case.n_outputs)
        for number, active in enumerate(case.active):
            assert not ctx.get(dut.busy)
            ctx.set(dut.first_evaluation, case.first_evaluation)
            ctx.set(dut.first_pass, number == 0)
            ctx.set(dut.target_row, first_rows[number])
            ctx.set(dut.active_lanes, active)
            ctx.set(dut.pass_start, 1)
            await ctx.tick()
            ctx.set(dut.pass_start, 0)
            ctx.set(dut.clear, 0)
            written, high = await run_pass(ctx, dut, rng, case, number, gaps)
            clamped |= high
            assert len(written) == len(case.passes[number])
        found = [
            ctx.get(losses.data[case.first_evaluation + e]) for e in range(len(case.passes[0]))
        ]
        for e in range(case.first_evaluation):
            assert ctx.get(losses.data[e]) == dirt[e]
        result = found, ctx.get(dut.correct), clamped, written

    sim = Simulator(m)
    sim.add_clock(PERIOD)
    sim.add_testbench(testbench)
    sim.run()  # ends with the testbench, whose loop has a deadline
    assert result is not None
    return result


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("loss", list(Loss))
def test_drawn(loss: Loss, seed: int, attach: Attach, draw_formats: Draw) -> None:
    rng = Random(f"{loss} {seed}")
    formats = Formats() if seed < 4 else draw_formats(rng, 20 if "softmax" in loss else 17)
    case = draw_case(rng, loss, formats)
    losses, hits, flags = case.golden()
    found, found_hits, clamped, _ = simulate(case, attach, seed=seed)
    assert found == losses
    assert found_hits == (hits if case.softmax else 0)
    assert clamped == bool(flags & Saturation.LOSS)


@pytest.mark.parametrize("cge", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_one_after_the_other(seed: int, cge: bool, attach: Attach, draw_formats: Draw) -> None:
    """The serial unit, with logits near and far from one another; the last pass in its time."""
    rng = Random(seed)
    formats = Formats() if seed < 4 else draw_formats(rng, 20)
    case = draw_case(rng, Loss.SOFTMAX_CROSS_ENTROPY, formats, serial=True, cge=cge)
    assert case.chip.serial_loss
    if seed % 3 == 0:  # within some units of the loss: exponentials of every size
        for e, *_ in case.passes:
            reach = 12 << formats.logit.frac_bits
            top = formats.logit.raw_max
            e.values[:] = np.clip(e.values % reach, 0, top)
    losses, hits, flags = case.golden()
    found, found_hits, clamped, written = simulate(case, attach, seed=seed, gaps=False)
    assert (found, found_hits, clamped) == (losses, hits, bool(flags & Saturation.LOSS))
    filling = case.n_outputs * case.chip.lanes + 2
    evaluation = filling + case.chip.loss_timing.cycles(case.n_outputs)
    assert written[-1] <= len(written) * evaluation


def test_paper_size(attach: Attach) -> None:
    """All lanes and ways of the largest chip, the last pass with idle lanes."""
    rng = Random(11)
    case = draw_case(rng, Loss.SOFTMAX_CROSS_ENTROPY, Formats(), lanes=64, ways=8, n_outputs=10)
    case.passes = [draw_evaluations(rng, case.chip, 10, [False] + [True] * 3) for _ in case.active]
    losses, hits, flags = case.golden()
    found, found_hits, clamped, _ = simulate(case, attach)
    assert (found, found_hits, clamped) == (losses, hits, bool(flags & Saturation.LOSS))


@pytest.mark.parametrize("seed", range(24))
def test_single_differences(seed: int, attach: Attach) -> None:
    """As for biases: every evaluation touches one output, and one of them the true one.

    On one lane the tails of two such evaluations may end in consecutive cycles.
    """
    rng = Random(seed)
    case = draw_case(
        rng, Loss.SOFTMAX_CROSS_ENTROPY, Formats(), lanes=1, n_outputs=2 + 6 * (seed % 2)
    )
    c = case.n_outputs
    case.active, case.targets, case.first_evaluation = [1], np.array([rng.randrange(c)]), 0
    evaluations = draw_evaluations(rng, case.chip, c, [False] + [True] * 12)
    evaluations[0].values[:] = [[rng.randint(-300, 300) for _ in range(c)]]
    for k, e in enumerate(evaluations[1:]):
        e.outputs = [k % c]
        e.values[:] = 0
        e.values[:, k % c] = 2048
    case.passes = [evaluations]
    assert simulate(case, attach, seed=seed, gaps=seed % 4 > 1)[0] == case.golden()[0]


@pytest.mark.parametrize("serial", [False, True])
def test_extreme_sums(serial: bool, attach: Attach) -> None:
    """Sums of exponentials that vanish, just reach ``2**32`` by adding up, or pass it at once."""
    rng = Random(5)
    formats = replace(Formats(), dlogit=QFormat(20, 14))
    case = draw_case(
        rng, Loss.SOFTMAX_CROSS_ENTROPY, formats, serial=serial, lanes=6, ways=1 if serial else 2,
        n_outputs=3,
    )  # fmt: skip
    case.active = [6]
    case.targets = case.targets[:6]
    kinds = [False] + [True] * 12
    (evaluations,) = case.passes = [draw_evaluations(rng, case.chip, 3, kinds)]
    evaluations[0].values[:] = 0
    for number, e in enumerate(evaluations[1:]):
        choices = (
            (-30.0, -23.0),
            (7.6, 7.7, 8.0, 8.3),
            (-30.0, 0.0, 7.7, 8.31, 8.4, 30.0),
        )[number % 3]
        e.outputs = [0, 1, 2]
        e.values[:] = [[int(rng.choice(choices) * 2**14) for _ in range(3)] for _ in range(6)]
    losses, _, flags = case.golden()
    found, _, clamped, _ = simulate(case, attach)
    assert found == losses
    assert clamped == bool(flags & Saturation.LOSS)


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("values", [(7.65, 7.65), (7.65, 7.65, 7.65), (8.4, 0.0), (-30.0, -30.0)])
def test_sum_flag(values: tuple[float, ...], serial: bool, attach: Attach) -> None:
    """The flag of each way to reach ``2**32``, seen by itself."""
    rng = Random(6)
    c = len(values)
    formats = replace(Formats(), dlogit=QFormat(20, 14))
    case = draw_case(
        rng, Loss.SOFTMAX_CROSS_ENTROPY, formats, serial=serial, lanes=1, ways=1, n_outputs=c
    )
    case.active, case.targets = [1], np.zeros(1, np.int64)
    (evaluations,) = case.passes = [draw_evaluations(rng, case.chip, c, [False, True])]
    evaluations[0].values[:] = 0
    evaluations[1].outputs = list(range(c))
    evaluations[1].values[:] = [[int(v * 2**14) for v in values]]
    losses, _, flags = case.golden()
    found, _, clamped, _ = simulate(case, attach)
    assert found == losses
    assert clamped == bool(flags & Saturation.LOSS) == (values[0] > 0)


def test_fabric_multiplier(attach: Attach) -> None:
    """Interpolation without DSP blocks is the same interpolation."""
    case = draw_case(Random(3), Loss.SOFTMAX_CROSS_ENTROPY, Formats(), lanes=3, ways=2)
    assert simulate(case, attach, fabric_multiplier=True)[0] == case.golden()[0]


@pytest.mark.parametrize(
    ("lanes", "ways", "n_outputs", "loss"),
    [
        (64, 8, 10, Loss.SOFTMAX_CROSS_ENTROPY),
        (8, 1, 10, Loss.SOFTMAX_CROSS_ENTROPY),
        (8, 2, 10, Loss.SOFTMAX_CROSS_ENTROPY),
        (24, 8, 3, Loss.SOFTMAX_CROSS_ENTROPY),
        (5, 2, 4, Loss.SOFTMAX_CROSS_ENTROPY),
        (1, 1, 16, Loss.SOFTMAX_CROSS_ENTROPY),
        (8, 2, 2, Loss.SOFTMAX_CROSS_ENTROPY),
        (2, 2, 10, Loss.SOFTMAX_CROSS_ENTROPY),
        (6, 1, 3, Loss.MEAN_SQUARED_ERROR),
        (4, 2, 1, Loss.MEAN_SQUARED_ERROR),
    ],
)
def test_rate(lanes: int, ways: int, n_outputs: int, loss: Loss, attach: Attach) -> None:
    """Evaluations of differences follow one another at the documented rate."""
    rng = Random(1)
    formats = Formats()
    case = draw_case(rng, loss, formats, lanes=lanes, ways=ways, n_outputs=max(2, n_outputs))
    case = replace(case, n_outputs=n_outputs, active=[lanes])
    if loss == Loss.SOFTMAX_CROSS_ENTROPY:
        case.targets = np.array([rng.randrange(n_outputs) for _ in range(lanes)], np.int64)
    else:
        case.targets = words(rng, formats.logit, (lanes, n_outputs))
    case.passes = [draw_evaluations(rng, case.chip, n_outputs, [False] + [True] * 14)]
    found, _, _, written = simulate(case, attach, gaps=False)
    assert found == case.golden()[0]
    expected = case.chip.loss_timing.cycles(n_outputs)
    steady = np.diff(written)[4:-2]
    # The writes of the test take one cycle per touched output, plus the reservation.
    assert steady.mean() <= expected
    turns = -(-lanes // ways) * n_outputs
    if turns > max(n_outputs + 2, 32):
        assert set(steady.tolist()) == {expected}
