"""Parameters and momentum in memories of their own; samples are with the lanes."""

from amaranth import Module
from amaranth.lib import wiring

from zerotrain.gateware.storage.shared import SharedMemory
from zerotrain.gateware.storage.store import Store

__all__ = ["SeparateStore"]


class SeparateStore(Store):
    """Two memories that units share, in block RAM or, as far as ``Chip.spram_columns`` says, SPRAM.

    Golden model: none, it only keeps words.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        for name, memory_name, width, readers in (
            ("parameters", "parameter", chip.formats.weight.width, 2),
            ("momentum", "momentum", chip.formats.momentum.width, 1),
        ):
            depth = chip.parameter_depth
            m.submodules[f"{memory_name}_memory"] = memory = SharedMemory(
                chip, self._windows[name], width=width, depth=depth,
                columns=chip.spram_columns(memory_name, depth, width), readers=readers,
            )  # fmt: skip
            m.d.comb += memory.idle.eq(self.idle)
            wiring.connect(m, wiring.flipped(getattr(self, name)), memory.host)
            if name == "parameters":
                m.d.comb += memory.active[0].eq(self.updating)
                wiring.connect(m, wiring.flipped(self.theta), memory.read[0])
                wiring.connect(m, wiring.flipped(self.perturbed), memory.read[1])
                wiring.connect(m, wiring.flipped(self.theta_w), memory.write[0])
            else:
                wiring.connect(m, wiring.flipped(self.momentum_r), memory.read[0])
                wiring.connect(m, wiring.flipped(self.momentum_w), memory.write[0])
        self._samples_with_lanes(m)
        return m
