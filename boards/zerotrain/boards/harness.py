"""A wrapper of five pins, to route designs that have more ports than a package has pins.

The design's inputs come from one shift register and its outputs go into another. Every path of
the design then starts and ends in a register and nothing of it can be optimised away.
"""

from collections.abc import Mapping

from amaranth import Shape
from amaranth.lib import wiring

__all__ = ["HARNESS", "INSTANCE", "Ports", "component_ports", "harness"]

#: Name of the wrapper module.
HARNESS = "zerotrain_harness"
#: Name of the design in it.
INSTANCE = "dut"

#: Direction ("input", "output") and width of ports by name.
Ports = Mapping[str, tuple[str, int]]


def component_ports(component: wiring.Component) -> Ports:
    """Ports of a component's Verilog module; it is in the ``sync`` domain."""
    ports = {"clk": ("input", 1), "rst": ("input", 1)}
    for path, member, _ in component.signature.flatten(component):
        direction = "input" if member.flow == wiring.In else "output"
        ports["__".join(map(str, path))] = (direction, Shape.cast(member.shape).width)
    return ports


def harness(ports: Ports, top: str, *, clock: str = "clk") -> str:
    """Verilog of a wrapper module around a design.

    Parameters
    ----------
    ports : mapping
        The design's ports.
    top : str
        Name of the design's module.
    clock : str
        Name of its clock port.

    Raises
    ------
    ValueError
        If the design has no such clock, or ports that are neither inputs nor outputs.
    """
    widths: dict[str, dict[str, int]] = {"input": {}, "output": {}}
    for name, (direction, width) in ports.items():
        if direction not in widths:
            raise ValueError(f"Ports are inputs or outputs; {name!r} of {top} is neither")
        widths[direction][name] = width
    inputs, outputs = widths["input"], widths["output"]
    if inputs.pop(clock, None) is None:
        raise ValueError(f"Module {top} has no clock port {clock!r}; its inputs: {list(inputs)}")
    n_in, n_out = max(1, sum(inputs.values())), max(1, sum(outputs.values()))
    connections = [f"    .{clock}(clk)"]
    for register, members in (("stimulus", inputs), ("response", outputs)):
        offset = 0
        for name, width in members.items():
            connections.append(f"    .\\{name} ({register}[{offset + width - 1}:{offset}])")
            offset += width
    listed = ",\n".join(connections)
    return f"""
module {HARNESS}(input clk, input shift_in, input shift, input capture, output shift_out);
  reg [{n_in - 1}:0] stimulus;
  reg [{n_out - 1}:0] captured;
  wire [{n_out - 1}:0] response;
  always @(posedge clk) begin
    if (shift) stimulus <= {{stimulus, shift_in}};
    captured <= capture ? response : {{captured, 1'b0}};
  end
  assign shift_out = captured[{n_out - 1}];
  {top} {INSTANCE} (
{listed}
  );
endmodule
"""
