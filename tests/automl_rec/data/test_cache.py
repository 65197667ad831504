"""A folder of the cache is whole or absent."""

import os
from pathlib import Path

import pytest

from automl_rec.data.cache import cache_folder, write_whole
from automl_rec.errors import DataError


def test_environment_chooses_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOML_REC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_platform_folder_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUTOML_REC_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "automl_rec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "automl_rec"


def test_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_whole(tmp_path / "whole", fail)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_faster_process_stays(tmp_path: Path) -> None:
    def overtaken(target: Path) -> None:
        (target / "file").write_text("slow")
        (tmp_path / "whole").mkdir()
        (tmp_path / "whole" / "file").write_text("fast")

    write_whole(tmp_path / "whole", overtaken)
    assert (tmp_path / "whole" / "file").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [tmp_path / "whole"]


def test_cache_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written .*set AUTOML_REC_CACHE"):
        write_whole(tmp_path / "file" / "whole", lambda _: None)


def test_only_old_leavings_of_killed_processes_are_removed(tmp_path: Path) -> None:
    for name, age_seconds in (("old", 2 * 86_400), ("new", 60)):
        folder = tmp_path / f".unfinished-{name}"
        folder.mkdir()
        now = folder.stat().st_mtime
        os.utime(folder, (now - age_seconds, now - age_seconds))
    write_whole(tmp_path / "whole", lambda _: None)
    assert {f.name for f in tmp_path.iterdir()} == {".unfinished-new", "whole"}
