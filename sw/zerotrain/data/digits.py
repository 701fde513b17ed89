"""scikit-learn's handwritten digits: 1797 images of 8 x 8 pixels, embedded in that package."""

import numpy as np

from zerotrain.data.dataset import Dataset, Split

__all__ = ["load_digits"]

_SEED = 2308
_TEST, _VALIDATION = 360, 287


def load_digits() -> Dataset:
    """1150 training, 287 validation and 360 test samples.

    Pixels 0..16 are divided by 8: exact in binary, with a mean square near 1.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    samples = Split(bunch.data.astype(np.float64) / 8.0, bunch.target.astype(np.int64))
    return Dataset.split(
        "digits", samples, 10, (8, 8), test=_TEST, validation=_VALIDATION, seed=_SEED
    )
