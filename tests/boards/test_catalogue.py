"""Boards: names, pins and constraint files."""

import re
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import pytest

from zerotrain.boards.catalogue import BOARDS, Board, constraints, find_board
from zerotrain.boards.families import ICE40
from zerotrain.boards.routed import load_routing


@pytest.fixture(params=BOARDS.values(), ids=lambda board: board.name)
def board(request: pytest.FixtureRequest) -> Board:
    found = request.param
    assert isinstance(found, Board)
    return found


def test_unknown_board_names_the_nearest() -> None:
    assert find_board("icebreaker") is BOARDS["icebreaker"]
    with pytest.raises(ValueError, match=r"^Unknown board 'IceBraker'; did you mean 'icebreaker'"):
        find_board("IceBraker")
    with pytest.raises(ValueError, match=r"^Unknown board 'x'; known are icebreaker, ulx3s-25f, "):
        find_board("x")


def test_boards_are_consistent(board: Board) -> None:
    assert BOARDS[board.name] is board
    assert board.clock_hz > 0
    assert all(count > 0 for count in board.resources.values())


def test_facts_are_those_of_amaranth_boards(board: Board) -> None:
    pytest.importorskip("amaranth_boards")
    module, name = board.platform.split(":")
    platform = getattr(import_module(module), name)()
    assert board.part.startswith(platform.device)
    assert board.package.endswith(platform.package.lower().removeprefix("bg")) or (
        board.package == "CABGA" + platform.package.removeprefix("BG")
    )
    resources = {(r.name, r.number): r for r in platform.resources.values()}
    assert resources[platform.default_clk, 0].clock.frequency == board.clock_hz
    uart = {sub.name: sub.ios[0].names for sub in resources["uart", 0].ios}
    assert uart == {
        "rx": [board.pins["uart_rx"].site],
        "tx": [board.pins["uart_tx"].site],
    } | {k: v for k, v in uart.items() if k not in ("rx", "tx")}
    assert resources[platform.default_clk, 0].ios[0].names == [board.pins["clk"].site]


def test_constraints_tie_ports_to_pins(board: Board) -> None:
    text = constraints(board, {"clock": "clk", "rx": "uart_rx"})
    for port, pin in (("clock", "clk"), ("rx", "uart_rx")):
        site = board.pins[pin].site
        assert re.search(rf"\b{port}\b.*\b{site}\b", text)
    assert ("set_io" in text) == (board.family is ICE40)
    with pytest.raises(ValueError, match="names the pins clk, uart_rx, uart_tx, not 'led'"):
        constraints(board, {"led": "led"})


def test_target_clocks_are_routed_and_made_by_the_pll(board: Board) -> None:
    """Every routed chip reaches it, and it is the crystal times a ratio of small integers."""
    routed = [row for row in load_routing() if row["board"] == board.name]
    assert routed
    assert board.clock_hz < board.target_hz <= 1e6 * min(row["median_mhz"] for row in routed)
    ratio = Fraction(board.target_hz, board.clock_hz)
    assert ratio.numerator <= 64 and ratio.denominator <= 16
    page = Path(__file__).resolve().parents[2] / "docs" / "boards.md"
    row = f"| {board.name} | {board.clock_hz / 1e6:g} MHz | {board.target_hz / 1e6:g} MHz |"
    assert row in page.read_text().splitlines()
