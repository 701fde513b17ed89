"""What the cocotb test benches run on; tests and benches import it alike."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from zerotrain.compiler.planner import chip_for, plan
from zerotrain.gateware.engine.engine import Engine
from zerotrain.gateware.update.perturb import Perturb
from zerotrain.gateware.variants import lane_array, loss_unit, update_unit
from zerotrain.spec.network import Activation, Layer, Network, dense

__all__ = ["CHIP", "NETWORK", "PLAN", "Units"]

#: Two layers, ranks, biases, a mode of size 1 and an activation: every kind of instruction, merging
#: on the lanes included.
NETWORK = Network(
    (Layer((2, 3, 1), (2, 1, 3), (2, 2), True, Activation.RELU), dense(6, 3, bias=True)),
    name="bench",
)
PLAN = plan(NETWORK, chip_for(NETWORK, lanes=3, batch=9, queries=16, merge_depth=0), batch=9)
CHIP = PLAN.chip


class Units(wiring.Component):
    """The chip's units side by side, their ports at the top: one build for all their benches.

    Engine and loss unit are wired together as in the chip; what passes between them is visible at
    the engine's outputs.
    """

    def __init__(self) -> None:
        self._units: dict[str, Any] = {
            "perturb": Perturb(CHIP),
            "update": update_unit(CHIP),
            "engine": Engine(CHIP, lane_array(CHIP)),
            "loss": loss_unit(CHIP),
        }
        ports: dict[str, Any] = {}
        for name, unit in self._units.items():
            for member, port in unit.signature.members.items():
                if name == "loss" and member in ("logits", "reserve_base", "reserve_delta"):
                    continue
                if name == "engine" and member in ("base_free", "delta_free"):
                    continue
                ports[f"{name}_{member}"] = port
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, unit in self._units.items():
            m.submodules[name] = unit
            for member, port in unit.signature.members.items():
                if f"{name}_{member}" not in self.signature.members:
                    continue
                outer, inner = getattr(self, f"{name}_{member}"), getattr(unit, member)
                if port.is_signature:
                    wiring.connect(m, wiring.flipped(outer), inner)
                elif port.flow == In:
                    m.d.comb += inner.eq(outer)
                else:
                    m.d.comb += outer.eq(inner)
        engine, loss = self._units["engine"], self._units["loss"]
        for name in ("en", "delta", "index", "data", "last"):
            m.d.comb += getattr(loss.logits, name).eq(getattr(engine.logits, name))
        for name in ("reserve_base", "reserve_delta"):
            m.d.comb += getattr(loss, name).eq(getattr(engine, name))
        for name in ("base_free", "delta_free"):
            m.d.comb += getattr(engine, name).eq(getattr(loss, name))
        return m
