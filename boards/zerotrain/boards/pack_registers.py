"""Move registers into ECP5's multipliers and block RAMs.

Yosys infers neither the registers before and behind a MULT18X18D nor those behind a DP16KD's
outputs. The gateware has registers in just these places; this pass takes them out of the fabric.
The netlist computes the same, cycle by cycle, from the second cycle after configuration on: until
then a register holds 0, even if its input is constant.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

__all__ = ["pack_registers"]

_Cell = MutableMapping[str, Any]
#: A net of Yosys' JSON: a number, or the text "0", "1", "x" for a constant.
_Bit = int | str


def pack_registers(netlist: MutableMapping[str, Any]) -> int:
    """Pack all registers that fit, in place.

    A register fits if it has neither enable nor reset, and a block takes all of the registers of a
    port (both factors of a multiplier) or none. One that also feeds other cells stays beside its
    packed copy.

    Parameters
    ----------
    netlist : mapping
        Yosys' JSON netlist of a flattened design for ECP5.

    Returns
    -------
    int
        Flip-flops that the netlist has lost.
    """
    removed = 0
    for module in netlist["modules"].values():
        if "blackbox" not in module["attributes"]:
            removed += _Packer(module).run()
    return removed


class _Packer:
    """One module."""

    def __init__(self, module: MutableMapping[str, Any]) -> None:
        self.cells: MutableMapping[str, _Cell] = module["cells"]
        #: Register that drives a net.
        self.source: dict[_Bit, str] = {}
        #: Cells and ports that a net feeds; a port of the module is a load without a cell.
        self.loads: dict[_Bit, list[tuple[str, str]]] = {}
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    for bit in bits:
                        self.loads.setdefault(bit, []).append((name, port))
            if cell["type"] == "TRELLIS_FF":
                self.source[cell["connections"]["Q"][0]] = name
        for port in module["ports"].values():
            for bit in port["bits"]:
                self.loads.setdefault(bit, []).append(("", ""))

    def run(self) -> int:
        before = len(self.cells)
        multipliers = [c for c in self.cells.items() if c[1]["type"] == "MULT18X18D"]
        memories = [c for c in self.cells.items() if c[1]["type"] == "DP16KD"]
        for name, cell in multipliers:
            self._multiplier(name, cell)
        for _, cell in memories:
            self._memory(cell)
        return before - len(self.cells)

    def _multiplier(self, name: str, cell: _Cell) -> None:
        pins = cell["connections"]
        factors = [port for port in pins if port[0] in "AB" and port[1:].isdigit()]
        registers = {port: self._register_at(pins[port][0]) for port in factors}
        clocks = {self.cells[r]["connections"]["CLK"][0] for r in registers.values() if r}
        variable = all(r or pins[port][0] in ("0", "1") for port, r in registers.items())
        if variable and len(clocks) == 1:
            for port, register in registers.items():
                if register:
                    self._take_before(name, port, register)
            self._clock(cell, clocks.pop(), ("INPUTA", "INPUTB"))
        clock = self._take_behind(cell, (p for p in pins if p[0] == "P" and p[1:].isdigit()))
        if clock is not None:
            self._clock(cell, clock, ("OUTPUT",))

    def _clock(self, cell: _Cell, clock: _Bit, registers: Iterable[str]) -> None:
        for port, bit in (("CLK0", clock), ("CE0", "1"), ("RST0", "0")):
            cell["connections"][port] = [bit]
            cell["port_directions"][port] = "input"
        for register in registers:
            cell["parameters"] |= {
                f"REG_{register}_CLK": "CLK0",
                f"REG_{register}_CE": "CE0",
                f"REG_{register}_RST": "RST0",
            }

    def _memory(self, cell: _Cell) -> None:
        pins, parameters = cell["connections"], cell["parameters"]
        # A word of 36 bits takes the outputs of both sides, and is read by side B.
        wide = int(parameters.get("DATA_WIDTH_A", "0"), 2) == 36
        for sides in ("AB",) if wide else ("A", "B"):
            outputs = [p for p in pins if p[:2] == "DO" and p[2] in sides]
            free = pins.get(f"OCE{sides[-1]}", ["1"]) == ["1"] and all(
                parameters.get(f"REGMODE_{side}", "NOREG") == "NOREG"
                and pins.get(f"RST{side}", ["0"]) == ["0"]
                for side in sides
            )
            clock = pins.get(f"CLK{sides[-1]}", [None])[0]
            if free and self._take_behind(cell, outputs, clock) is not None:
                parameters |= {f"REGMODE_{side}": "OUTREG" for side in sides}

    def _is_plain(self, name: str) -> bool:
        """Whether a cell is a register that loads its input in every cycle."""
        cell = self.cells.get(name, {"type": ""})
        if cell["type"] != "TRELLIS_FF" or cell["attributes"].get("keep"):
            return False
        pins, parameters = cell["connections"], cell["parameters"]
        return (
            "DI" in pins
            and parameters.get("CLKMUX", "CLK") == "CLK"
            and parameters.get("REGSET", "RESET") == "RESET"
            and (parameters.get("CEMUX", "1").strip() == "1" or pins.get("CE") == ["1"])
            and pins.get("LSR", ["0"]) == ["0"]
        )

    def _register_at(self, bit: _Bit) -> str | None:
        name = self.source.get(bit, "")
        return name if self._is_plain(name) else None

    def _take_before(self, name: str, port: str, register: str) -> None:
        """Connect a port to what its register would load; drop a register without loads."""
        pins = self.cells[register]["connections"]
        out, data = pins["Q"][0], pins["DI"][0]
        self.cells[name]["connections"][port] = [data]
        self.loads[out].remove((name, port))
        self.loads.setdefault(data, []).append((name, port))
        if not self.loads[out]:
            self._drop(register)

    def _take_behind(
        self, cell: _Cell, ports: Iterable[str], clock: _Bit | None = None
    ) -> _Bit | None:
        """Let outputs drive what their registers drive, if each feeds one register and no more."""
        taken = list(self._registers_behind(cell, ports))
        clocks = {self.cells[r]["connections"]["CLK"][0] if r else None for _, r in taken}
        if len(clocks) != 1 or None in clocks or (clock is not None and clock not in clocks):
            return None
        for port, register in taken:
            cell["connections"][port] = self.cells[register]["connections"]["Q"]
            self._drop(register)
        return clocks.pop()

    def _registers_behind(self, cell: _Cell, ports: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Used outputs and their registers, "" for an output that feeds anything else."""
        for port in ports:
            loads = self.loads.get(cell["connections"][port][0], [])
            if loads:
                (name, pin), *others = loads
                yield port, name if pin == "DI" and not others and self._is_plain(name) else ""

    def _drop(self, register: str) -> None:
        pins = self.cells.pop(register)["connections"]
        self.loads[pins["DI"][0]].remove((register, "DI"))
        del self.source[pins["Q"][0]]
