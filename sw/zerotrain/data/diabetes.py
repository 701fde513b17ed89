"""scikit-learn's diabetes data, embedded in that package: 442 patients, ten measurements each, and
how far the disease had progressed a year later (Efron, Hastie, Johnstone, Tibshirani 2004)."""

from zerotrain.data.dataset import Dataset
from zerotrain.data.embedded import read_table
from zerotrain.data.tabular import from_arrays

__all__ = ["load_diabetes"]

_SEED = 2308
_TEST, _VALIDATION = 88, 71


def load_diabetes() -> Dataset:
    """283 training, 71 validation and 88 test samples of 10 inputs and one target value, which has
    no unit."""
    # Raw: scikit-learn's own scaling would be that of all samples, the test part included.
    x, y = read_table("diabetes_data_raw.csv.gz"), read_table("diabetes_target.csv.gz")[:, None]
    return from_arrays("diabetes", x, y, test=_TEST, validation=_VALIDATION, seed=_SEED)
