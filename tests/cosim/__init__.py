"""Test benches on generated Verilog."""
