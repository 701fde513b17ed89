"""One work folder for the results of all synthesis runs of a test process."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthesis")
