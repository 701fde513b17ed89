"""One single-port memory for samples, pre-activations and the state of the training."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.storage.memory import address_bits
from zerotrain.gateware.storage.store import LanePort
from zerotrain.spec.chip import COMMON_PART, Chip

__all__ = ["CommonMemory"]


class CommonMemory(wiring.Component):
    """Samples, pre-activations, parameters and momentum of a chip with ``Store.COMMON``.

    Each row holds a word of every lane: samples from row 0 on, pre-activations from
    ``chip.preact_base`` on. From row ``chip.training_base`` on, a row holds a parameter and its
    momentum word. The memory reads or writes in a cycle, in parts of four bits: SPRAM of the
    iCE40UP5K. Of a lane's word, the higher bits fill parts of their own. The rest of it, less than
    four bits, shares a part with that of neighbours, as many as fit, which is written whole: theirs
    come from the row that the host has just read, or from those that the engine has just written.

    Latency: words are read a cycle after their address, and stay while something is written. They
    are undefined until they are written themselves.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    idle : In(1)
        The host has the memory, not the units.
    training : In(1)
        The row of the training is meant, not that of the lanes.
    lanes : In(LanePort(chip))
    sample_row, sample_lane : In
        The host's sample. They hold still from the cycle before ``sample_en``.
    sample_en, sample_data : In
        Write it.
    sample : Out(signed)
        Read it.
    index : In
        Of a parameter.
    theta, momentum : Out(signed)
        That parameter and its momentum word.
    theta_en, theta_data, momentum_en, momentum_data : In
        Write them.
    """

    idle: Signal
    training: Signal
    lanes: wiring.PureInterface
    sample_row: Signal
    sample_lane: Signal
    sample_en: Signal
    sample_data: Signal
    sample: Signal
    index: Signal
    theta: Signal
    momentum: Signal
    theta_en: Signal
    theta_data: Signal
    momentum_en: Signal
    momentum_data: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        f = chip.formats
        theta, momentum = signed(f.weight.width), signed(f.momentum.width)
        super().__init__(
            {
                "idle": In(1),
                "training": In(1),
                "lanes": In(LanePort(chip)),
                "sample_row": In(address_bits(chip.sample_rows)),
                "sample_lane": In(range(chip.lanes)),
                "sample_en": In(1),
                "sample_data": In(f.input.width),
                "sample": Out(signed(f.input.width)),
                "index": In(address_bits(chip.parameter_depth)),
                "theta": Out(theta),
                "momentum": Out(momentum),
                "theta_en": In(1),
                "theta_data": In(theta),
                "momentum_en": In(1),
                "momentum_data": In(momentum),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chip = self._chip
        depth = chip.training_base + chip.parameter_depth
        m.submodules.spram = memory = Memory(
            shape=chip.common_width, depth=depth, init=[], attrs={"ram_style": "huge"}
        )
        read, write = memory.read_port(), memory.write_port(granularity=COMMON_PART)

        lane_data, lane_mask = self._lanes(m, read.data)
        data, mask = self._training(m, read.data)
        parts = max(len(lane_mask), len(mask))
        row = Mux(self.idle, self.sample_row, self.lanes.row)
        row = Mux(self.lanes.en, self.lanes.write_row, row)
        address = Signal(len(read.addr))
        m.d.comb += [
            address.eq(Mux(self.training, self.index | chip.training_base, row)),
            read.addr.eq(address),
            read.en.eq(~Cat(self.lanes.en, self.sample_en, self.theta_en, self.momentum_en).any()),
            write.addr.eq(address),
            write.data.eq(Mux(self.training, data, lane_data)),
            write.en.eq(_extended(lane_mask, parts) | _extended(mask, parts)),
        ]
        return m

    def _lanes(self, m: Module, row: Value) -> tuple[Value, Value]:
        """Find the lanes' words in the row that was read; the one that is written, and where."""
        chip, port = self._chip, self.lanes
        own, rest = divmod(chip.formats.input.width, COMMON_PART)
        together = COMMON_PART // rest if rest else 1
        first_shared = chip.lanes * own * COMMON_PART
        groups = -(-chip.lanes // together)
        shared = [row[first_shared + k * COMMON_PART :][:COMMON_PART] for k in range(groups)]
        words = []
        for lane in range(chip.lanes):
            group, place = divmod(lane, together)
            low = shared[group][place * rest :][:rest]
            words.append(Cat(low, row[lane * own * COMMON_PART :][: own * COMMON_PART]))
        m.d.comb += [port.words.eq(Cat(words)), self.sample.eq(Array(words)[self.sample_lane])]

        lane = Mux(self.idle, self.sample_lane, port.lane)
        word = Mux(self.idle, self.sample_data, port.word)
        enable = self.sample_en | port.en
        data = word[rest:].replicate(chip.lanes)
        mask = Cat((enable & (lane == k)).replicate(own) for k in range(chip.lanes))
        if not rest:
            return data, mask
        group, place = lane // together, lane % together
        held, part = (Signal(COMMON_PART, name=name) for name in ("held", "part"))
        m.d.comb += part.eq(Mux(self.idle, Array(shared)[group], held))
        for k in range(together):
            with m.If(place == k):
                m.d.comb += part[k * rest : (k + 1) * rest].eq(word[:rest])
        with m.If(port.en):
            m.d.sync += held.eq(part)
        hits = Cat(enable & (group == k) for k in range(groups))
        return Cat(data, part.replicate(groups)), Cat(mask, hits)

    def _training(self, m: Module, row: Value) -> tuple[Value, Value]:
        """Find parameter and momentum, each from a part on; what is written, and where."""
        theta, momentum = (-(-len(word) // COMMON_PART) for word in (self.theta, self.momentum))
        first = theta * COMMON_PART
        m.d.comb += [
            self.theta.eq(row[: len(self.theta)]),
            self.momentum.eq(row[first : first + len(self.momentum)]),
        ]
        data = Cat(_extended(self.theta_data, first), self.momentum_data)
        return data, Cat(self.theta_en.replicate(theta), self.momentum_en.replicate(momentum))


def _extended(value: Value, width: int) -> Value:
    """With zeros above."""
    return Cat(value, Const(0, width - len(value)))
