import errno
from pathlib import Path

import pytest

from nasrec_automl.data.files import beside_of
from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline import files
from nasrec_automl.pipeline.files import check_output_folder, read_json, write_json, write_json_once, write_text


def test_json_round_trips_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "value.json"
    write_json(path, {"x": [1, 2.5, None, "ü"]})
    assert read_json(path) == {"x": [1, 2.5, None, "ü"]}
    assert path.read_text().endswith("}\n")
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]


def test_no_file_is_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None


def test_a_file_that_a_crash_left_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("")
    with pytest.raises(RunFolderError, match=r"a\.json: is not whole; .*Restore it, or use another run_folder"):
        read_json(tmp_path / "a.json")


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    write_text(path, "before")

    def dies(source: Path, target: Path) -> None:
        assert Path(source).read_text() == "after", "written whole before the rename"
        assert Path(source).parent == path.parent, "on the same file system"
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "after")
    assert path.read_text() == "before"


def test_a_value_that_is_no_json_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert read_json(path) == 1


def test_on_a_full_disk_the_old_file_stays_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})
    beside_of(path).symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match=r"file\.json: cannot be written .No space left on device.; mend it"):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_that_write_once_the_first_ones_stays(tmp_path: Path) -> None:
    path = tmp_path / "a" / "value.json"
    write_json_once(path, 1)
    write_json_once(path, 2)
    assert read_json(path) == 1
    assert list(path.parent.iterdir()) == [path]


def test_what_is_written_once_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "value.json"

    def dies(source: Path, target: Path) -> None:
        assert read_json(source) == 1, "written whole before the link"
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "link", dies)
    with pytest.raises(KeyboardInterrupt):
        write_json_once(path, 1)
    assert not path.exists()


def test_on_a_file_system_without_links_a_file_is_written_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", no_links)
    path = tmp_path / "value.json"
    write_json_once(path, 1)
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_or_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output_folder(tmp_path)
    check_output_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(
            RunFolderError, match=rf"^{path}: cannot be written, since {tmp_path / 'file'} is no folder"
        ):
            check_output_folder(path)
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(RunFolderError, match=rf"a: cannot be written, since nothing can be made in {tmp_path}:"):
        check_output_folder(tmp_path / "a")
