"""The presets for the iCE40UP5K still fit their part."""

from pathlib import Path

import pytest

from zerotrain.boards.catalogue import BOARDS
from zerotrain.boards.estimate import check_fits, least_resources
from zerotrain.boards.family import Resource
from zerotrain.boards.synthesis import synthesise
from zerotrain.config.config import Config
from zerotrain.cosim.build import chip_verilog
from zerotrain.host.session import Session


@pytest.mark.parametrize(
    ("preset", "share", "spram"), [("digits-small", 0.92, 4), ("mnist-small", 0.95, 4)]
)
def test_preset_fits(preset: str, share: float, spram: int, work_dir: Path) -> None:
    board, session = BOARDS["icebreaker"], Session.of(Config.preset(preset))
    check_fits(session.chip, board)
    verilog = chip_verilog(session.chip, session.plan.program)
    report = synthesise(verilog, "top", board, ignore_collisions=True, work_dir=work_dir)
    report.check()
    # Packing takes some more cells, and routing some air.
    assert report.used[Resource.LOGIC] < share * board.resources[Resource.LOGIC]
    least = least_resources(session.chip, board)
    assert report.used[Resource.SPRAM] == least[Resource.SPRAM] == spram
    assert least[Resource.BLOCK_RAM] <= report.used[Resource.BLOCK_RAM]
    assert report.used[Resource.MULTIPLIER] == session.chip.lanes
