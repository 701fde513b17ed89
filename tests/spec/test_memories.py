"""The list of memories is what the generated chip has, no more and no less."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from amaranth import Shape
from amaranth.hdl import Fragment
from amaranth.hdl._mem import MemoryInstance

from zerotrain.config.config import Config
from zerotrain.gateware.chip import TrainingChip
from zerotrain.spec.chip import Cge, Chip, Core, Store
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.memories import Kind, Memory, memories, segments
from zerotrain.spec.network import Loss

COMPACT: dict[str, Any] = {"core": Core.COMPACT, "loss_ways": 1}
ALIKE = Formats(input=QFormat(6, 3), preact=QFormat(6, 2))
CHIPS = {
    "pipelined": Chip(lanes=3),
    "one way": Chip(lanes=5, loss_ways=1),
    "ways of unlike lanes": Chip(lanes=7, loss_ways=3),
    "groups of lanes": Chip(lanes=40, loss_ways=5, acc_width=48),
    "merge unit": Chip(lanes=4, weight_depth=6144, merge_depth=1500, parameter_depth=600),
    "sines": Chip(lanes=20, cge=Cge.FORWARD, sine=True),
    "compact, sines": Chip(lanes=2, **COMPACT, cge=Cge.NONE, sine=True),
    "squared error": Chip(lanes=6, loss=Loss.MEAN_SQUARED_ERROR),
    "squared error, forward": Chip(lanes=6, loss=Loss.MEAN_SQUARED_ERROR, cge=Cge.FORWARD),
    "forward": Chip(lanes=4, cge=Cge.FORWARD, loops=False),
    "no CGE": Chip(lanes=4, cge=Cge.NONE, sample_banks=1),
    "SPRAM": Chip(lanes=4, store=Store.SPRAM, parameter_depth=700, evaluation_depth=701),
    "steps in halves": Chip(lanes=2, split=True, store=Store.SPRAM, evaluation_depth=600),
    "compact": Chip(lanes=8, **COMPACT),
    "compact, halves": Chip(lanes=2, **COMPACT, split=True, cge=Cge.NONE, evaluation_depth=2),
    "compact, two ways": Chip(lanes=8, core=Core.COMPACT, loss_ways=2),
    "compact, squared error": Chip(lanes=5, **COMPACT, loss=Loss.MEAN_SQUARED_ERROR),
    "compact, forward": Chip(lanes=5, **COMPACT, cge=Cge.FORWARD),
    "compact, SPRAM": Chip(lanes=1, **COMPACT, store=Store.SPRAM, evaluation_depth=600),
    "common": Chip(
        lanes=7, **COMPACT, formats=ALIKE, store=Store.COMMON, cge=Cge.FORWARD, sample_banks=1
    ),
    "common, no CGE": Chip(
        lanes=8, **COMPACT, formats=ALIKE, store=Store.COMMON, cge=Cge.NONE, sample_banks=1,
        weight_depth=200,
    ),
}  # fmt: skip
PRESETS = ["digits", "digits-small", "mnist-3962", "mnist-small"]

#: What a memory is compared by.
_Key = tuple[str, str, int, int, int | None, int, bool]


def generated(fragment: Fragment, path: tuple[str, ...] = ()) -> Iterator[_Key]:
    """Owner, name, depth, width, part that is written apart, read ports, whether it is SPRAM."""
    if isinstance(fragment, MemoryInstance):
        found: Any = fragment
        width = Shape.cast(found._data.shape).width
        parts = [port._granularity for port in found._write_ports]
        spram = found._attrs.get("ram_style") == "huge"
        words = re.split(r"[._]", ".".join(path[1:]))
        names = {m.name for chip in ALL.values() for m in memories(chip)}
        known = next((word for word in words if word in names), "?")
        yield (
            path[0], known, found._data.depth, width, parts[0] if parts else None,
            len(found._read_ports), spram,
        )  # fmt: skip
    for sub, name, _ in fragment.subfragments:
        yield from generated(sub, (*path, str(name)))


def listed(memory: Memory) -> _Key:
    written = None if memory.kind in (Kind.TABLE, Kind.LINES) else memory.part
    return (
        memory.owner, memory.name, memory.depth, memory.width, written, memory.reads,
        memory.kind == Kind.SPRAM,
    )  # fmt: skip


ALL = CHIPS | {name: Config.preset(name).build_chip() for name in PRESETS}


@pytest.mark.parametrize("name", ALL)
def test_list_is_what_is_generated(name: str) -> None:
    chip = ALL[name]
    found = Counter(generated(Fragment.get(TrainingChip(chip), None)))
    assert found == Counter(map(listed, memories(chip)))


def test_every_kind_and_owner_is_among_them() -> None:
    """Otherwise the comparison above could pass over some."""
    found = [memory for chip in CHIPS.values() for memory in memories(chip)]
    assert {m.kind for m in found} == set(Kind)
    assert {m.owner for m in found} == {
        "store",
        "losses",
        "targets",
        "program",
        "bank",
        "weights",
        "engine",
        "loss",
        "update",
    }
    assert any(m.shares_port for m in found) and any(m.part < m.width for m in found)


def test_memories_grow_with_the_chip() -> None:
    def bits(chip: Chip) -> Counter[str]:
        return sum((Counter({str(m): m.bits}) for m in memories(chip)), Counter())

    small, large = bits(Chip(lanes=4)), bits(Chip(lanes=8))
    grown = {name for name in small if large[name] > small[name]}
    assert grown == {"engine scratch", "engine preact", "engine input", "loss rows", "loss kept"}
    chip = Chip(lanes=64, loss_ways=8)
    one, two = (bits(c)["engine input"] for c in (replace(chip, sample_banks=1), chip))
    assert 2 * one == two == 64 * 16 * 2 * chip.sample_depth


def test_segments_are_powers_of_two_of_blocks() -> None:
    assert segments(700) == [700]
    assert segments(6144 + 5) == [4096, 2048, 5]
    assert all(sum(segments(depth)) == depth for depth in range(1, 9000, 97))
