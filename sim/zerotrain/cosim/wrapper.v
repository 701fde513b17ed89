// Top module of the in-process simulation. Two things make it fast: reset is tied off, for registers
// start at their initial values, and build.py takes out the chip's register behind the pin, so that
// reset vanishes from all others; and the bus inputs come from registers, so that no logic of the
// chip hangs on ports that Verilator would have to look at twice a cycle. They change at the falling
// edge: for the chip's rising edge nothing is delayed.
module wrapper(
  input clk,
  input [29:0] bus__adr, input [31:0] bus__dat_w, output [31:0] bus__dat_r, input [3:0] bus__sel,
  input bus__cyc, input bus__stb, input bus__we, output bus__ack
);
  reg [29:0] adr = 0;
  reg [31:0] dat_w = 0;
  reg [3:0] sel = 0;
  reg cyc = 0, stb = 0, we = 0;
  always @(negedge clk) begin
    adr <= bus__adr;
    dat_w <= bus__dat_w;
    sel <= bus__sel;
    cyc <= bus__cyc;
    stb <= bus__stb;
    we <= bus__we;
  end
  top chip(
    .clk(clk), .rst(1'b0),
    .bus__adr(adr), .bus__dat_w(dat_w), .bus__dat_r(bus__dat_r), .bus__sel(sel),
    .bus__cyc(cyc), .bus__stb(stb), .bus__we(we), .bus__ack(bus__ack)
  );
endmodule
