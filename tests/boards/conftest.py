"""Where the tests' synthesis runs leave their results."""

from pathlib import Path

import pytest

from zerotrain.spec.files import cache_folder


@pytest.fixture(scope="session")
def work_dir() -> Path:
    """In the build cache: a run with the same Verilog, Yosys, options and counting is not repeated,
    whichever process or session of tests made it."""
    return cache_folder() / "synthesis"
