"""The chip's register bank: everything that the bus reaches."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.engine.engine import SAMPLE_READ_LATENCY
from zerotrain.gateware.storage.memory import address_bits
from zerotrain.gateware.storage.window import WindowPort
from zerotrain.gateware.wishbone import WishboneSignature
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import (
    IDENTIFIER,
    REGISTERS,
    VERSION,
    Error,
    Window,
    commands,
    register,
    windows,
)

__all__ = ["READ_LATENCY", "SETTINGS", "RegisterBank"]

#: Cycles from ``r_en`` to ``r_data`` of a window: those of the slowest, the lanes' samples.
READ_LATENCY = SAMPLE_READ_LATENCY

#: Registers that the bus sets and the chip only reads, in the order of their addresses.
SETTINGS = tuple(
    r for r in REGISTERS if r.access == "rw" and r.name not in ("command", "lfsr_lo", "lfsr_hi")
)


#: Registers whose words are read from a memory: constants, and what only the bus writes.
_STORED = ("identifier", "version", "config_hash", "command", *(r.name for r in SETTINGS))


class RegisterBank(wiring.Component):
    """Wishbone target with the registers and memory windows of :mod:`zerotrain.spec.registers`.

    Every access is acknowledged, whatever its address: the bus cannot hang. An access that no
    register or window answers, or a write that does not select all four byte lanes, is ignored,
    reads 0 and sets BAD_ADDRESS. Writes of read-only registers and of ``losses`` are ignored.

    Units see every setting all the time, in flip-flops; the bus reads it from a small memory that
    is written together with them, so that no wide multiplexer is needed. A reset keeps both.

    While a step runs, settings hold still: writing one is ignored and sets BUSY_ACCESS. A command
    while busy, or one that does not exist, is ignored and sets BAD_COMMAND.

    What an access does is decided in one cycle and done in the next, by registers: its effects are
    spread over the chip.

    Latency, counted in cycles from the first with ``cyc & stb`` to the one with ``ack``: 1 for
    writes and ``READ_LATENCY + 4`` for reads (on a compact chip one less), so a word takes 2 cycles
    to write and 14 (13) to read. A setting is on its output 3 cycles after that first cycle.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    bus : In(WishboneSignature())
    start : Out(1)
        One cycle high: begin the step in ``command``, which has been on its output for a cycle.
    command : Out(4)
        The last accepted command.
    busy : In(1)
        A step runs: high from the cycle after ``start`` to its end.
    running : Out(1)
        High from the acceptance of a command, before ``start``, to a cycle after the end of
        ``busy``. From a register. ``status`` follows from it.
    cycles, beats : In(64)
        Counters of the step, see the registers of these names.
    loss_stalls, correct : In(32)
        Likewise.
    saturated : In(8)
        Each cycle high sets the bit of that kind in ``saturation``.
    bad_program : In(1)
        Each cycle high sets BAD_PROGRAM in ``error``.
    lfsr : In(chip.lfsr_degree)
        State of the perturbation generator.
    lfsr_w_en, lfsr_w_data : Out(2), Out(32)
        Replace its low or high 32 bits.
    settings
        One output for each of :data:`SETTINGS` (``n_parameters`` ... ``program_cge``), under the
        register's name and with its width; 0 until written.
    of_training : Out(1)
        The access under way is to parameters or momentum. From a register.
    windows
        One ``Out(WindowPort(window))`` for each of ``spec.registers.windows(chip)``, by name.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._windows = windows(chip)
        super().__init__(
            {
                "bus": In(WishboneSignature()),
                "start": Out(1),
                "command": Out(register("command").width),
                "busy": In(1),
                "running": Out(1),
                "cycles": In(64),
                "beats": In(64),
                "loss_stalls": In(register("loss_stalls").width),
                "correct": In(register("correct").width),
                "saturated": In(register("saturation").width),
                "bad_program": In(1),
                "lfsr": In(chip.lfsr_degree),
                "lfsr_w_en": Out(2),
                "lfsr_w_data": Out(32),
                **{r.name: Out(r.width) for r in SETTINGS},
                "of_training": Out(1),
                **{name: Out(WindowPort(window)) for name, window in self._windows.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, ports = self.bus, {name: getattr(self, name) for name in self._windows}

        # The access under way. The bus is sampled once, so that what follows starts at registers.
        last = max(w.base // 4 + w.words for w in self._windows.values())
        adr = Signal(address_bits(last), reset_less=True)
        dat_w = Signal(32, reset_less=True)
        whole = Signal(reset_less=True)
        # Who answers is decided as the access is sampled, once.
        in_registers = Signal(reset_less=True)
        hits = {name: Signal(name=f"{name}_hit", reset_less=True) for name in ports}
        w_stb, r_stb = Signal(), Signal()

        request = Signal()
        m.d.comb += request.eq(bus.cyc & bus.stb & ~bus.ack)
        m.d.sync += [bus.ack.eq(0), w_stb.eq(0), r_stb.eq(0)]
        # A wide choice among words takes a cycle of its own, unless the clock is low.
        chosen = self._chip.timing.crossing
        waiting = Signal(range(READ_LATENCY + 3 + chosen))
        with m.If(request & (waiting == 0)):
            m.d.sync += [
                adr.eq(bus.adr),
                in_registers.eq(bus.adr < len(REGISTERS)),
                *(hit.eq(self._hit(bus.adr, self._windows[name])) for name, hit in hits.items()),
                dat_w.eq(bus.dat_w),
                whole.eq(bus.sel.all()),
            ]
            with m.If(bus.we):
                # Nothing can delay a write, so it is acknowledged while it is being done.
                m.d.sync += [w_stb.eq(1), bus.ack.eq(1)]
            with m.Else():
                m.d.sync += [r_stb.eq(1), waiting.eq(READ_LATENCY + 2 + chosen)]
        with m.Elif(waiting != 0):
            m.d.sync += waiting.eq(waiting - 1)
            with m.If(waiting == 1):
                m.d.sync += bus.ack.eq(1)
            # An initiator that gives up must not find this answer in its next access.
            with m.If(~request):
                m.d.sync += [bus.ack.eq(0), waiting.eq(0)]

        busy_access, bad_address, bad_command = Signal(), Signal(), Signal()
        known = Cat(in_registers, *hits.values()).any()
        m.d.comb += bad_address.eq((r_stb & ~known) | (w_stb & ~(known & whole)))

        m.d.comb += self.of_training.eq(hits["parameters"] | hits["momentum"])

        # Windows.
        r_granted = Signal(len(ports))
        refused = []
        for k, (name, port) in enumerate(ports.items()):
            m.d.comb += [port.addr.eq(adr), port.writing.eq(w_stb), port.w_data.eq(dat_w)]
            m.d.sync += port.r_en.eq(r_stb & hits[name] & port.granted)
            if name != "losses":
                m.d.sync += port.w_en.eq(w_stb & whole & hits[name] & port.granted)
            refused.append((r_stb | (w_stb & whole)) & hits[name] & ~port.granted)
            with m.If(r_stb):
                m.d.sync += r_granted[k].eq(hits[name] & port.granted)

        # Registers.
        write = w_stb & whole & in_registers
        values = self._live(m, write, adr, dat_w, bad_command)
        stored = self._stored(m, write & ~self.running, adr, dat_w)
        held = write & (adr >= SETTINGS[0].address // 4)
        m.d.comb += busy_access.eq(Cat(*refused).any() | (held & self.running))
        events = {
            Error.BAD_COMMAND: bad_command,
            Error.BUSY_ACCESS: busy_access,
            Error.BAD_ADDRESS: bad_address,
            Error.BAD_PROGRAM: self.bad_program,
        }
        for bit, event in events.items():
            happened = Signal(name=f"happened_{bit.name}")
            m.d.sync += happened.eq(event)
            with m.If(happened):
                m.d.sync += values["error"][bit.bit_length() - 1].eq(1)

        # Reads. Where a register is not stored, the memory holds zero.
        live_word, window_word = Signal(32), Signal(32)
        with m.Switch(adr[: address_bits(len(REGISTERS))]):
            for r in REGISTERS:
                if r.name not in _STORED:
                    with m.Case(r.address // 4):
                        m.d.comb += live_word.eq(values[r.name])
        with m.Switch(r_granted):
            for k, (name, port) in enumerate(ports.items()):
                with m.Case("".join("1" if b == k else "-" for b in reversed(range(len(ports))))):
                    m.d.comb += window_word.eq(
                        port.r_data.as_signed() if self._windows[name].signed else port.r_data
                    )
        live_word = pipe(m, live_word, chosen, "live", reset_less=True)
        window_word = pipe(m, window_word, chosen, "window", reset_less=True)
        with m.If(waiting == 1):
            m.d.sync += bus.dat_r.eq(Mux(in_registers, live_word | stored, window_word))
        return m

    def _hit(self, adr: Value, window: Window) -> Value:
        """Whether a word address meets a word of the window's memory."""
        bits = address_bits(window.words)
        found = (adr >> bits) == window.base // 4 >> bits
        if window.words < 1 << bits:
            found &= adr[:bits] < window.words
        # Each bank of samples takes a power of two of addresses, and may hold fewer rows.
        depth = {"samples": self._chip.sample_depth, "targets": self._chip.target_depth}
        rows = depth.get(window.name)
        if rows is not None and rows < 1 << address_bits(rows):
            found &= adr[: address_bits(rows)] < rows
        return found

    def _stored(self, m: Module, write: Value, adr: Value, dat_w: Value) -> Value:
        """What the memory holds for the register at ``adr``, a cycle later or two; else 0."""
        constants = {
            "identifier": IDENTIFIER,
            "version": VERSION,
            "config_hash": self._chip.config_hash,
        }
        m.submodules.stored = memory = Memory(
            shape=32, depth=len(REGISTERS), init=[constants.get(r.name, 0) for r in REGISTERS]
        )
        r, w = memory.read_port(), memory.write_port()
        m.d.comb += [r.addr.eq(adr), w.addr.eq(adr)]
        word, store = Signal(32, reset_less=True), Signal()
        m.d.comb += [w.data.eq(word), w.en.eq(store)]
        m.d.sync += store.eq(0)
        # Words are read long after they were written: an access takes cycles.
        settings = (register("command"), *SETTINGS)
        accepted = [Signal(name=f"{setting.name}_accepted") for setting in settings]
        for setting, accepts in zip(settings, accepted, strict=True):
            held = Signal(setting.width, name=f"{setting.name}_held", reset_less=True)
            m.d.sync += accepts.eq(0)
            m.d.comb += getattr(self, setting.name).eq(held)
            with m.If(accepts):
                m.d.sync += held.eq(dat_w)
        with m.Switch(adr[: address_bits(len(REGISTERS))]):
            for setting, accepts in zip(settings, accepted, strict=True):
                with m.Case(setting.address // 4):
                    takes = write
                    if setting.name == "command":
                        takes &= self._known_command(dat_w)
                    m.d.sync += [
                        word.eq(dat_w[: setting.width]), store.eq(takes), accepts.eq(takes)
                    ]  # fmt: skip
        # Registered again: block RAM is slow.
        return pipe(m, r.data, self._chip.timing.crossing, "stored", reset_less=True)

    def _known_command(self, dat_w: Value) -> Value:
        width = register("command").width
        return Cat(dat_w[:width] == c for c in commands(self._chip)).any()

    def _live(
        self,
        m: Module,
        write: Value,
        adr: Signal,
        dat_w: Signal,
        bad_command: Signal,
    ) -> dict[str, Value]:
        """What the registers outside ``_STORED`` read, by name; makes those that are written."""
        accepted = Signal()
        error = Signal(register("error").width)
        saturation = Signal(register("saturation").width)
        command = write & (adr == register("command").address // 4)
        begins = command & ~self.running & self._known_command(dat_w)
        m.d.comb += bad_command.eq(command & ~begins)
        # From here to the end of the step, so that no access meets a chip that only seems idle.
        starting = Signal(2)
        m.d.sync += [
            Cat(starting, self.start).eq(Cat(begins, starting)),
            self.running.eq(begins | starting.any() | self.start | self.busy),
            accepted.eq(accepted | begins),
        ]

        clears = {name: Signal(name=f"clears_{name}") for name in ("error", "saturation")}
        for name, clear in clears.items():
            m.d.sync += clear.eq(write & (adr == register(name).address // 4))
        with m.If(clears["error"]):
            m.d.sync += error.eq(error & ~dat_w)
        # Clearing a bit that an event sets in the same cycle leaves it set.
        m.d.sync += saturation.eq(
            (saturation & ~Mux(clears["saturation"], dat_w, 0)) | self.saturated
        )
        m.d.comb += self.lfsr_w_data.eq(dat_w)
        for k, name in enumerate(("lfsr_lo", "lfsr_hi")):
            m.d.sync += self.lfsr_w_en[k].eq(
                write & ~self.running & (adr == register(name).address // 4)
            )

        return {
            # Every accepted command ends, so the chip is either busy or done from the first one on.
            "status": Cat(self.running, accepted & ~self.running),
            "error": error,
            "saturation": saturation,
            "cycles_lo": self.cycles[:32],
            "cycles_hi": self.cycles[32:],
            "beats_lo": self.beats[:32],
            "beats_hi": self.beats[32:],
            "loss_stalls": self.loss_stalls,
            "correct": self.correct,
            "lfsr_lo": self.lfsr[:32],
            "lfsr_hi": self.lfsr[32:],
        }
