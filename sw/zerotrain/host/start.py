"""What a training begins with, if its configuration names weights."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zerotrain.compiler.lowering import Groups
from zerotrain.config.config import Config
from zerotrain.exchange.export import tt_arrays
from zerotrain.exchange.files import unpack
from zerotrain.exchange.fit import Start, fit
from zerotrain.exchange.given import Given, given
from zerotrain.golden.fixed import Flags
from zerotrain.golden.tt import forward
from zerotrain.host.folder import RunFolder
from zerotrain.spec.formats import Formats
from zerotrain.spec.registers import Saturation

__all__ = ["load_start", "start_from", "start_sentences"]


def _read(source: str) -> Given:
    """Weights of a file or of a run's folder."""
    if "\0" in source:
        raise ValueError("training.initial has a character that no file's name has")
    try:
        path = Path(source).expanduser()
    except RuntimeError:
        raise ValueError(f"training.initial names the home of no known user: {source!r}") from None
    if path.is_dir():
        config, checkpoint = RunFolder(path).state()
        return given(source, tt_arrays(config.network, config.chip.formats, checkpoint.theta))
    try:
        return given(source, unpack(path))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There are no weights {source}: expected a file, or a run's folder, of the name that "
            "training.initial has"
        ) from None


def load_start(config: Config, formats: Formats) -> Start | None:
    """The weights that ``training.initial`` names, as the chip takes them; None if there are none.

    Raises
    ------
    OSError
        If they are not there.
    ValueError
        If they are damaged, or are not those of such a network.
    """
    training = config.training
    if training is None or not training.initial:
        return None
    return fit(_read(training.initial), config.network, formats)


def start_from(arrays: Mapping[str, Any], source: str, config: Config, formats: Formats) -> Start:
    """The same of arrays by name (:func:`~zerotrain.exchange.given.given`)."""
    return fit(given(source, arrays), config.network, formats)


def start_sentences(
    start: Start, config: Config, formats: Formats, groups: Groups
) -> Iterator[str]:
    """What a user must know of a start: where it is from, what was lost, what clips."""
    yield str(start)
    flags, network = Flags(), config.network
    forward(network, formats, groups, start.theta, np.zeros((1, network.n_inputs), np.int64), flags)
    if Saturation.MERGE in Saturation(flags.value):
        yield (
            f"Merged TT-cores of these weights are clamped to format {formats.weight}: more "
            "integer bits for chip.formats.weight would hold them."
        )
