"""The register bank on its own, in Amaranth's simulator: map, windows, errors, latencies."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from zerotrain.gateware.registers import READ_LATENCY, SETTINGS, RegisterBank
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import (
    IDENTIFIER,
    REGISTERS,
    VERSION,
    Error,
    Status,
    register,
    windows,
)

#: Depths that are no powers of two, so that every window has addresses without a word.
CHIP = Chip(
    lanes=3, loss_ways=3, parameter_depth=24, weight_depth=32, sample_depth=6, target_depth=2,
    program_depth=10, evaluation_depth=20, lfsr_degree=40,
)  # fmt: skip
WINDOWS = windows(CHIP)
WRITE_CYCLES, READ_CYCLES = 2, READ_LATENCY + 5


class Toy(wiring.Component):
    """A register bank whose windows are a dictionary in the test."""

    def __init__(self) -> None:
        super().__init__({})
        self.bank = RegisterBank(CHIP)
        self.lfsr = Signal(CHIP.lfsr_degree)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bank = bank = self.bank
        # As in the perturbation unit.
        m.d.comb += bank.lfsr.eq(self.lfsr)
        for k, part in enumerate((self.lfsr[:32], self.lfsr[32:])):
            with m.If(bank.lfsr_w_en[k]):
                m.d.sync += part.eq(bank.lfsr_w_data)
        return m


class Host:
    """Bus accesses, counted in cycles, in an Amaranth test bench."""

    def __init__(self, ctx: Any, bank: RegisterBank) -> None:
        self.ctx, self.bank, self.bus = ctx, bank, bank.bus

    async def access(self, address: int, data: int | None, sel: int = 0xF) -> tuple[int, int]:
        """Word read, and cycles taken."""
        ctx, bus = self.ctx, self.bus
        ctx.set(bus.adr, address // 4)
        ctx.set(bus.we, data is not None)
        ctx.set(bus.dat_w, data or 0)
        ctx.set(bus.sel, sel)
        ctx.set(bus.cyc, 1)
        ctx.set(bus.stb, 1)
        for cycles in range(1, 20):
            _, _, ack, word = await ctx.tick().sample(bus.ack, bus.dat_r)
            if ack:
                ctx.set(bus.cyc, 0)
                ctx.set(bus.stb, 0)
                return word, cycles
        raise TimeoutError(f"No ack at address {address:#x}")

    async def read(self, where: str | int) -> int:
        address = register(where).address if isinstance(where, str) else where
        word, cycles = await self.access(address, None)
        assert cycles == READ_CYCLES
        return word

    async def write(self, where: str | int, data: int, sel: int = 0xF) -> None:
        address = register(where).address if isinstance(where, str) else where
        _, cycles = await self.access(address, data, sel)
        assert cycles == WRITE_CYCLES

    async def error(self) -> Error:
        """The errors since the last call."""
        word = await self.read("error")
        await self.write("error", word)
        return Error(word)


class Memory:
    """Answers one window as the contract asks, and nothing when it is not enabled."""

    def __init__(self, port: Any) -> None:
        self.port, self.words, self.granted = port, dict[int, int](), True
        self.enables = 0

    async def run(self, ctx: Any) -> None:
        port = self.port
        ctx.set(port.granted, 1)
        pipeline: list[int] = [0] * READ_LATENCY
        async for _, _, w_en, r_en, addr, data in ctx.tick().sample(
            port.w_en, port.r_en, port.addr, port.w_data
        ):
            ctx.set(port.granted, self.granted)
            self.enables += w_en + r_en
            if w_en:
                self.words[addr] = data
            # An address without r_en reads rubbish, which must not reach the bus.
            pipeline.append(self.words.get(addr, 0) if r_en else -1)
            ctx.set(port.r_data, pipeline[-READ_LATENCY])


def run(test: Callable[[Any, Host, dict[str, Memory]], Awaitable[None]]) -> None:
    toy = Toy()
    memories = {name: Memory(getattr(toy.bank, name)) for name in WINDOWS}

    async def bench(ctx: Any) -> None:
        await test(ctx, Host(ctx, toy.bank), memories)

    async def deadline(ctx: Any) -> None:
        cycles = 0
        async for _ in ctx.tick():
            cycles += 1
            if cycles == 20_000:
                raise TimeoutError("The test has not finished after 20 000 cycles")

    simulator = Simulator(toy)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(deadline, background=True)
    for memory in memories.values():
        simulator.add_testbench(memory.run, background=True)
    simulator.run()


def value(k: int) -> int:
    """Some word, different for each k."""
    return (0x9E3779B9 * (k + 1)) & 0xFFFFFFFF


def test_identity_and_reset_values() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        fixed = {"identifier": IDENTIFIER, "version": VERSION, "config_hash": CHIP.config_hash}
        for r in REGISTERS:
            assert await host.read(r.name) == fixed.get(r.name, 0), r.name
        assert await host.error() == Error(0)

    run(test)


def test_settings_hold_what_was_written() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        for k, r in enumerate(SETTINGS):
            await host.write(r.name, value(k))
        await host.write("lfsr_lo", 0x89ABCDEF)
        await host.write("lfsr_hi", 0xFFFFFF67)
        for k, r in enumerate(SETTINGS):
            expected = value(k) & ((1 << r.width) - 1)
            assert await host.read(r.name) == expected, r.name
            assert ctx.get(getattr(host.bank, r.name)) == expected, r.name
        assert ctx.get(host.bank.lfsr) == 0x6789ABCDEF
        assert await host.read("lfsr_lo") == 0x89ABCDEF
        assert await host.read("lfsr_hi") == 0x67
        assert await host.error() == Error(0)

    run(test)


def test_values_of_the_chip_are_read() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        bank = host.bank
        ctx.set(bank.cycles, 0x1122334455667788)
        ctx.set(bank.beats, 0x99AABBCCDDEEFF00)
        ctx.set(bank.loss_stalls, 0xDEADBEEF)
        ctx.set(bank.correct, 0xCAFE)
        expected = {
            "cycles_lo": 0x55667788, "cycles_hi": 0x11223344, "beats_lo": 0xDDEEFF00,
            "beats_hi": 0x99AABBCC, "loss_stalls": 0xDEADBEEF, "correct": 0xCAFE,
        }  # fmt: skip
        for name, word in expected.items():
            await host.write(name, 0)  # read only: ignored
            assert await host.read(name) == word
        assert await host.error() == Error(0)

    run(test)


def test_sticky_bits() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        for k in range(register("saturation").width):
            ctx.set(host.bank.saturated, 1 << k)
            await ctx.tick()
        ctx.set(host.bank.saturated, 0)
        assert await host.read("saturation") == 0xFF
        await host.write("saturation", 0x0F)
        assert await host.read("saturation") == 0xF0
        # Setting and clearing in one cycle leaves the bit set.
        ctx.set(host.bank.saturated, 0x10)
        await host.write("saturation", 0xFF)
        await ctx.tick()
        ctx.set(host.bank.saturated, 0)
        assert await host.read("saturation") == 0x10
        ctx.set(host.bank.bad_program, 1)
        await ctx.tick()
        ctx.set(host.bank.bad_program, 0)
        assert await host.error() == Error.BAD_PROGRAM
        assert await host.error() == Error(0)

    run(test)


@pytest.mark.parametrize("command", range(16))
def test_commands(command: int) -> None:
    good = command in (1, 2, 3)

    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        bank = host.bank
        starts = 0
        await host.write("command", command | 0xFFFFFFF0)
        await ctx.tick()
        for _ in range(4):
            busy = bool(ctx.get(bank.start))
            starts += busy
            assert ctx.get(bank.command) == (command if good else 0)
            await ctx.tick()
            # The chip answers a start with `busy` in the next cycle.
            ctx.set(bank.busy, starts > 0)
        assert starts == good
        assert await host.read("status") == (Status.BUSY if good else 0)
        assert await host.error() == (Error(0) if good else Error.BAD_COMMAND)
        ctx.set(bank.busy, 0)
        assert await host.read("status") == (Status.DONE if good else 0)

    run(test)


def test_busy_from_the_very_first_cycle() -> None:
    """A status read right behind the command must not find the chip idle or done."""

    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        for _ in range(2):
            await host.write("command", 2)
            # The bank itself tells of it before the chip does.
            for _ in range(2):
                assert ctx.get(host.bank.start) == 0 and ctx.get(host.bank.running) == 1
                await ctx.tick()
            assert ctx.get(host.bank.start) == 1
            await ctx.tick()
            ctx.set(host.bank.busy, 1)
            assert await host.read("status") == Status.BUSY
            ctx.set(host.bank.busy, 0)
            assert await host.read("status") == Status.DONE

    run(test)


def test_nothing_changes_while_a_step_runs() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        bank = host.bank
        await host.write("mu", 7)
        await host.write("command", 1)
        # Before the chip is busy already.
        await host.write("mu", 8)
        ctx.set(bank.busy, 1)
        assert await host.error() == Error.BUSY_ACCESS
        await host.write("command", 2)
        assert await host.error() == Error.BAD_COMMAND
        assert await host.read("command") == 1
        for name in ("mu", "lfsr_lo", "lfsr_hi"):
            await host.write(name, 9)
            assert await host.error() == Error.BUSY_ACCESS, name
        assert await host.read("mu") == 7
        assert ctx.get(bank.lfsr) == 0
        ctx.set(bank.busy, 0)
        await host.write("mu", 9)
        assert await host.read("mu") == 9
        assert await host.error() == Error(0)

    run(test)


@pytest.mark.parametrize("name", WINDOWS)
def test_window(name: str) -> None:
    window = WINDOWS[name]
    rows = {"samples": CHIP.sample_depth, "targets": CHIP.target_depth}.get(name)
    half = 1 << max(1, (rows - 1).bit_length()) if rows else 0

    def backed(word: int) -> bool:
        return word < window.words and (rows is None or word % half < rows)

    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        memory = memories[name]
        size = 1 << (window.words - 1).bit_length()
        for word in range(size):
            await host.write(window.base + 4 * word, value(word))
            assert await host.error() == (Error(0) if backed(word) else Error.BAD_ADDRESS)
        mask = (1 << window.width) - 1
        for word in range(size):
            if name == "losses":  # read only for the bus: fill it from the chip's side
                memory.words[word] = value(word) & mask
            expected = value(word) & mask
            if window.signed and expected >> (window.width - 1):
                expected |= 0xFFFFFFFF & ~mask
            got = await host.read(window.base + 4 * word)
            assert got == (expected if backed(word) else 0), word
        n_backed = sum(map(backed, range(size)))
        assert memory.enables == n_backed * (1 if name == "losses" else 2)
        assert all(m.enables == 0 for m in memories.values() if m is not memory)

    run(test)


def test_a_window_that_is_not_granted() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        for name, window in WINDOWS.items():
            memory = memories[name]
            memory.words[3] = 5
            memory.granted = False
            await ctx.tick().repeat(2)
            assert await host.read(window.base + 12) == 0
            assert await host.error() == Error.BUSY_ACCESS, name
            await host.write(window.base + 12, 9)
            assert await host.error() == Error.BUSY_ACCESS, name
            memory.granted = True
            await ctx.tick().repeat(2)
            assert await host.read(window.base + 12) == 5, name
            assert await host.error() == Error(0), name

    run(test)


def test_addresses_that_nothing_answers() -> None:
    end = max(w.base + 4 * w.words for w in WINDOWS.values())
    holes = [4 * len(REGISTERS), 4 * len(REGISTERS) + 4, end + 4096, 1 << 31, (1 << 32) - 4]
    # Aliases of a register and of a window far above.
    holes += [(1 << 28) + register("mu").address, (1 << 20) + WINDOWS["parameters"].base]

    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        for address in holes:
            assert await host.read(address) == 0
            assert await host.error() == Error.BAD_ADDRESS, hex(address)
            await host.write(address, 0xFFFFFFFF)
            assert await host.error() == Error.BAD_ADDRESS, hex(address)
        assert await host.read("mu") == 0
        assert all(m.enables == 0 for m in memories.values())

    run(test)


def test_writes_of_part_of_a_word_are_refused() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        for sel in range(15):
            for address in (register("mu").address, WINDOWS["parameters"].base):
                await host.write(address, 0xFFFFFFFF, sel)
                assert await host.error() == Error.BAD_ADDRESS
        await host.write("command", 1, 0x1)
        assert ctx.get(host.bank.start) == 0
        assert await host.error() == Error.BAD_ADDRESS
        assert await host.read("mu") == 0
        assert memories["parameters"].words == {}

    run(test)


def test_an_abandoned_read_leaves_no_answer_behind() -> None:
    async def test(ctx: Any, host: Host, memories: dict[str, Memory]) -> None:
        bus = host.bus
        for patience in range(1, READ_CYCLES):
            ctx.set(bus.adr, register("identifier").address // 4)
            ctx.set(bus.we, 0)
            ctx.set(bus.cyc, 1)
            ctx.set(bus.stb, 1)
            await ctx.tick().repeat(patience)
            ctx.set(bus.cyc, 0)
            ctx.set(bus.stb, 0)
            await ctx.tick()
            assert await host.read("version") == VERSION

    run(test)
