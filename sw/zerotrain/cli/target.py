"""What ``plan``, ``generate`` and ``route`` are about: a planned chip, and its board if one is
named."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from rich.console import Console

from zerotrain.boards.catalogue import Board
from zerotrain.boards.routed import Clock, clock_of, load_report, load_routing
from zerotrain.boards.suit import check_suits, suited
from zerotrain.config.config import Config
from zerotrain.data import load_for
from zerotrain.host.session import Session
from zerotrain.spec.files import file_name
from zerotrain.spec.formats import QFormat

__all__ = ["Target", "build_folder"]


@dataclass(frozen=True)
class Target:
    """A planned chip for a board.

    Attributes
    ----------
    clock : Clock or None
        The board's clock of this chip.
    changes : tuple of str
        What was changed of the configuration so that it fits the board, a sentence each.
    """

    session: Session
    board: Board | None
    clock: Clock | None
    changes: tuple[str, ...]

    @classmethod
    def of(cls, config: Config, board: Board | None, *, keep_lanes: bool) -> "Target":
        """Plan a configuration as it suits a board."""
        found = suited(
            config, board, keep_lanes=keep_lanes, exact_input=cache(lambda: _exact_input(config))
        )
        session = Session.of(found.config)
        clock = None
        if board is not None:
            rows = load_routing()
            own = build_folder(config.network.name, board) / "routing.json"
            if own.exists():
                rows.append(load_report(own))
            clock = clock_of(rows, board, f"{session.chip.config_hash:#010x}")
        return cls(session, board, clock, found.changes)

    def announce(self, console: Console) -> None:
        """Say what was changed."""
        for sentence in self.changes:
            console.print(sentence, soft_wrap=True)

    @cached_property
    def problem(self) -> str:
        """Why the chip cannot fit the board, and what would; empty where it may fit."""
        try:
            if self.board is not None:
                check_suits(self.session.config, self.session.chip, self.board)
        except ValueError as error:
            return str(error)
        return ""

    def check(self) -> None:
        """Raise ``ValueError`` for a chip that cannot fit the board, naming what would."""
        if self.problem:
            raise ValueError(self.problem)


def _exact_input(config: Config) -> QFormat | None:
    """The narrowest format that holds the configuration's data exactly, where they are at hand."""
    if config.training is None:
        return None
    try:
        return load_for(config).exact_input()
    except (OSError, ValueError):
        return None


def build_folder(network: str, board: Board | None) -> Path:
    """Where generated files of a network are by default: a folder of that name in ``build``."""
    return Path("build") / (file_name(network) + (f"-{board.name}" if board else ""))
