"""The preset for the iCE40UP5K still fits its part."""

from pathlib import Path

from zerotrain.boards.catalogue import BOARDS, Resource
from zerotrain.boards.estimate import check_fits
from zerotrain.boards.synthesis import synthesise
from zerotrain.cosim.build import to_verilog
from zerotrain.gateware.chip import TrainingChip
from zerotrain.host.session import Session
from zerotrain.spec.config import Config


def test_digits_small_fits(work_dir: Path) -> None:
    board, session = BOARDS["icebreaker"], Session.of(Config.preset("digits-small"))
    check_fits(session.chip, board)
    verilog = to_verilog(TrainingChip(session.chip, session.plan.program))
    report = synthesise(verilog, "top", board, ignore_collisions=True, work_dir=work_dir)
    report.check()
    # Packing takes some more cells, and routing some air.
    assert report.used[Resource.LOGIC] < 0.92 * board.resources[Resource.LOGIC]
    assert report.used[Resource.SPRAM] == 4
    assert report.used[Resource.MULTIPLIER] == session.chip.lanes
