"""scikit-learn's handwritten digits: 1797 images of 8 x 8 pixels, embedded in that package."""

import numpy as np

from zerotrain.data.dataset import Dataset, Split
from zerotrain.data.embedded import read_table

__all__ = ["load_digits"]

_SEED = 2308
_TEST, _VALIDATION = 360, 287


def load_digits() -> Dataset:
    """1150 training, 287 validation and 360 test samples.

    Pixels 0..16 are divided by 8: exact in binary, with a mean square near 1.
    """
    table = read_table("digits.csv.gz")
    samples = Split(table[:, :-1] / 8.0, table[:, -1].astype(np.int64))
    return Dataset.split(
        "digits", samples, 10, (8, 8), test=_TEST, validation=_VALIDATION, seed=_SEED
    )
