"""A chip plans every batch that its memories hold, and every network that it was made for."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from zerotrain.compiler.planner import chip_for, plan
from zerotrain.config.config import Config
from zerotrain.host.session import Session
from zerotrain.spec.chip import Cge, Core

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
