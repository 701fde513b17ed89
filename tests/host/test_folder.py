"""Run folders: numbered, locked, never overwritten without a word."""

from pathlib import Path

import pytest

from zerotrain.host.folder import RunFolder, latest_folder, next_folder, point_latest

from . import small


def test_folders_are_numbered(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    names = [next_folder("digits", runs).path.name for _ in range(3)]
    assert names == ["digits-1", "digits-2", "digits-3"]
    (runs / "digits-12").touch()
    (runs / "digits-small-40").mkdir()
    (runs / "digits-x").mkdir()
    assert next_folder("digits", runs).path == runs / "digits-13"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../up", "up-1"),
        ("a b/c", "a-b-c-1"),
        ("ü", "network-1"),
        ("", "network-1"),
        ("x" * 300, f"{'x' * 100}-1"),
    ],
)
def test_names_stay_below_the_runs(name: str, folder: str, tmp_path: Path) -> None:
    assert next_folder(name, tmp_path).path == tmp_path / folder


def test_latest_leads_to_the_last_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        latest_folder(tmp_path)
    assert str(caught.value) == (
        f"There is no latest run, {tmp_path}/latest: name a run's folder with --run-folder"
    )
    for name in ("a", "b"):
        folder = next_folder(name, tmp_path)
        assert point_latest(folder) == ""
        assert latest_folder(tmp_path).path == folder.path
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    assert point_latest(folder) == (
        f"{tmp_path}/latest does not lead to this run (there is something else of that name): name "
        "its folder in later commands."
    )
    assert latest_folder(tmp_path).path == tmp_path / "latest"


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(small.config())
    before = folder.config_path.read_bytes()
    with pytest.raises(FileExistsError) as caught:
        folder.begin(small.config("\n"))
    assert str(caught.value) == (
        f"There is a run in {folder.path} already (config.toml): name another folder, go on with "
        "--resume, or overwrite it with --force"
    )
    assert folder.config_path.read_bytes() == before
    (folder.path / "notes.txt").write_text("mine")
    folder.log_path.touch()
    folder.begin(small.config(), force=True)
    assert {p.name for p in folder.path.iterdir()} == {"config.toml", "notes.txt"}


def test_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    message = (
        rf"^Another process \(\d+\) trains in {tmp_path}: wait for its end, or name another folder$"
    )
    with folder.locked(), pytest.raises(TimeoutError, match=message), RunFolder(tmp_path).locked():
        pass
    with folder.locked():
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(NotADirectoryError) as caught:
        RunFolder(path).begin(small.config())
    assert str(caught.value) == f"{path} is no folder: name another one for the run's files"
    with pytest.raises(NotADirectoryError) as caught:
        RunFolder(path / "below").begin(small.config())
    assert str(caught.value) == (
        f"Cannot make the run's folder {path}/below: {path} is no folder; name another one"
    )


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied", ".config.toml.vwdeqvi8")

    monkeypatch.setattr("zerotrain.spec.files.tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError) as caught:
        RunFolder(tmp_path).begin(small.config())
    assert str(caught.value) == (
        f"Cannot write {tmp_path}/config.toml: you may not write in {tmp_path}"
    )
