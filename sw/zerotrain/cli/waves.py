"""``zerotrain waves``: training steps of the simulated chip as waveforms."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from zerotrain.cli.target import build_folder
from zerotrain.config.config import Config
from zerotrain.cosim.probes import probes
from zerotrain.cosim.tools import require_tools
from zerotrain.cosim.traced import TracedChip
from zerotrain.cosim.viewers import viewer_files
from zerotrain.data import load_for
from zerotrain.host.driver import STEP_TIMEOUT, Driver, StepResult
from zerotrain.host.folder import RunFolder
from zerotrain.host.identity import identity
from zerotrain.host.session import Session
from zerotrain.host.start import load_start
from zerotrain.host.trainer import Trainer
from zerotrain.spec.files import make_folder, write_atomic
from zerotrain.spec.registers import Command
from zerotrain.spec.step import StepSettings

__all__ = ["TRACE", "Window", "trace_steps"]

#: Name of the trace.
TRACE = "zerotrain.vcd"
#: About what a traced cycle takes, and each shown lane besides.
_CYCLE_BYTES, _LANE_BYTES = 70, 70


@dataclass(frozen=True)
class Window:
    """What is traced.

    Attributes
    ----------
    after : int
        Steps that are taken before.
    steps : int
        Steps that are traced.
    cycles : int
        Most cycles that are traced.
    lanes : int
        Lanes that are shown, from the first.
    """

    after: int = 0
    steps: int = 1
    cycles: int = 200_000
    lanes: int = 2


class _Traced(Driver):
    """A driver that lets its chip trace training steps, once it is told to: from the first setting
    that is written to the last loss that is read."""

    bus: TracedChip
    tracing = False

    def start(self, command: Command, settings: StepSettings | None = None, *, bank: int) -> None:
        self.bus.trace(self.tracing and command != Command.EVALUATE)
        super().start(command, settings, bank=bank)

    def wait(self) -> StepResult:
        result = super().wait()
        self.bus.trace(False)
        return result


def trace_steps(
    console: Console,
    config: Config | None,
    folder: RunFolder | None,
    window: Window,
    *,
    output: Path | None = None,
    data: Path | None = None,
    timeout: float = STEP_TIMEOUT,
) -> None:
    """Trace steps of a configuration from its beginning, or of a run from its checkpoint.

    Writes the trace and files for viewers into a folder, by default ``waves`` in the run's folder
    or in that of the configuration's generated files. A chip that fails leaves what was traced.

    Raises
    ------
    ValueError
        If the training ends before the steps that are wanted.
    """
    checkpoint = None
    if config is None:
        assert folder is not None
        config, checkpoint = folder.state()
    session = Session.of(config)
    training, plan, network = session.training, session.plan, config.network
    dataset = load_for(config, data)
    dataset.check(network)
    start = None if checkpoint else load_start(config, session.chip.formats)
    require_tools()
    shown = probes(session.chip, lanes=window.lanes)
    bus = TracedChip(session.chip, shown, announce=console.print)
    try:
        driver = _Traced.loaded(bus, session.chip, network, plan.program, timeout=timeout)
        run = identity(config, plan.groups, dataset, start)
        trainer = Trainer(
            driver, training, dataset, step_macs=plan.step_macs, identity=run, start=start
        )
        if checkpoint is None:
            trainer.begin()
        else:
            trainer.restore(checkpoint)
        for _ in range(window.after):
            _advance(trainer)
        place = folder.path if folder else build_folder(network.name, None)
        output = output or place / "waves"
        console.print(_announcement(session, trainer, window, output), soft_wrap=True)
        make_folder(output, "the folder")
        for name, text in viewer_files(shown, TRACE).items():
            path = output / name
            make_folder(path.parent, "the folder")
            write_atomic(path, text)
        with bus.trace_file(output / TRACE, cycles=window.cycles):
            driver.tracing = True
            for _ in range(window.steps):
                _advance(trainer)
        _report(console, bus.traced_cycles, window, output)
    finally:
        bus.close()


def _advance(trainer: Trainer) -> None:
    if trainer.advance() is None:
        raise ValueError(
            f"The training ends after step {trainer.step}: expected a step to trace, got none; "
            "name an earlier one with --after, or a run that is not finished"
        )


def _announcement(session: Session, trainer: Trainer, window: Window, output: Path) -> str:
    """What comes, and how large it will be."""
    planned, config = trainer.schedule.next(), session.config
    if planned is None:
        _advance(trainer)
    assert planned is not None
    cost = session.plan.step_cost(
        "cge" if planned.command == Command.CGE else "rge", batch=config.batch,
        queries=config.queries, baseline=config.baseline,
    )  # fmt: skip
    cycles = min(window.steps * cost.cycles, window.cycles)
    lanes = min(window.lanes, session.chip.lanes)
    size = cycles * (_CYCLE_BYTES + _LANE_BYTES * lanes) / 1e6
    first = trainer.step + 1
    which = (
        f"step {first}" if window.steps == 1 else f"steps {first} to {trainer.step + window.steps}"
    )
    return (
        f"Tracing {which} ({planned.phase}) with {lanes} of {session.chip.lanes} lanes: about "
        f"{cycles:,} cycles, {size:.1f} MB, in {output}"
    )


def _report(console: Console, cycles: int, window: Window, output: Path) -> None:
    path = output / TRACE
    console.print(
        f"Wrote {path}: {cycles:,} cycles, {path.stat().st_size / 1e6:.1f} MB", soft_wrap=True
    )
    if cycles >= window.cycles:
        console.print(f"It ends after {cycles:,} cycles; --cycles allows more", soft_wrap=True)
    folder, stem = shlex.quote(str(output)), Path(TRACE).stem
    console.print(f"  cd {folder} && gtkwave {stem}.gtkw", soft_wrap=True)
    console.print(f"  cd {folder} && surfer --command-file {stem}.sucl", soft_wrap=True)
