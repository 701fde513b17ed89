"""Samples, pre-activations, parameters and momentum in one memory, and who has it."""

from amaranth import Module, Mux
from amaranth.lib import wiring

from zerotrain.gateware.storage.batch import batch_place
from zerotrain.gateware.storage.common_memory import CommonMemory
from zerotrain.gateware.storage.store import Store

__all__ = ["CommonStore"]


class CommonStore(Store):
    """One memory for everything; see :class:`~.common_memory.CommonMemory`.

    Units that work with parameters do so while the engine rests. The update unit has one address
    for a parameter and its momentum word, the register bank one for all windows.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        m.submodules.common_memory = memory = CommonMemory(chip)
        wiring.connect(m, wiring.flipped(self.lanes), memory.lanes)
        lane, row = batch_place(m, chip, self.samples, chip.sample_depth, self.idle, self.bank)
        index = Mux(self.updating, self.theta.addr, self.perturbed.addr)
        m.d.comb += [
            memory.idle.eq(self.idle),
            memory.sample_row.eq(row),
            memory.sample_lane.eq(lane),
            memory.sample_en.eq(self.samples.w_en),
            memory.sample_data.eq(self.samples.w_data),
            self.samples.r_data.eq(memory.sample),
            memory.training.eq(Mux(self.idle, self.of_training, self.updating | self.perturbing)),
            memory.index.eq(Mux(self.idle, self.parameters.addr, index)),
            self.perturbed.data.eq(memory.theta),
        ]
        for name, host, user, user_w in (
            ("theta", self.parameters, self.theta, self.theta_w),
            ("momentum", self.momentum, self.momentum_r, self.momentum_w),
        ):
            word = getattr(memory, name)
            m.d.comb += [
                host.granted.eq(self.idle),
                host.r_data.eq(word),
                user.data.eq(word),
                getattr(memory, f"{name}_en").eq(user_w.en | host.w_en),
                getattr(memory, f"{name}_data").eq(Mux(user_w.en, user_w.data, host.w_data)),
            ]
        return m
