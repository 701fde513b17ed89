"""Parameters and momentum in memories of their own; samples are with the lanes."""

from amaranth import Module
from amaranth.lib import wiring

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.batch import batch_place
from zerotrain.gateware.storage.memory import crossing
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
                wiring.connect(m, wiring.flipped(self.copied), memory.read[1])
                wiring.connect(m, wiring.flipped(self.theta_w), memory.write[0])
            else:
                wiring.connect(m, wiring.flipped(self.velocity), memory.read[0])
                wiring.connect(m, wiring.flipped(self.velocity_w), memory.write[0])

        lane, row = batch_place(m, chip, self.samples, chip.sample_depth, self.idle, self.bank)
        told = (self.samples.w_en, lane, row, self.samples.w_data)
        en, lane, row, word = (
            pipe(m, value, crossing(chip), f"sample_{k}") for k, value in enumerate(told)
        )
        m.d.comb += [
            self.sample_w.en.eq(en),
            self.sample_w.lane.eq(lane),
            self.sample_w.row.eq(row),
            self.sample_w.data.eq(word),
            self.sample_read.eq(self.idle),
            self.samples.r_data.eq(self.sample),
        ]
        return m
