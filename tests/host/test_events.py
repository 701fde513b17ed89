"""Event files say what the log says."""

import struct
import sys
from pathlib import Path

import pytest

from zerotrain.host.events import events, require_tensorboard
from zerotrain.host.folder import RunFolder
from zerotrain.host.metric import metrics_of
from zerotrain.host.trainer import Row
from zerotrain.spec.losses import Loss

(METRIC,) = metrics_of(Loss.SOFTMAX_CROSS_ENTROPY)
ROWS = [
    Row(0, "start", 2.5, None, 0.125, "", 0, 0, 0, "a"),
    Row(1, "cge", 1.5, 0.25, None, "", 0, 0, 0, "b"),
    Row(2, "cge", 0.5, 0.125, 0.75, "", 0, 0, 0, "c"),
]
WRITTEN = {
    ("loss", 0): 2.5, ("loss", 1): 1.5, ("loss", 2): 0.5, ("step_size", 1): 0.25,
    ("step_size", 2): 0.125, ("test/accuracy", 0): 0.125, ("test/accuracy", 2): 0.75,
}  # fmt: skip


def read(folder: Path) -> dict[tuple[str, int], float]:
    """Scalars of the only event file: records of length, checksum, event, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    (path,) = folder.glob("events.*")
    content, found = path.read_bytes(), {}
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
    return found


def test_events_are_those_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the extra 'tensorboard' is not installed")
    folder = RunFolder(tmp_path)
    with events(folder, ROWS[:2], "test", METRIC) as record:
        record(ROWS[2])
    assert read(folder.events_path) == WRITTEN
    # Whoever goes on writes them anew: no row is there twice.
    with events(folder, ROWS, "test", METRIC):
        pass
    assert read(folder.events_path) == WRITTEN
    assert set(folder.files) > set(folder.events_path.iterdir())


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError) as caught:
        require_tensorboard()
    assert str(caught.value) == (
        "Event files need the package tensorboardX, which is not installed: pip install "
        "'tensorboardx<3,>=2.6.2', or go without them"
    )
