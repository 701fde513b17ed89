"""A design: a network with its chip and its training, planned."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zerotrain.api.run import Each, Run, begin
from zerotrain.compiler.plan import Plan
from zerotrain.config.changes import changed
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.data.dataset import Dataset
from zerotrain.exchange.fit import Start
from zerotrain.host.cost import cost_report
from zerotrain.host.driver import STEP_TIMEOUT
from zerotrain.host.session import Session
from zerotrain.host.start import load_start, start_from
from zerotrain.spec.chip import Chip
from zerotrain.spec.network import Network

__all__ = ["Design"]

#: What a configuration without a data set calls the arrays that it is trained with.
_ARRAYS = "arrays"


class Design:
    """One network, its chip and its training; nothing changes it.

    Attributes
    ----------
    config : Config
    session : Session
        The chip and its plan.
    """

    def __init__(self, config: Config, changes: Mapping[str, Any] | None = None) -> None:
        self.config = changed(config, changes) if changes else config
        self.session = Session.of(self.config)

    @classmethod
    def preset(cls, name: str, changes: Mapping[str, Any] | None = None) -> "Design":
        """A built-in configuration; ``changes`` as in ``{"training.seed": 2}``."""
        return cls(Config.preset(name), changes)

    @classmethod
    def load(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> "Design":
        """A TOML file."""
        return cls(Config.load(Path(path)), changes)

    @classmethod
    def of(cls, values: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> "Design":
        """What a TOML file would hold, as a dict. ``training.dataset`` may be left out."""
        if not isinstance(values, Mapping):
            raise ValueError(
                f"A design is a dict with what a TOML file holds, not {type(values).__name__}"
            )
        training = values.get("training")
        if isinstance(training, Mapping):
            values = {**values, "training": {"dataset": _ARRAYS, **training}}
        return cls(Config.from_dict(values), changes)

    def changed(self, changes: Mapping[str, Any]) -> "Design":
        """The same with other values of some entries."""
        return Design(self.config, changes)

    @property
    def network(self) -> Network:
        return self.config.network

    @property
    def chip(self) -> Chip:
        return self.session.chip

    @property
    def plan(self) -> Plan:
        return self.session.plan

    def cost(self) -> dict[str, Any]:
        """What ``zerotrain plan --json`` prints: multiplications, cycles, memories, schedule."""
        return cost_report(self.session)

    def verilog(self) -> str:
        """Verilog of the chip, its program memory filled."""
        from zerotrain.cosim.build import chip_verilog

        return chip_verilog(self.chip, self.plan.program)

    def generate(self, folder: str | Path) -> list[Path]:
        """Write the files of ``zerotrain generate`` into a folder."""
        from zerotrain.host.generate import write_chip

        return write_chip(self.session, self.cost(), Path(folder))[1]

    def train(
        self,
        data: Dataset | None = None,
        *,
        chip: str = "golden",
        folder: str | Path | None = None,
        force: bool = False,
        initial: str | Path | Mapping[str, Any] | None = None,
        each: Each | None = None,
        keep_going: bool = False,
        timeout: float = STEP_TIMEOUT,
        say: Callable[[str], None] | None = None,
    ) -> Run:
        """Train.

        Parameters
        ----------
        data : Dataset, optional
            By default the data set that the configuration names.
        chip : str
            ``"golden"``, ``"verilated"`` or ``"cocotb"``; all give the same bits.
        folder : path, optional
            Where the run's files are; by default it leaves none.
        force : bool
            Overwrite a run that is in the folder.
        initial : path or dict of arrays, optional
            Weights to begin with (docs/exchange.md); by default those that the configuration
            names, or random ones.
        each : callable, optional
            Is given a :class:`~zerotrain.host.trainer.Row` for the measurement before the first
            step and for every step. If it returns True, the training stops and can be resumed.
        keep_going : bool
            Go on although the training diverges.
        timeout : float
            Seconds that one step may take.
        say : callable, optional
            Is given warnings, a sentence each, as they come; :attr:`Run.notes` holds them too.

        Raises
        ------
        ValueError
            If something does not fit: before anything is written.
        """
        training = self.session.training
        changes: dict[str, Any] = {}
        if data is None:
            data = load_for(self.config)
        else:
            changes |= {"dataset": data.name, "data": None}
        if initial is not None:
            changes["initial"] = _ARRAYS if isinstance(initial, Mapping) else str(initial)
        config = replace(self.config, training=replace(training, **changes))
        data.check(self.network)
        formats = self.chip.formats
        if isinstance(initial, Mapping):
            start: Start | None = start_from(initial, _ARRAYS, config, formats)
        else:
            start = load_start(config, formats)
        return begin(
            replace(self.session, config=config), data, start,
            chip=chip, folder=folder, force=force, each=each, keep_going=keep_going,
            timeout=timeout, say=say,
        )  # fmt: skip
