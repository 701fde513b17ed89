"""What sets one FPGA family apart from another, as a record."""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Family", "Resource"]


class Resource(StrEnum):
    """What a part has a limited number of."""

    LOGIC = "logic cell"  # LUT, carry and flip-flop together
    LUT = "LUT4"
    FF = "flip-flop"
    CARRY = "carry"
    LUT_RAM = "LUT RAM"
    MULTIPLIER = "multiplier"
    BLOCK_RAM = "block RAM"
    SPRAM = "SPRAM"  # large, single port


def _leave(netlist: MutableMapping[str, Any]) -> int:
    return 0


def _do_not_plan(netlist: MutableMapping[str, Any], device: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An FPGA family with an open tool flow.

    Parameters
    ----------
    name : str
        In the words of nextpnr.
    multiplier, block_ram : str
        Cell names, for people.
    cells : Mapping
        How much of each resource a cell takes, by the beginning of its type.
    logic_cells : callable, optional
        :attr:`Resource.LOGIC` that the cells of a module take, where wires decide it.
    operand_bits : int
        Bits of the operands of one multiplier.
    blocks : callable
        Block RAMs that Yosys uses for a memory of a depth, a width, and bits written apart; 0 where
        it prefers logic.
    dual_port : bool
        Both ports of a block RAM read, and one of them writes too.
    lanes_merge : bool
        Parts have no room for a second sequencer and a second bank of weights.
    synthesis : str
        Yosys' command and its options.
    pack : callable
        Packs registers of a flattened netlist into blocks, in place: how many flip-flops it loses.
    constraint_form : str
        nextpnr's word for the format of constraints.
    pin, clock : str
        Lines of such a file, with ``port``, ``site``, ``standard``, ``megahertz``.
    bitstream : tuple of str
        nextpnr's option for the routed design, and the ending of that file's name.
    route_options : tuple of str
        What nextpnr is told besides.
    floorplan : callable
        Ties cells of a netlist to places on a device's die, in place.
    not_modelled : tuple of str
        What nextpnr's figures leave out.
    cell_names : tuple of str
        How Yosys' cell names go on behind the signal that a cell drives or serves.
    """

    name: str
    multiplier: str
    block_ram: str
    cells: Mapping[Resource, Mapping[str, int]] = field(repr=False)
    logic_cells: Callable[[Mapping[str, Any]], int] | None = None
    operand_bits: int
    blocks: Callable[[int, int, int], int]
    dual_port: bool
    lanes_merge: bool
    synthesis: str
    pack: Callable[[MutableMapping[str, Any]], int] = _leave
    constraint_form: str
    pin: str
    clock: str
    bitstream: tuple[str, str]
    route_options: tuple[str, ...] = ()
    floorplan: Callable[[MutableMapping[str, Any], str], object] = _do_not_plan
    not_modelled: tuple[str, ...]
    cell_names: tuple[str, ...]

    def __str__(self) -> str:
        return self.name
