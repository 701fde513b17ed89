"""``zerotrain new``: a commented configuration to start from."""

import os
import shlex
import tomllib
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from rich.console import Console

from zerotrain.config.config import Config
from zerotrain.config.data import DataOptions, is_file
from zerotrain.config.toml import scalar
from zerotrain.data.files import load_file
from zerotrain.host.session import Session
from zerotrain.spec.files import write_atomic

__all__ = ["Wanted", "modes", "starting_text", "write_new"]

#: The largest mode that is proposed: a TT-core has a row and a column of parameters for each.
_LARGEST_MODE = 16
#: Most hidden units that are proposed.
_MOST_HIDDEN = 256
#: Samples of a step, where there are so many.
_BATCH = 32
#: Built-in data sets, by inputs, outputs and whether they have target values.
_DATASETS = {(64, 10, False): "digits", (784, 10, False): "mnist", (10, 1, True): "diabetes"}

_TEXT = """# A tensor-train network of {parameters} parameters. Every key: docs/keys.md.
name = {name}
loss = {loss}

# {inputs} inputs -> {hidden} hidden units. Each TT-core has an input mode and an output mode. More
# and smaller modes, and lower ranks, make fewer parameters.
[[layers]]
in_modes = {in_modes}
out_modes = {hidden_modes}
ranks = {rank}
activation = "relu"

# {hidden} hidden units -> {outputs} {meaning}.
[[layers]]
in_modes = {hidden_modes}
out_modes = {out_modes}
ranks = {rank}

[chip]
lanes = 8
# In place of lanes, with --board: the best chip that fits the board.
#auto = true

# Integer and fraction bits of what the chip computes with. `train` says what is clamped.
[chip.formats]
weight = "Q3.12"
tt = "Q6.9"
delta = "Q0.15"
logit = "Q7.12"
dlogit = "Q3.16"
cge_mu_shift = 7

[training]
dataset = {dataset}
batch = {batch}
seed = 1

# First the coarse stage: all parameters are perturbed at once.
[training.rge]
steps = {rge_steps}
queries = 8
mu = 0.015625
step_size = 0.004
final_step_size = 0.0005
momentum = 0.875
gradient_limit = 64.0

# Then the fine one: a loss difference for every parameter.
[training.cge]
steps = {cge_steps}
step_size = 0.03
final_step_size = 0.001
momentum = 0.9375
gradient_limit = {limit}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of a network.

    Parameters
    ----------
    name : str
    inputs, outputs : int
        Of a sample; outputs are classes, or target values. 0 for those of the data set's file.
    regression : bool
        Whether there are target values.
    hidden, rank : int
        Hidden units and TT-rank; 0 proposes one.
    dataset : str
        Name or file; empty for a built-in one of these sizes, or a file called after the network.
    batch : int
        Samples of a step.
    """

    name: str
    inputs: int = 0
    outputs: int = 0
    regression: bool = False
    hidden: int = 0
    rank: int = 0
    dataset: str = ""
    batch: int = _BATCH


def modes(n: int, count: int) -> list[int]:
    """Split a number into so many factors, as equal as its prime factors allow; the larger ones in
    the middle, where a tensor train is widest."""
    factors = [1] * count
    for prime in sorted(_primes(n), reverse=True):
        factors[factors.index(min(factors))] *= prime
    middle: list[int] = []
    for k, factor in enumerate(sorted(factors, reverse=True)):
        middle = [*middle, factor] if k % 2 else [factor, *middle]
    return middle


def _primes(n: int) -> list[int]:
    """Prime factors, ascending."""
    found, divisor = list[int](), 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            found.append(divisor)
            n //= divisor
        divisor += 1
    return found + [n] * (n > 1)


def _check_size(what: str, n: int) -> None:
    """Refuse sizes with a large prime factor, which makes one large mode."""
    if n < 1 or n > 1 << 16:
        raise ValueError(f"A network has 1 to 65,536 {what}, not {n:,}")
    largest = max(_primes(n), default=1)
    if largest > _LARGEST_MODE:
        near = [m for m in _by_distance(n) if max(_primes(m), default=1) <= _LARGEST_MODE]
        below, above = (max(m for m in near if m < n), min(m for m in near if m > n))
        raise ValueError(
            f"{n} {what} have the prime factor {largest}: modes are to be {_LARGEST_MODE} at most; "
            f"{below} or {above} {what} can be split: leave some out, or add some that are 0"
        )


def _by_distance(n: int) -> list[int]:
    return [m for step in range(1, n + 2) for m in (n - step, n + step) if m > 0][: 2 * n]


def starting_text(wanted: Wanted) -> str:
    """A commented configuration that plans.

    Raises
    ------
    ValueError
        For sizes that no network, or no chip, has; naming neighbouring ones that can be split.
    """
    _check_size("inputs", wanted.inputs)
    if wanted.outputs < 1:
        raise ValueError(f"A network has 1 output at least, not {wanted.outputs}")
    if wanted.outputs == 1 and not wanted.regression:
        raise ValueError(
            "Softmax cross-entropy needs at least 2 outputs, got 1; with --regression, outputs are "
            "target values"
        )
    hidden = wanted.hidden or min(_MOST_HIDDEN, max(8, 1 << (wanted.inputs - 1).bit_length() >> 1))
    _check_size("hidden units", hidden)
    # Modes of 3 to 7, mostly; but two at least, and four at most.
    count = min(4, max(2, round(wanted.inputs.bit_length() / 2.2)))
    text = _TEXT.format(
        parameters="{parameters}",
        name=scalar(wanted.name),
        loss=scalar("mean_squared_error" if wanted.regression else "softmax_cross_entropy"),
        inputs=wanted.inputs,
        hidden=hidden,
        outputs=wanted.outputs,
        meaning="target values" if wanted.regression else "classes",
        in_modes=modes(wanted.inputs, count),
        hidden_modes=modes(hidden, count),
        out_modes=modes(wanted.outputs, count),
        rank=wanted.rank or (3 if wanted.inputs <= _MOST_HIDDEN else 6),
        dataset=scalar(wanted.dataset or _dataset(wanted)),
        batch=wanted.batch,
        rge_steps=100 if wanted.regression else 300,
        cge_steps=200 if wanted.regression else 500,
        limit=16.0 if wanted.regression else 8.0,
    )
    config = Config.from_dict(tomllib.loads(text))
    Session.of(config)
    return text.replace("{parameters}", f"{config.network.n_parameters:,}", 1)


def _dataset(wanted: Wanted) -> str:
    sizes = wanted.inputs, wanted.outputs, wanted.regression
    return _DATASETS.get(sizes, f"{wanted.name}.csv")


def _of_data(wanted: Wanted, folder: Path) -> Wanted:
    """The same with what the data set's file says: its sizes, and its name as the configuration
    needs it, which looks for it in its own folder."""
    if not is_file(wanted.dataset):
        if not (wanted.inputs and wanted.outputs):
            raise ValueError(
                "The sizes of the network are missing: expected --inputs and --outputs, or "
                "--dataset with a file that has them"
            )
        return wanted
    path = Path(wanted.dataset).expanduser()
    name = str(path) if path.is_absolute() else os.path.relpath(path, folder)
    wanted = replace(wanted, dataset=name)
    if wanted.inputs and wanted.outputs:
        return wanted
    if not path.is_file():
        raise ValueError(
            f"There is no file {path}: expected the data set there; name another, or give its "
            "sizes with --inputs and --outputs"
        )
    data = load_file(str(path.absolute()), DataOptions(), labels=not wanted.regression)
    n_samples, batch = len(data.training), _BATCH
    while batch > n_samples:
        batch //= 2
    return replace(
        wanted,
        inputs=wanted.inputs or data.n_inputs,
        outputs=wanted.outputs or data.n_outputs,
        batch=batch,
    )


def write_new(console: Console, path: Path, wanted: Wanted, *, force: bool) -> None:
    """Write the configuration, and say how to go on.

    Raises
    ------
    ValueError
        If the file is there already, the data set's file is none, or as :func:`starting_text` does.
    """
    if path.exists() and not force:
        raise ValueError(
            f"{path} is there already: name another file, or overwrite it with --force"
        )
    text = starting_text(_of_data(wanted, path.parent))
    write_atomic(path, text)
    config = Config.parse(text)
    layers = ", ".join(
        f"{prod(layer.in_modes)} -> {prod(layer.out_modes)}" for layer in config.network.layers
    )
    console.print(f"Wrote {path}: {layers}, {config.network.n_parameters:,} parameters.")
    words = shlex.quote(str(path))
    console.print(f"Next: zerotrain train --config {words} --chip golden", soft_wrap=True)
    console.print(
        f"      zerotrain plan --config {words} --board icebreaker --set chip=auto", soft_wrap=True
    )
