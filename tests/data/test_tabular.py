"""Tables as data sets: standardised by their training part, and what does not fit a format."""

import numpy as np
import pytest

from zerotrain.data import load
from zerotrain.data.dataset import Dataset
from zerotrain.data.mixing import uniform
from zerotrain.data.tabular import from_arrays
from zerotrain.spec.formats import Formats, QFormat
from zerotrain.spec.network import Loss, Network, dense


def table(n_outputs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    x = uniform(300, 1).reshape(100, 3) * [1.0, 50.0, 0.0] + [5.0, -20.0, 8.0]
    y = uniform(100 * n_outputs, 2).reshape(100, -1) * [[30.0, 10.0][:n_outputs]] + 4.0
    return x, y


def parts(data: Dataset) -> list[np.ndarray]:
    return [part.targets for part in (data.training, data.validation, data.test)]


def test_inputs_and_values_are_standardised_by_the_training_part() -> None:
    x, y = table()
    data = from_arrays("t", x, y, test=20, validation=15, seed=4, unit="kg")
    assert (len(data.training), len(data.validation), len(data.test)) == (65, 15, 20)
    assert (data.n_inputs, data.n_outputs, data.image_shape) == (3, 2, None)
    assert data.training.x.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    # A constant column stays constant; the others deviate by one.
    assert data.training.x.std(axis=0) == pytest.approx([1, 1, 0], abs=1e-12)
    assert not np.allclose(data.test.x.mean(axis=0)[:2], 0, atol=1e-3)
    # One factor for all outputs: the larger deviation.
    assert data.training.targets.std(axis=0).max() == pytest.approx(1, abs=1e-12)
    assert data.scale.unit == "kg"
    restored = np.concatenate(parts(data)) * data.scale.factor + data.scale.offset
    assert np.sort(restored, axis=0) == pytest.approx(np.sort(y, axis=0))


def test_labels_stay_labels() -> None:
    x, _ = table()
    labels = (x[:, 0] > 5).astype(np.int64)
    data = from_arrays("t", x, labels, test=20, validation=15, seed=4)
    assert data.labelled and data.n_outputs == 2
    assert sorted(np.concatenate(parts(data)).tolist()) == sorted(labels.tolist())
    raw = data.training.quantize(Formats())
    assert raw.targets.tolist() == data.training.targets.tolist()


def test_values_are_quantised_in_the_format_of_the_outputs() -> None:
    data = from_arrays("t", *table(), test=20, validation=15, seed=4)
    formats = Formats(logit=QFormat(18, 12), dlogit=QFormat(18, 15))
    samples = data.test.quantize(formats)
    assert samples.targets.tolist() == np.rint(data.test.targets * 2**12).astype(int).tolist()
    assert samples.x.tolist() == np.rint(data.test.x * 2**11).astype(int).tolist()


def test_outliers_are_clipped_and_told() -> None:
    x, y = table(1)
    x[0, 1], y[1, 0] = 500.0, -700.0
    data = from_arrays("t", x, y, test=20, validation=15, seed=4)
    formats = Formats(input=QFormat(16, 13), logit=QFormat(19, 16), dlogit=QFormat(19, 17))
    told = list(data.clipping(formats))
    assert told == [
        "1 of 300 inputs of t are clipped to format Q2.13, which holds -4 to 3.99988.",
        "1 of 100 target values of t are clipped to format Q2.16, which holds -4 to 3.99998.",
    ]
    found = [part.quantize(formats) for part in (data.training, data.validation, data.test)]
    assert max(s.x.max() for s in found) == formats.input.raw_max
    assert min(s.targets.min() for s in found) == formats.logit.raw_min
    assert not list(data.clipping(Formats(input=QFormat(16, 8), logit=QFormat(20, 12))))


def test_a_network_with_another_kind_of_loss_is_refused() -> None:
    data = from_arrays("t", *table(), test=20, validation=15, seed=4)
    data.check(Network((dense(3, 2),), Loss.MEAN_SQUARED_ERROR))
    with pytest.raises(ValueError, match=r"^Data set t has target values, which need the loss mean_"
                       r"squared_error, network network has softmax_cross_entropy$"):  # fmt: skip
        data.check(Network((dense(3, 2),)))
    with pytest.raises(ValueError, match=r"^Data set t has 3 inputs and 2 target values, network "
                       r"network has 3 inputs and 1 outputs: "
                       r"let outputs of layer 1 be 2$"):  # fmt: skip
        data.check(Network((dense(3, 1),), Loss.MEAN_SQUARED_ERROR))


def test_diabetes() -> None:
    data = load("diabetes")
    assert [len(p) for p in (data.training, data.validation, data.test)] == [283, 71, 88]
    assert (data.n_inputs, data.n_outputs, data.labelled) == (10, 1, False)
    rows = {row.tobytes() for p in (data.training, data.validation, data.test) for row in p.x}
    assert len(rows) == 442  # all patients differ, so none is in two parts
    restored = data.test.targets[:, 0] * data.scale.factor + data.scale.offset[0]
    # The split never changes: results stay comparable.
    assert np.rint(restored[:5]).astype(int).tolist() == FIRST
    assert restored == pytest.approx(np.rint(restored), abs=1e-9)
    assert not list(data.clipping(Formats()))


#: The disease's progression in the first patients of the test part.
FIRST = [101, 185, 166, 168, 245]
