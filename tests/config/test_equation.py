"""The table [equation]: read, written back, and refused in one sentence."""

from typing import Any

import pytest

from zerotrain.boards.catalogue import BOARDS
from zerotrain.cli.target import Target
from zerotrain.config.changes import changed
from zerotrain.config.config import Config
from zerotrain.host.session import Session
from zerotrain.spec.chip import Cge
from zerotrain.spec.network import Loss

from ..host.equation import TOML


def test_read_and_written_back() -> None:
    config = Config.parse(TOML)
    assert config.network.loss == Loss.RESIDUAL
    problem = config.network.problem
    assert problem is not None
    assert problem.points == (10, 6) and problem.n_evaluations == 10 * 5 + 6
    assert problem.n_residuals == 16 and config.samples == 56
    assert Config.parse(config.to_toml()) == config
    chip = config.build_chip()
    assert (chip.cge, chip.split, chip.residual_depth) == (Cge.NONE, True, 9 * 16)
    session = Session.of(config)
    cost = session.plan.step_cost("rge", batch=16, queries=8, baseline=config.baseline)
    assert cost.macs >= 9 * 56 * (2 * 8 + 8)


@pytest.mark.parametrize("name", ["hjb-3209", "hjb-7745"])
def test_presets_have_the_papers_parameters(name: str) -> None:
    config = Config.preset(name)
    assert config.network.n_parameters == int(name[4:])
    problem = config.network.problem
    assert problem is not None and problem.n_nodes(0) == 43


WHERE = "configuration: "


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"equation.residual": "d(u, y)"},
         "[equation] 'y' in 'd(u, y)' is not known: known are d, d2, dot, f, grad, h, laplacian, "
         "norm2, sum, t, u, x"),
        ({"equation.coordinates": []},
         "equation.coordinates is a list of texts, not []"),
        ({"equation.weight": "much"},
         "[equation] weight is a number or a text such as '1/8', not 'much'"),
        ({"equation.nodes.step": 0.1},
         "[equation.nodes] Central differences have a step that is a power of two, such "
         "as 0.25 or 0.0625: their weights are shifts then; got 0.1"),
        ({"equation.nodes.step": 2.0**-10},
         "[equation] The differences nodes of step 0.000976562 amplify noise 2,568,476 times: with "
         "hidden words Q1.16 and outputs Q3.20, residuals have an expected noise of 0.66, at most "
         "0.1 can be trained with; use words with 3 more fraction bits, a larger step, or "
         "differences with step 0.25"),
        ({"equation.nodes.step": 1.0},
         "[equation] Coordinate x reaches from 0 to 1, its nodes from -1 to 2: format input Q1.12 "
         "holds -2 to 1.99976, give it more integer bits or the nodes a smaller step"),
        ({"equation.domain": {"y": [0, 1]}},
         "[equation] domain has ranges of the coordinates x, t, not of 'y'"),
        ({"equation.domain": {"x": [1, 0]}},
         "equation.domain.x is a list of two numbers, ascending, not [1, 0]"),
        ({"equation.conditions.1.at": ["y = 0"]},
         "[equation] A face of the domain is a coordinate and its value, such as 't = 0', not "
         "'y = 0'"),
        ({"equation.conditions.1.at": ["t = 1.2.3"]},
         "[equation] A face of the domain is a coordinate and its value, such as 't = 0', not "
         "'t = 1.2.3'"),
        ({"equation.conditions.1.at": ["t = 5"]},
         "[equation] A face is in the domain, where t reaches from 0 to 1, got 't = 5'"),
        ({"equation.conditions.1.points": 0},
         "equation.conditions.1.points is 1 to 32768, not 0"),
        ({"training.batch": 6},
         "[equation] A batch of 6 points has 6 for conditions: expected at least one more for the "
         "equation itself, and one for each condition"),
        ({"training.dataset": "digits"},
         "training.dataset is left out where there is an equation, got 'digits'"),
        ({"loss": "mean_squared_error"},
         'A network has an equation if its loss is "residual", and only then: got the loss '
         '"mean_squared_error" with one'),
        ({"training.subspace.queries": 65},
         "[training.subspace] queries is 1 to 64, not 65"),
        ({"training.subspace.damping_steps": -1},
         "[training.subspace] damping_steps is 0 or more, not -1"),
    ],
)  # fmt: skip
def test_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        changed(Config.parse(TOML), values)
    assert str(caught.value) == sentence


def test_there_is_no_gateware_yet() -> None:
    with pytest.raises(ValueError) as caught:
        changed(Config.parse(TOML), {"chip": "auto"})
    assert str(caught.value) == (
        "A chip that solves an equation is not looked for, since its gateware is not written yet: "
        "leave chip.auto out"
    )
    with pytest.raises(ValueError) as caught:
        Target.of(Config.parse(TOML), BOARDS["icebreaker"], keep_lanes=False)
    assert str(caught.value) == (
        "Chips that solve equations exist as golden models only, their gateware is not written "
        "yet: plan without board icebreaker, train with --chip golden"
    )
