"""Boards: which part they carry, what the part holds, where its clock and serial line are.

Pins are those of the amaranth-boards package (a test compares them). Nothing else about a board
is needed to generate, synthesise or route a chip; a bitstream flow finds pins here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType

from zerotrain.boards.families import ECP5, ICE40
from zerotrain.boards.family import Family, Resource

__all__ = ["BOARDS", "Board", "Pin", "constraints", "find_board"]


@dataclass(frozen=True, slots=True)
class Pin:
    """A package pin and how it is driven.

    Parameters
    ----------
    site : str
        Name of the pin on the package.
    standard : str
        I/O standard, in the words of the family's tools.
    """

    site: str
    standard: str


@dataclass(frozen=True, slots=True)
class Board:
    """One target of ``plan``, ``generate`` and ``route``.

    Parameters
    ----------
    name : str
        What users call it.
    title : str
        Maker's name and part, for people.
    family : Family
        Tool flow.
    part : str
        The FPGA, in the maker's words.
    device : str
        Device option of nextpnr, without dashes.
    package : str
        Package option of nextpnr.
    speed_grade : str
        Speed option of nextpnr; empty where the family has none.
    clock_hz : int
        Frequency of the crystal.
    target_hz : int
        Clock of a chip that was not routed: one that the part's PLL makes of the crystal, and that
        every chip in ``docs/routing`` reaches on this board (median of its seeds). Large chips
        may miss it.
    resources : Mapping
        Number of each resource on the part.
    pins : Mapping
        ``clk``, ``uart_rx``, ``uart_tx`` as seen from the FPGA.
    platform : str
        Class of amaranth-boards that describes the rest of the board.
    """

    name: str
    title: str
    family: Family
    part: str
    device: str
    package: str
    speed_grade: str
    clock_hz: int
    target_hz: int
    resources: Mapping[Resource, int]
    pins: Mapping[str, Pin] = field(repr=False)
    platform: str = ""

    @property
    def multiplier(self) -> str:
        """Cell name of the part's multiplier."""
        return self.family.multiplier

    @property
    def block_ram(self) -> str:
        """Cell name of the part's block RAM."""
        return self.family.block_ram


_ICEBREAKER = Board(
    name="icebreaker",
    title="1BitSquared iCEBreaker, iCE40UP5K",
    family=ICE40,
    part="iCE40UP5K-SG48",
    device="up5k",
    package="sg48",
    speed_grade="",
    clock_hz=12_000_000,
    target_hz=24_000_000,
    resources=MappingProxyType(
        {
            Resource.LOGIC: 5280,
            Resource.LUT: 5280,
            Resource.FF: 5280,
            Resource.CARRY: 5280,
            Resource.MULTIPLIER: 8,
            Resource.BLOCK_RAM: 30,
            Resource.SPRAM: 4,
        }
    ),
    pins=MappingProxyType(
        {
            "clk": Pin("35", "SB_LVCMOS"),
            "uart_rx": Pin("6", "SB_LVTTL"),
            "uart_tx": Pin("9", "SB_LVTTL"),
        }
    ),
    platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
)


def _ulx3s(size: str, luts: int, multipliers: int, block_rams: int, target_hz: int) -> Board:
    return Board(
        name=f"ulx3s-{size.lower()}",
        title=f"Radiona ULX3S, ECP5 LFE5U-{size}",
        family=ECP5,
        part=f"LFE5U-{size}-6BG381C",
        device=f"{size[:-1]}k",
        package="CABGA381",
        speed_grade="6",
        clock_hz=25_000_000,
        target_hz=target_hz,
        resources=MappingProxyType(
            {
                Resource.LUT: luts,
                Resource.FF: luts,
                Resource.CARRY: luts // 2,
                Resource.LUT_RAM: luts // 8,
                Resource.MULTIPLIER: multipliers,
                Resource.BLOCK_RAM: block_rams,
            }
        ),
        pins=MappingProxyType(
            {
                "clk": Pin("G2", "LVCMOS33"),
                "uart_rx": Pin("M1", "LVCMOS33"),
                "uart_tx": Pin("L4", "LVCMOS33"),
            }
        ),
        platform=f"amaranth_boards.ulx3s:ULX3S_{size}_Platform",
    )


#: Every supported board by name. Counts are those of nextpnr's device models.
BOARDS: Mapping[str, Board] = MappingProxyType(
    {
        board.name: board
        for board in (
            _ICEBREAKER,
            _ulx3s("25F", 24_288, 28, 56, 100_000_000),
            _ulx3s("45F", 43_848, 72, 108, 70_000_000),
            _ulx3s("85F", 83_640, 156, 208, 100_000_000),
        )
    }
)


def find_board(name: str) -> Board:
    """The board of that name.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest known one.
    """
    if name in BOARDS:
        return BOARDS[name]
    close = get_close_matches(name.lower(), list(BOARDS), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(BOARDS)}"
    raise ValueError(f"Unknown board {name!r}; {hint}")


def constraints(board: Board, ports: Mapping[str, str]) -> str:
    """Constraint file (PCF or LPF) that ties a design's ports to a board's pins.

    Parameters
    ----------
    ports : Mapping
        Name in :attr:`Board.pins` by name of the top module's port.

    Raises
    ------
    ValueError
        For a pin that the board does not name.
    """
    lines = []
    for port, name in ports.items():
        if name not in board.pins:
            raise ValueError(
                f"Board {board.name} names the pins {', '.join(board.pins)}, not {name!r}; "
                f"see {board.platform} for the others"
            )
        pin, family = board.pins[name], board.family
        lines.append(family.pin.format(port=port, site=pin.site, standard=pin.standard))
        if name == "clk":
            lines.append(family.clock.format(port=port, megahertz=board.clock_hz / 1e6))
    return "".join(lines)
