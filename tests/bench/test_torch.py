"""PyTorch computes what the golden model does, up to the golden model's rounding."""

from collections.abc import Iterator

import numpy as np
import pytest

from zerotrain.bench.workload import Workload
from zerotrain.config.config import Config
from zerotrain.golden.chip import GoldenChip
from zerotrain.spec.registers import Command

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: .venv/bin/python -m pip install torch"
)

#: Of a loss, at random parameters.
RELATIVE = 5e-4
#: Of the largest difference.
DIFFERENCE = 0.03


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Test processes share processors; several threads of each only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def work() -> Workload:
    return Workload.of(Config.preset("digits"))


@pytest.fixture(scope="module")
def golden(work: Workload) -> np.ndarray:
    """Mean loss of the batch, then with each parameter raised by CGE's mu."""
    session = work.session
    driver = work.driver(GoldenChip(session.chip, session.config.network, session.plan.groups))
    losses = driver.step(Command.CGE, work.settings["cge"], bank=0).losses
    return losses / 2.0**20 / work.batch


@pytest.mark.parametrize("form", ["core by core", "merged halves", "merged matrix"])
@pytest.mark.parametrize("together", [False, True])
def test_losses(work: Workload, golden: np.ndarray, form: str, together: bool) -> None:
    from zerotrain.bench.torch_network import Form
    from zerotrain.bench.torch_steps import TorchSteps

    steps = TorchSteps(work, Form(form), together=together)
    with torch.no_grad():
        base = steps.losses(steps.theta[None])
        found = steps.differences(0, len(work.theta), base).numpy()
    assert base.item() == pytest.approx(golden[0], rel=RELATIVE)
    expected = golden[1:] - golden[0]
    assert np.abs(expected).max() > 5e-4
    assert np.abs(found - expected).max() < DIFFERENCE * np.abs(expected).max()


def test_steps_descend(work: Workload) -> None:
    from zerotrain.bench.torch_network import Form
    from zerotrain.bench.torch_steps import TorchSteps

    steps = TorchSteps(work, Form.HALVES, together=True)
    with torch.no_grad():
        first = steps.losses(steps.theta[None]).item()
        for _ in range(20):
            steps.rge()
        coarse = steps.losses(steps.theta[None]).item()
        for _ in range(20):
            steps.cge()
        fine = steps.losses(steps.theta[None]).item()
    assert fine < coarse < first
