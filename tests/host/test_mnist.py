"""The real MNIST: its loader, and the first steps of a training. Skipped without its files."""

from dataclasses import replace

import numpy as np
import pytest

from zerotrain.config.config import Config
from zerotrain.config.training import CgeStage
from zerotrain.data.dataset import Dataset
from zerotrain.data.mnist import find_directory, load_mnist
from zerotrain.host.session import ChipKind, Session

STEPS = 30
SAMPLES = {"training": 2000, "validation": 100, "test": 500}


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    try:
        find_directory(None)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return load_mnist()


def test_files(mnist: Dataset) -> None:
    parts = mnist.training, mnist.validation, mnist.test
    assert [part.x.shape for part in parts] == [(55000, 784), (5000, 784), (10000, 784)]
    # The digits of LeCun's test set, in order: 980 zeros, 1135 ones, ...
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(mnist.test.targets).tolist() == counts
    assert mnist.test.targets[:5].tolist() == [7, 2, 1, 0, 4]
    everything = np.concatenate([mnist.training.targets, mnist.validation.targets])
    assert np.bincount(everything)[:3].tolist() == [5923, 6742, 5958]
    for part in parts:
        assert part.x.min() == 0 and 0.99 < part.x.max() <= 1
        assert part.x.mean() == pytest.approx(0.131, abs=0.002)


def test_a_training_begins(mnist: Dataset) -> None:
    """The paper's network learns from its first CGE steps, on the golden chip."""
    config = Config.preset("mnist-3962")
    assert config.training is not None
    stage = CgeStage(STEPS, 0.05, 0.05, momentum=0.875, gradient_limit=8.0)
    training = replace(config.training, rge=None, cge=stage, evaluate_every=STEPS)
    parts = {name: getattr(mnist, name).take(np.arange(n)) for name, n in SAMPLES.items()}
    session = Session.of(replace(config, training=training))
    with session.trainer(ChipKind.GOLDEN, replace(mnist, **parts)) as trainer:
        start = trainer.begin()
        rows = [row for _ in range(STEPS) if (row := trainer.advance()) is not None]
    losses = [row.loss for row in rows if row.loss is not None]
    assert len(losses) == STEPS
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    assert start.metric is not None and rows[-1].metric is not None
    assert rows[-1].metric > start.metric + 0.2
