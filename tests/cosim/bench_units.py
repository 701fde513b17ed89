"""cocotb tests of the chip's units on generated Verilog, against the golden model."""

from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from zerotrain.gateware.storage import weights
from zerotrain.golden.cge import cge_forward, output_differences
from zerotrain.golden.fixed import Flags
from zerotrain.golden.lfsr import bits
from zerotrain.golden.loss import accumulate, reference, softmax_loss
from zerotrain.golden.tt import forward
from zerotrain.golden.update import cge_gradient, differences, perturb, rge_gradient, update
from zerotrain.spec.formats import QFormat
from zerotrain.spec.registers import Baseline
from zerotrain.spec.step import StepSettings

from ..golden import draw
from .designs import CHIP, NETWORK, PLAN

F = CHIP.formats
SHARED = CHIP.timing.read_latency


def signed(word: int, width: int) -> int:
    return word - (word >> (width - 1) << width)


class Ram:
    """A synchronous memory in Python: one read port, one write port, either may be missing.

    A word is delivered ``latency`` cycles after its address.
    """

    def __init__(self, dut: Any, read: str | None, write: str | None, latency: int = 1) -> None:
        self.words: dict[int, int] = {}
        self._read = [getattr(dut, f"{read}__{x}") for x in ("addr", "data")] if read else None
        names = ("en", "addr", "data")
        self._write = [getattr(dut, f"{write}__{x}") for x in names] if write else None
        self._asked = [0] * (latency - 1)

    def fill(self, words: Any, width: int) -> None:
        self.words = {k: int(w) & ((1 << width) - 1) for k, w in enumerate(words)}

    def signed(self, count: int, width: int, first: int = 0) -> list[int]:
        return [signed(self.words.get(first + k, 0), width) for k in range(count)]

    def sample(self) -> None:
        """In the middle of a cycle: what the ports ask for."""
        if self._read:
            self._asked.append(int(self._read[0].value))
        if self._write and int(self._write[0].value):
            self.words[int(self._write[1].value)] = int(self._write[2].value)

    def deliver(self) -> None:
        """After the clock edge: the word that was asked for first."""
        if self._read:
            self._read[1].value = self.words.get(self._asked.pop(0), 0)


class Testbench:
    """Clock, reset, and the memories around the units."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rams = {
            name: Ram(dut, read, write, *latency)
            for name, read, write, *latency in (
                ("theta", "perturb_theta", None, SHARED),
                ("copy", None, "perturb_weight"),
                ("snapshots", None, "perturb_snapshot"),
                ("new_theta", "update_theta", "update_theta_w", SHARED),
                ("momentum", "update_momentum", "update_momentum_w", SHARED),
                ("differences", "update_losses", None, SHARED),
                ("program", "engine_program", None, 2),
                ("weight", "engine_weight", "engine_weight_w", weights.weight_latency(CHIP)),
                ("targets", "loss_targets", None),
                ("losses", "loss_losses", "loss_losses_w", SHARED),
            )
        }

    async def start(self) -> None:
        dut = self.dut
        for port in dut:
            if port._name.startswith(("perturb_", "update_", "engine_", "loss_")):
                if "__" not in port._name and port._name.endswith(("start", "load", "clear")):
                    port.value = 0
        dut.update_snapshot__en.value = 0
        dut.rst.value = 1
        Clock(dut.clk, 10, unit="ns", impl="gpi").start()
        for _ in range(3):
            await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.rst.value = 0

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            getattr(self.dut, name).value = int(value)

    def get(self, name: str) -> int:
        return int(getattr(self.dut, name).value)

    async def tick(self) -> None:
        """To the middle of the next cycle."""
        await ReadOnly()  # what hangs on inputs that were just set
        for ram in self.rams.values():
            ram.sample()
        await RisingEdge(self.dut.clk)
        for ram in self.rams.values():
            ram.deliver()
        await FallingEdge(self.dut.clk)

    async def pulse(self, name: str) -> None:
        self.set(**{name: 1})
        await self.tick()
        self.set(**{name: 0})


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def perturbation_and_generator(dut: Any) -> None:
    """Queries follow one another in one stream; a zero state heals; flags are raised."""
    tb, rng = Testbench(dut), np.random.default_rng(1)
    await tb.start()
    n = NETWORK.n_parameters
    theta = draw.words(rng, F.weight, n)
    theta[0] = F.weight.raw_max
    tb.rams["theta"].fill(theta, F.weight.width)
    tb.set(perturb_load=0, perturb_n_parameters=n, perturb_perturb=1)
    await tb.tick()
    state = 1
    for query, mu in enumerate((1, 77, 0xFFFF)):
        tb.set(perturb_query=query, perturb_mu=mu)
        await tb.pulse("perturb_start")
        cycles = clamped = 0
        while tb.get("perturb_busy"):
            clamped |= tb.get("perturb_saturated")
            cycles += 1
            await tb.tick()
        flags = Flags()
        drawn, following = bits(state, n, CHIP.lfsr_degree)
        assert tb.rams["copy"].signed(n, F.weight.width) == list(
            perturb(theta, drawn, mu, F, flags)
        )
        assert tb.rams["snapshots"].words[query] == state
        assert bool(clamped) == bool(flags.value)
        assert cycles == n + 2 + SHARED
        state = following
        assert tb.get("perturb_state") == state


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def updates(dut: Any) -> None:
    """RGE and CGE steps with drawn settings: parameters, momentum and flags."""
    tb, rng, small = Testbench(dut), np.random.default_rng(2), Random(2)
    await tb.start()
    n = NETWORK.n_parameters
    for k in range(6):
        cge, settings = bool(k % 2), draw.settings(rng)
        theta = draw.words(rng, F.weight, n)
        momentum = draw.words(rng, F.momentum, n)
        count = n + 1 if cge else settings.queries + (settings.baseline == Baseline.BASE)
        losses = draw.words(rng, QFormat(F.loss.width - 8, 20), count)
        tb.rams["new_theta"].fill(theta, F.weight.width)
        tb.rams["momentum"].fill(momentum, F.momentum.width)
        tb.rams["differences"].fill(losses, F.loss.width)
        gradient = cge_gradient(losses)
        if not cge:
            streams = []
            for query in range(settings.queries):
                state = small.getrandbits(CHIP.lfsr_degree) | 1
                tb.set(update_snapshot__addr=query, update_snapshot__data=state)
                await tb.pulse("update_snapshot__en")
                streams.append(bits(state, n, CHIP.lfsr_degree)[0])
            gradient = rge_gradient(differences(losses, settings.baseline), np.array(streams))
        flags = Flags()
        new_theta, new_momentum = update(theta, momentum, gradient, settings, F, flags)
        drive(tb, settings)
        tb.set(update_cge=cge, update_n_parameters=n)
        for _ in range(2):
            await tb.tick()
        await tb.pulse("update_start")
        raised = 0
        while tb.get("update_busy"):
            raised |= 64 * tb.get("update_saturated_gradient")
            raised |= 128 * tb.get("update_saturated_parameter")
            await tb.tick()
        assert tb.rams["new_theta"].signed(n, F.weight.width) == list(new_theta)
        assert tb.rams["momentum"].signed(n, F.momentum.width) == list(new_momentum)
        assert raised == flags.value


def drive(tb: Testbench, settings: StepSettings) -> None:
    for name in (
        "queries", "baseline", "update_rule", "gradient_shift", "decay", "step_mantissa",
        "step_shift",
    ):  # fmt: skip
        tb.set(**{f"update_{name}": getattr(settings, name)})


async def run_pass(
    tb: Testbench, merging: list[int], sections: list[int]
) -> list[dict[int, list[int]]]:
    """Merge, then one pass; what the engine sent to the loss unit, evaluation by evaluation."""
    width = F.logit.width
    evaluations: list[dict[int, list[int]]] = []
    for pc in (*merging, *sections):
        is_pass = pc in sections
        if pc == sections[0]:
            await tb.pulse("loss_pass_start")
        tb.set(engine_pc=pc)
        await tb.pulse("engine_start")
        current: dict[int, list[int]] = {}
        # The words come a cycle after what they are.
        told: tuple[int, int] | None = None
        while tb.get("engine_busy") or (is_pass and tb.get("loss_busy")):
            if told is not None:
                index, last = told
                data = tb.get("engine_logits__data")
                current[index] = [
                    signed(data >> (width * lane) & ((1 << width) - 1), width)
                    for lane in range(CHIP.lanes)
                ]
                if last:
                    evaluations.append(current)
                    current = {}
            told = None
            if tb.get("engine_logits__en"):
                told = tb.get("engine_logits__index"), tb.get("engine_logits__last")
            await tb.tick()
        assert current == {}
    return evaluations


async def load(tb: Testbench, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Parameters, and one sample in every lane."""
    theta = draw.words(rng, F.weight, NETWORK.n_parameters)
    x, targets = draw.batch(rng, NETWORK, F, CHIP.lanes)
    input_mask, way_bits = (1 << F.input.width) - 1, (CHIP.output_depth - 1).bit_length()
    tb.rams["program"].fill(PLAN.program.rows, 64)
    tb.rams["weight"].fill(theta, F.weight.width)
    tb.set(engine_sample_w__en=1)
    for (lane, row), word in np.ndenumerate(x):
        tb.set(
            engine_sample_w__lane=lane, engine_sample_w__row=row,
            engine_sample_w__data=int(word) & input_mask,
        )  # fmt: skip
        await tb.tick()
    tb.set(engine_sample_w__en=0)
    rows: dict[int, int] = {}
    for lane, target in enumerate(targets):
        row, way = divmod(lane, CHIP.loss_ways)
        rows[row] = rows.get(row, 0) | int(target) << (way * way_bits)
    tb.rams["targets"].words = rows
    tb.set(
        engine_active_lanes=CHIP.lanes, engine_input_base=0, engine_sample_read=0,
        loss_active_lanes=CHIP.lanes,
        loss_first_evaluation=0, loss_first_pass=1, loss_target_row=0, loss_score=0,
        loss_n_outputs=NETWORK.n_outputs,
    )  # fmt: skip
    return theta, x, targets


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def engine_and_loss_of_a_forward_pass(dut: Any) -> None:
    tb, rng = Testbench(dut), np.random.default_rng(3)
    await tb.start()
    for _ in range(3):
        theta, x, targets = await load(tb, rng)
        program = PLAN.program
        (base,) = await run_pass(tb, [program.merge], [program.forward])
        flags = Flags()
        z = forward(NETWORK, F, PLAN.groups, theta, x, flags)
        assert [base[c] for c in range(NETWORK.n_outputs)] == z.T.tolist()
        rows = np.array([softmax_loss(z, targets, F, flags)])
        expected = accumulate(rows, CHIP.lanes, F, flags).tolist()
        assert tb.rams["losses"].signed(1, F.loss.width) == expected


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def engine_and_losses_of_a_cge_pass(dut: Any) -> None:
    """Every difference of every output, and the loss of every evaluation."""
    tb, rng = Testbench(dut), np.random.default_rng(4)
    await tb.start()
    theta, x, targets = await load(tb, rng)
    program = PLAN.program
    base, *rest = await run_pass(
        tb, [program.merge, program.cge_merge], [program.forward, program.cge]
    )
    flags = Flags()
    layers = cge_forward(NETWORK, F, PLAN.groups, theta, x, flags)
    z = layers[-1].y.T.astype(np.int64)  # [sample, output]
    assert [base[c] for c in range(NETWORK.n_outputs)] == z.T.tolist()
    assert len(rest) == NETWORK.n_parameters
    dz = np.zeros((len(rest), *z.shape), np.int64)
    for block in output_differences(NETWORK, F, layers, flags):
        for i, n in np.ndindex(block.parameters.shape):
            dz[block.parameters[i, n]] = block.dz[i, :, n].T
    for got, want in zip(rest, dz, strict=True):
        sent = np.zeros_like(want)
        for c, values in got.items():
            sent[:, c] = values
        assert sent.tolist() == want.tolist()
    ref = reference(z, F)
    rows = [softmax_loss(z, targets, F, flags)]
    rows += [softmax_loss(z, targets, F, flags, d, ref) for d in dz]
    expected = accumulate(np.array(rows), CHIP.lanes, F, flags).tolist()
    assert tb.rams["losses"].signed(len(expected), F.loss.width) == expected
