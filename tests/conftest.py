"""Settings shared by all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Drawn cases are the same in every run, so that a red test stays red until it is repaired; and
# without a per-example deadline, for simulations share processors. `HYPOTHESIS_PROFILE=search`
# looks for new cases instead.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", _COMMON, derandomize=True, database=None)
settings.register_profile("search", _COMMON, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread_per_process() -> None:
    """Keep NumPy's BLAS from starting a thread per processor in each of the test processes."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
