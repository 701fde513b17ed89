"""Tables as data sets: standardised by their training part, and what does not fit a format."""

from typing import Any

import numpy as np
import pytest

from zerotrain.config.data import Scaling
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


def test_labels_become_numbers_in_sorted_order() -> None:
    x, _ = table()
    for y, classes, legend in (
        (x[:, 0] > 5, (0, 1), ""),
        (np.where(x[:, 0] > 5, "b", "a"), ("a", "b"), "0 a, 1 b"),
        (np.where(x[:, 0] > 5, "9", "10.0"), (9, 10), "0 9, 1 10"),
        (np.where(x[:, 0] > 5, "9", "b").astype(object), ("9", "b"), "0 9, 1 b"),
        (np.where(x[:, 0] > 5, -3, 7), (-3, 7), "0 -3, 1 7"),
    ):
        data = from_arrays("t", x, y)
        assert (data.classes, data.legend, data.n_outputs) == (classes, legend, 2)
        assert [len(p) for p in (data.training, data.validation, data.test)] == [70, 10, 20]
        first = data.training.targets[data.training.x[:, 0] > 0.1]  # these are above 5
        assert set(first.tolist()) <= {0, 1} and len(set(first.tolist())) == 1
    assert from_arrays("t", x, x[:, 0] // 1, labels=True).classes == (4, 5)


def test_parts_that_are_given() -> None:
    x, y = table()
    data = from_arrays("t", x, y, test=(x[:7], y[:7]), validation=3)
    assert [len(p) for p in (data.training, data.validation, data.test)] == [97, 3, 7]
    mean, deviation = data.inputs.offset, data.inputs.factor
    assert data.test.x == pytest.approx((x[:7] - mean) / deviation)
    assert x.max() > 20  # what was given stays as it was
    labels = np.where(x[:, 0] > 5, "b", "a")
    with pytest.raises(ValueError, match=r"^t: label 'c' is in the test part and not in the "
                       r"training part \(90 samples\): give more samples of it, another seed of "
                       r"the split, or smaller parts$"):  # fmt: skip
        from_arrays("t", x, labels, test=(x[:2], np.array(["a", "c"])))


@pytest.mark.parametrize(
    ("scaling", "low", "high"), [(Scaling.RANGE, 0, 1), (Scaling.SYMMETRIC, -1, 1)]
)
def test_ranges(scaling: Scaling, low: float, high: float) -> None:
    x, y = table()
    data = from_arrays("t", x, y, scaling=scaling)
    column = data.training.x[:, 1]
    assert (column.min(), column.max()) == pytest.approx((low, high))
    # Also samples outside the training part's range are scaled alike.
    found = np.concatenate([part.x for part in (data.training, data.validation, data.test)])
    assert np.sort(found, axis=0) == pytest.approx(np.sort(data.inputs.apply(x), axis=0))


def test_no_scaling() -> None:
    x, y = table()
    data = from_arrays("t", x, y, scaling=Scaling.NONE)
    found = np.concatenate([part.x for part in (data.training, data.validation, data.test)])
    assert (np.sort(found, axis=0) == np.sort(x, axis=0)).all()


def test_images_have_a_shape() -> None:
    data = from_arrays("t", np.arange(120.0).reshape(20, 2, 3).astype(np.uint8), np.arange(20) % 2)
    assert (data.image_shape, data.n_inputs) == ((2, 3), 6)


def test_remarks() -> None:
    x, y = table()
    x[:, 0] = np.arange(100)
    data = from_arrays("t", x, y, columns=["index", "b", "c"])
    assert data.remarks == (
        "t: index numbers the samples, as an index does: leave it out with ignore, unless the "
        "order is to be learnt.",
        "t: c is constant in the training part and says nothing.",
    )


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.eye(9), np.zeros(9, int), {}, "t: all labels are 0: expected at least two classes"),
        (np.eye(9), np.ones(9), {}, "t: all samples of the training part have the same target "
         "values: expected some that differ"),
        (np.eye(9)[0], np.ones(9), {}, "t: the inputs of the training part have the shape (9,): "
         "expected a row of at least one input for every sample"),
        (np.eye(9), np.ones(8), {}, "t: the training part has 9 rows of inputs and 8 targets: "
         "expected as many"),
        (np.eye(2), np.ones(2), {}, "t has 2 samples, of which 1 are for the test and 1 for "
         "validation: expected some for training; give more samples, or smaller parts"),
        (np.eye(9).astype(str), np.ones(9), {}, "t: the inputs of the training part have elements "
         "of type <U32: expected numbers"),
        (np.eye(9), np.eye(9), {"labels": True}, "t: y of the training part has the shape (9, 9): "
         "expected one label for every sample; of one-hot rows take argmax(axis=1)"),
        (np.eye(9), np.arange(9) / 2, {"labels": True}, "t: y of the training part, sample 2, is "
         "0.5: expected a label, a text or a whole number; for values to be predicted take loss = "
         '"mean_squared_error", as new --regression does'),
        (np.eye(9), np.array(list("abcabcabc")), {"labels": False}, "t: y of the training part has "
         'elements of type <U1: expected numbers; for labels take loss = "softmax_cross_entropy"'),
        (np.eye(9), np.full(9, np.nan), {}, "t: targets of the training part, sample 1, number 1, "
         "is nan: expected finite numbers; fill missing values in, or drop the sample"),
        (np.eye(9) / np.eye(9)[::-1].clip(0.5), np.arange(9.0), {"test": 9}, "t has 9 samples, of "
         "which 9 are for the test and 1 for validation: expected some for training; give more "
         "samples, or smaller parts"),
        (np.eye(9) * 1e200, np.arange(9.0), {"seed": 3}, "t: input 5 reaches from 0 to 1e+200: "
         "expected numbers up to 1e+100 that differ by 1e-100 or not at all; give it in another "
         "unit"),
        (np.eye(9), np.arange(9.0), {"test": 1.5}, "test is a share of the samples between 0 and "
         "1, a number of samples, or the name of a file, not 1.5"),
        (np.eye(9), np.arange(9.0), {"test": "a.csv"}, "t: parts of arrays are shares, numbers of "
         "samples, or pairs (x, y)"),
        (np.eye(9), np.arange(9.0), {"test": (np.ones((2, 3)), np.ones(2))}, "t: samples have the "
         "shape (9,) in the training part and (3,) in the test part: expected the same"),
        (np.eye(9), np.arange(9.0), {"test": (np.ones((2, 9)), np.ones((2, 2)))}, "t: the "
         "number of target values is 1 in the training part and 2 in the test part: expected the "
         "same"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_arrays(
    x: np.ndarray, y: np.ndarray, options: dict[str, Any], message: str
) -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError) as caught:
        from_arrays("t", x, y, **options)
    assert str(caught.value) == message


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
