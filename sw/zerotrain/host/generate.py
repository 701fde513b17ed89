"""The files of a generated chip."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zerotrain.config.config import ChipOptions, Config
from zerotrain.cosim.build import chip_verilog
from zerotrain.host.session import Session
from zerotrain.host.settings import step_settings
from zerotrain.spec.artefacts import Application, write_artefacts
from zerotrain.spec.files import make_folder, write_atomic

__all__ = ["write_chip"]


def write_chip(
    session: Session,
    plan: dict[str, Any],
    folder: Path,
    *,
    announce: Callable[[str], None] | None = None,
) -> tuple[str, list[Path]]:
    """Write ``zerotrain.v``, ``plan.json``, ``config.toml`` and the files of
    :mod:`zerotrain.spec.artefacts` into a folder.

    Returns
    -------
    verilog : str
    written : list of Path
    """
    chip, application = session.chip, _application(session)
    make_folder(folder, "the folder")
    verilog = chip_verilog(chip, session.plan.program, announce=announce)
    complete = Config(session.config.network, ChipOptions.from_chip(chip), session.config.training)
    texts = {
        "zerotrain.v": verilog,
        "plan.json": json.dumps(plan, indent=2) + "\n",
        "config.toml": complete.to_toml(),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text)
    written = [folder / name for name in texts]
    return verilog, written + write_artefacts(chip, folder, application)


def _application(session: Session) -> Application:
    """The network on its chip, and the settings of the first step of each stage of training."""
    config = session.config
    training = config.training
    stages = {"rge": training.rge, "cge": training.cge} if training else {}
    steps = {
        name: step_settings(stage, session.chip.formats, config.batch, stage.size_at(0))
        for name, stage in stages.items()
        if stage is not None
    }
    return Application(config.network, session.plan.program, config.batch, steps)
