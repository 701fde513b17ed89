"""The most lanes that a chip has: the paper's modes at a small rank, and random networks.

The memories of samples, intermediates and pre-activations are those of a chip for the paper's
networks, and it has a merge unit; a CGE step then works tile by tile.
"""

from collections.abc import Iterator

import pytest

from zerotrain.compiler.lowering_cge import CgeForm
from zerotrain.compiler.planner import plan
from zerotrain.cosim.chip import VerilatedChip
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Activation, Layer, Network

from .cases import Case, compare, draw_case

LANES, RANDOM_NETWORKS = 64, 12
CHIP = Chip(
    lanes=LANES,
    loss_ways=8,
    acc_width=44,
    parameter_depth=1500,
    evaluation_depth=1501,
    weight_depth=1 << 14,
    merge_depth=1 << 12,
    sample_depth=784,
    target_depth=24,
    scratch_depth=1024,
    preact_depth=1024,
    program_depth=1500,
)
PAPER = Network(
    (
        Layer((7, 4, 4, 7), (8, 4, 4, 8), (2, 2, 2), True, Activation.RELU),
        Layer((8, 4, 4, 8), (1, 3, 1, 1), (2, 2, 2)),
    ),
    name="paper-small-rank",
)


@pytest.fixture(scope="module")
def bus() -> Iterator[VerilatedChip]:
    chip = VerilatedChip(CHIP)
    yield chip
    chip.close()


@pytest.mark.cosim
@pytest.mark.parametrize("last_form", CgeForm)
def test_paper_modes(bus: VerilatedChip, last_form: CgeForm) -> None:
    """The first layer fits as tiles only. One lane has no sample."""
    found = plan(PAPER, CHIP, batch=LANES - 1, forms=(CgeForm.TILES, last_form))
    compare(bus, Case(found, 1, LANES - 1))


def test_larger_form_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"scratch_depth is 1024, needed are 2048 \(1024 too few"):
        plan(PAPER, CHIP, forms=(CgeForm.ROWS, CgeForm.ROWS))


@pytest.mark.cosim
def test_random_networks(bus: VerilatedChip) -> None:
    for seed in range(RANDOM_NETWORKS):
        compare(bus, draw_case(CHIP, 100_000 + seed))
