"""A chip plans every batch that its memories hold, and every network that it was made for."""

import random
import re
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest

from zerotrain.compiler.planner import check_limits, chip_for, plan
from zerotrain.config.config import Config
from zerotrain.host.session import Session
from zerotrain.spec.chip import Cge, Core
from zerotrain.spec.network import Activation, Layer, Loss, Network

from .test_search import draw_layers

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_network_of_the_readme_plans() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    session = Session.of(Config.parse(text))
    assert session.plan.network.n_parameters == 510
    assert session.plan.batch == session.config.batch


@pytest.mark.parametrize("name", ["digits", "digits-small", "mnist-3962", "mnist-small"])
def test_a_preset_plans_at_every_batch(name: str) -> None:
    """The planner prefers longer programs for some batches; the chip has no room for those."""
    config = Config.preset(name)
    chip = config.build_chip()
    layout, network = chip.layout, config.network
    most = layout.max_batch(
        sample_depth=chip.sample_depth,
        target_depth=chip.target_depth,
        n_inputs=network.n_inputs,
        n_targets=network.n_targets,
    )
    for batch in {1, 2, 4, 8, 16, 24, most // 2 + 1, most} & set(range(most + 1)):
        assert plan(network, chip, batch=batch).words["program_depth"] <= chip.program_depth
    with pytest.raises(ValueError, match=r"(sample|target)_depth is .* too few\)$"):
        plan(network, chip, batch=most + 1)


@pytest.mark.parametrize("seed", range(4))
def test_drawn_networks_plan_on_their_chips(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        network = draw_layers(rng, 5)
        session = Session.of(Config(network))
        assert session.plan.batch == session.config.batch
        cge, core = rng.choice(list(Cge)), rng.choice(list(Core))
        chip = chip_for(
            network, lanes=rng.randint(1, 8), batch=rng.randint(9, 40), cge=cge, core=core
        )
        for batch in (1, 2, 3, 5, 8):
            assert plan(network, chip, batch=batch).batch == batch


def draw_wide(rng: random.Random) -> Network:
    """Any network of up to three layers of up to six TT-cores that a chip's limits allow."""
    while True:
        modes = [1, 1, 2, 2, 3, 4, 5, 7, 8]
        ins = rng.choices(modes, k=rng.randint(1, 6))
        layers: list[Layer] = []
        for last in (False,) * rng.randint(0, 2) + (True,):
            outs = rng.choices(modes, k=len(ins))
            ranks = tuple(rng.randint(1, rng.choice((2, 4, 12))) for _ in ins[1:])
            activation = Activation.NONE if last else rng.choice([Activation.NONE, Activation.RELU])
            bias = rng.random() < 0.7
            layers.append(Layer(tuple(ins), tuple(outs), ranks, bias, activation))
            ins = [prod(outs)] if rng.random() < 0.3 else rng.sample(outs, len(outs))
        try:
            network = Network(tuple(layers), rng.choice(list(Loss)), "drawn")
            check_limits(network)
        except ValueError:
            continue
        if network.n_inputs <= 1000 and network.n_parameters <= 20_000:
            return network


@pytest.mark.parametrize("seed", [*range(24), 35, 68, 324])
def test_wide_networks_plan(seed: int) -> None:
    """Without a training, and as chips at three batches. Where environments would have to be merged
    into more words than a weight memory has, CGE by forward passes is said to need fewer, and does.
    """
    rng = random.Random(seed)
    network = draw_wide(rng)
    try:
        assert Session.of(Config(network)).plan.network == network
        cge = rng.choice(list(Cge))
        chip_for(network, cge=cge)
    except ValueError as error:
        assert re.fullmatch(
            r"Network drawn needs [\d,]+ words of weight_depth, a chip has at most 65,536; CGE by "
            r'forward passes \(cge = "forward"\) takes fewer',
            str(error),
        )
        cge = Cge.FORWARD
    core = rng.choice(list(Core))
    lanes, batch = rng.randint(1, 8 if core == Core.COMPACT else 64), rng.randint(9, 64)
    chip = chip_for(network, lanes=lanes, batch=batch, cge=cge, core=core)
    for size in {1, rng.randint(2, batch - 1), batch}:
        assert plan(network, chip, batch=size).batch == size


def test_a_slower_chip_where_the_fastest_would_not_fit() -> None:
    """The fastest way to apply these layers merges 395,382 words of weights."""
    first = Layer((3, 7, 5, 2, 4, 2), (8, 7, 1, 5, 2, 7), (3, 2, 1, 8, 6))
    last = Layer((7, 7, 5, 2, 8, 1), (1, 1, 1, 2, 3, 8), (1, 4, 3, 4, 1))
    network = Network((first, last), name="wide")
    tries: list[dict[str, Any]] = [{}, {"scratch_depth": 2048}]
    for overrides in tries:
        chip = chip_for(network, lanes=8, cge=Cge.FORWARD, **overrides)
        assert plan(network, chip).words["weight_depth"] <= chip.weight_depth


def test_the_best_that_fits_is_chosen() -> None:
    """With less room for the program, something slower; with too little for anything, a refusal."""
    network = Config.preset("digits").network
    chip = chip_for(network, lanes=8, batch=32)
    best = plan(network, chip, batch=8)
    roomy = plan(network, replace(chip, program_depth=1024), batch=8)
    assert roomy.words["program_depth"] > chip.program_depth
    assert roomy.step_cost("cge").cycles <= best.step_cost("cge").cycles
    with pytest.raises(ValueError, match=r"^Network digits does not fit the chip: program_depth"):
        plan(network, replace(chip, program_depth=100), batch=8)
