"""Where samples and the state of the training are: what every store offers."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from zerotrain.gateware.arithmetic import pipe
from zerotrain.gateware.storage.batch import batch_place
from zerotrain.gateware.storage.memory import ReadPort, WritePort, address_bits
from zerotrain.gateware.storage.window import WindowPort
from zerotrain.spec.chip import Chip
from zerotrain.spec.registers import windows

__all__ = ["LanePort", "SamplePort", "Store"]


class LanePort(wiring.Signature):
    """What the engine reads and writes in a store that holds samples and pre-activations.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    row : Out
        From a register.
    words : In(ArrayLayout(unsigned(input width), lanes))
        The row's words, a cycle later, if nothing was written meanwhile.
    en : Out(1)
        Write the word of a lane. Those of a row follow one another, lane 0 first.
    write_row, lane, word : Out
    """

    def __init__(self, chip: Chip) -> None:
        rows, width = address_bits(chip.preact_rows), chip.formats.input.width
        super().__init__(
            {
                "row": Out(rows),
                "words": In(data.ArrayLayout(width, chip.lanes)),
                "en": Out(1),
                "write_row": Out(rows),
                "lane": Out(range(chip.lanes)),
                "word": Out(width),
            }
        )


class Store(wiring.Component):
    """Parameters, momentum and samples, as the host and the units see them.

    The host has everything while the chip is idle, and the bank of samples that no step works on at
    any time. Units that work with parameters do so while no other does. The update unit of a
    pipelined chip reads a momentum word and a parameter at different addresses in the same cycle,
    that of a compact chip at one; no update writes both in the same cycle.

    Words of parameters are read ``chip.timing.read_latency`` cycles after their address and written
    ``chip.timing.crossing`` cycles after they are told; the host's may come later, see
    :class:`~zerotrain.gateware.storage.window.WindowPort`. A store without samples has them handed
    on by :meth:`_samples_with_lanes`; one with them leaves ``sample_w`` idle.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    idle : In(1)
        The chip is idle.
    bank : In(1)
        The bank of samples that a step works on.
    updating, perturbing : In(1)
        The update unit has the parameters; the perturbation has them.
    of_training : In(1)
        The host means parameters or momentum, not samples.
    parameters, momentum, samples : In(WindowPort)
        The host's windows.
    perturbed : In(ReadPort)
        Parameters, for the perturbation.
    theta, theta_w, momentum_r, momentum_w : In(ReadPort), In(WritePort)
        Parameters and momentum words, for the update unit.
    lanes : In(LanePort(chip))
        For the engine, where samples are not in memories of its own.
    sample_w, sample_read, sample
        To the engine, where they are: see :class:`~zerotrain.gateware.engine.engine.Engine`.
    """

    idle: Signal
    bank: Signal
    updating: Signal
    perturbing: Signal
    of_training: Signal
    parameters: wiring.PureInterface
    momentum: wiring.PureInterface
    samples: wiring.PureInterface
    perturbed: wiring.PureInterface
    theta: wiring.PureInterface
    theta_w: wiring.PureInterface
    momentum_r: wiring.PureInterface
    momentum_w: wiring.PureInterface
    lanes: wiring.PureInterface
    sample_w: wiring.PureInterface
    sample_read: Signal
    sample: Signal

    def __init__(self, chip: Chip) -> None:
        self._chip, self._windows = chip, windows(chip)
        bits, f = address_bits(chip.parameter_depth), chip.formats
        theta, momentum = signed(f.weight.width), signed(f.momentum.width)
        super().__init__(
            {
                "idle": In(1),
                "bank": In(1),
                "updating": In(1),
                "perturbing": In(1),
                "of_training": In(1),
                "parameters": In(WindowPort(self._windows["parameters"])),
                "momentum": In(WindowPort(self._windows["momentum"])),
                "samples": In(WindowPort(self._windows["samples"])),
                "perturbed": In(ReadPort(bits, theta)),
                "theta": In(ReadPort(bits, theta)),
                "theta_w": In(WritePort(bits, theta)),
                "momentum_r": In(ReadPort(bits, momentum)),
                "momentum_w": In(WritePort(bits, momentum)),
                "lanes": In(LanePort(chip)),
                "sample_w": Out(SamplePort(chip)),
                "sample_read": Out(1),
                "sample": In(signed(f.input.width)),
            }
        )

    def _samples_with_lanes(self, m: Module) -> None:
        """Hand the host's samples on to the engine: for stores that do not hold them."""
        chip = self._chip
        lane, row = batch_place(m, chip, self.samples, chip.sample_depth, self.idle, self.bank)
        told = (self.samples.w_en, lane, row, self.samples.w_data)
        en, lane, row, word = (
            pipe(m, value, chip.timing.crossing, f"sample_{k}") for k, value in enumerate(told)
        )
        m.d.comb += [
            self.sample_w.en.eq(en),
            self.sample_w.lane.eq(lane),
            self.sample_w.row.eq(row),
            self.sample_w.data.eq(word),
            self.sample_read.eq(self.idle),
            self.samples.r_data.eq(self.sample),
        ]


class SamplePort(wiring.Signature):
    """A sample that the host writes.

    Parameters
    ----------
    chip : Chip

    Members
    -------
    en : Out(1)
    lane : Out(range(lanes))
    row : Out
        Of all banks.
    data : Out
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(
            {
                "en": Out(1),
                "lane": Out(range(chip.lanes)),
                "row": Out(address_bits(chip.sample_rows)),
                "data": Out(chip.formats.input.width),
            }
        )
