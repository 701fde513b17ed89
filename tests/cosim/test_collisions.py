"""No memory word is used that was read in the cycle in which it was written.

Block RAM answers such a read with anything, and synthesis is told that it may
(``ignore_collisions``). Here every memory of the chip answers it with rubbish.
"""

import re

import pytest
from amaranth.back import rtlil, verilog

from zerotrain.cosim.build import build_library
from zerotrain.cosim.chip import VerilatedBus
from zerotrain.cosim.tools import environment
from zerotrain.gateware.chip import TrainingChip

from .cases import compare, draw_case
from .structures import STRUCTURES, Structure

CASES = 12


def rubbish_on_collisions(design: TrainingChip) -> str:
    """The chip's Verilog with the undefined words of colliding reads replaced by a pattern."""
    text = rtlil.convert(design, "top", emit_src=False)
    text, memories = re.subn(
        r"(parameter \\COLLISION_X_MASK \d+')(0+)\n", lambda m: f"{m[1]}{'1' * len(m[2])}\n", text
    )
    with environment():
        text = verilog._convert_rtlil_text(text)
    text, words = re.subn(r"('h)(x+);", lambda m: f"{m[1]}{'a' * len(m[2])};", text)
    assert words >= memories > 8 and not re.search(r"'[hb][0-9a-f]*x", text)
    return text


#: Pipelined chips of either way to merge, of either loss, with sines, and with steps in halves;
#: compact ones of every store.
NAMES = (
    "digits",
    "lanes-merge",
    "raised",
    "eight",
    "small-serial",
    "rge-small",
    "digits-small",
    "mnist-small",
)


@pytest.mark.cosim
@pytest.mark.parametrize("structure", [s for s in STRUCTURES if s.name in NAMES],
                         ids=lambda s: s.name)  # fmt: skip
def test_colliding_reads_are_not_used(structure: Structure) -> None:
    bus = VerilatedBus(build_library(rubbish_on_collisions(TrainingChip(structure.chip))))
    try:
        for k in range(CASES):
            case = draw_case(structure.chip, structure.seed + 1000 + k)
            compare(bus, case, f"Structure {structure.name} with rubbish on collisions, ")
    finally:
        bus.close()
