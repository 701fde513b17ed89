"""Memories around a unit under test, and drawn number formats."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from amaranth import Module, ShapeLike
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from zerotrain.gateware.arithmetic import pipe
from zerotrain.spec.formats import Formats, QFormat

Attach = Callable[..., Memory]


@pytest.fixture
def attach() -> Attach:
    """Gives a unit's port pair a memory, as the chip would.

    ``attach(m, name, shape, depth, init, read=port, write=port, latency=1)`` adds submodule
    ``name`` to ``m``; its words come ``latency`` cycles after their address. Read the words back
    with ``ctx.get(memory.data[index])``.
    """

    def attach(
        m: Module,
        name: str,
        shape: ShapeLike,
        depth: int,
        init: Sequence[Any],
        *,
        read: wiring.PureInterface | None = None,
        write: wiring.PureInterface | None = None,
        latency: int = 1,
    ) -> Memory:
        memory = Memory(shape=shape, depth=depth, init=init)
        m.submodules[name] = memory
        if read is not None:
            port = memory.read_port()
            # As in the chip: registers of the address and of the word.
            addr = pipe(m, read.addr, latency // 2, f"{name}_addr")
            word = pipe(m, port.data, (latency - 1) // 2, f"{name}_word")
            m.d.comb += [port.addr.eq(addr), read.data.eq(word)]
        if write is not None:
            port = memory.write_port()
            m.d.comb += [
                port.en.eq(write.en),
                port.addr.eq(write.addr),
                port.data.eq(write.data),
            ]
        return memory

    return attach


@pytest.fixture(scope="session")
def draw_formats() -> Callable[..., Formats]:
    """Gives valid formats of every width, narrow ones included: ``draw_formats(rng)``."""

    def fmt(rng: Random, width: int, most: int) -> QFormat:
        return QFormat(width, rng.randint(0, min(width - 2, most)))

    def draw(rng: Random, most_logit_bits: int = 20) -> Formats:
        for _ in range(10_000):
            lane = rng.randint(4, 24)
            logit = rng.randint(8, 24)
            try:
                return Formats(
                    weight=fmt(rng, rng.randint(4, lane), 20),
                    input=fmt(rng, lane, 20),
                    tt=fmt(rng, lane, 20),
                    preact=fmt(rng, lane, 20),
                    delta=QFormat(lane, rng.randint(0, lane + 4)),
                    logit=fmt(rng, logit, most_logit_bits),
                    dlogit=QFormat(logit, rng.randint(0, most_logit_bits)),
                    loss=QFormat(rng.randint(24, 40), 20),
                    momentum=QFormat(rng.randint(8, 32), 20),
                    cge_mu_shift=rng.randint(1, 12),
                )
            except ValueError:
                continue
        raise AssertionError("No valid formats drawn")

    return draw
