"""No memory word is used that was read in the cycle in which it was written.

Block RAM answers such a read with anything, and synthesis is told that it may
(``ignore_collisions``). Here every memory of the chip answers it with rubbish.
"""

import re

import numpy as np
import pytest
from amaranth.back import rtlil, verilog

from zerotrain.cosim.build import build_library
from zerotrain.cosim.chip import VerilatedBus
from zerotrain.cosim.tools import environment
from zerotrain.gateware.chip import TrainingChip
from zerotrain.golden.chip import GoldenChip

from .test_random_networks import draw_case, draw_chip, run

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
    assert words >= 2 * memories > 16 and not re.search(r"'[hb][0-9a-f]*x", text)
    return text


@pytest.mark.cosim
@pytest.mark.parametrize("index", [0, 3, 6, 8, 10])
def test_colliding_reads_are_not_used(index: int) -> None:
    """With softmax and a merge unit; with squared errors, merging on the lanes; small chips."""
    chip = draw_chip(index)
    bus = VerilatedBus(build_library(rubbish_on_collisions(TrainingChip(chip))))
    try:
        for k in range(CASES):
            case = draw_case(chip, 70_000 + 1000 * index + k)
            golden = GoldenChip(chip, case.plan.network, case.plan.groups)
            (got, memory, state), (want, expected, end) = run(bus, case), run(golden, case)
            for ours, theirs in zip(got, want, strict=True):
                assert np.array_equal(ours.losses, theirs.losses), k
                assert ours.saturation == theirs.saturation and ours.correct == theirs.correct, k
            assert all(np.array_equal(a, b) for a, b in zip(memory, expected, strict=True)), k
            assert state == end
    finally:
        bus.close()
