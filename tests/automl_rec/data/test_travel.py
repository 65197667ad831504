"""Prepared data that reach another machine: another folder and another cache."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from automl_rec.data import DataRequest, Prepared, prepare
from automl_rec.data.travel import Files, arrived, inside, packed
from automl_rec.errors import DataError, StorageError


@pytest.fixture
def data(tmp_path: Path) -> Prepared:
    lines = [f"u{user},i{item}" for user in range(12) for item in range(user % 4, 9)]
    (tmp_path / "events.csv").write_text("user,item\n" + "\n".join(lines) + "\n")
    return prepare(DataRequest(path=str(tmp_path / "events.csv")), tmp_path / "home")


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOML_REC_CACHE", str(tmp_path / "away"))
    return tmp_path / "away"


def never() -> Files:
    raise AssertionError("nothing need be fetched")


def test_data_that_are_seen_are_used_where_they_are(data: Prepared, away: Path) -> None:
    assert arrived(data.folder, data.digest, never).folder == data.folder
    assert not away.exists()


def test_data_out_of_sight_arrive_once_and_whole(data: Prepared, away: Path) -> None:
    (data.folder / "derived").mkdir(exist_ok=True)
    copy = arrived(Path("/nowhere"), data.digest, lambda: packed(data))
    assert copy.folder == away / data.digest
    assert {path.name for path in copy.folder.iterdir()} == {
        path.name for path in data.folder.iterdir() if path.is_file()
    }
    np.testing.assert_array_equal(copy.catalog.histories.items, data.catalog.histories.items)
    np.testing.assert_array_equal(copy.validation.items, data.validation.items)
    assert isinstance(copy.catalog.histories.items.base, np.memmap) or isinstance(
        copy.catalog.histories.items, np.memmap
    )
    assert arrived(Path("/nowhere"), data.digest, never).folder == copy.folder


def test_data_of_another_digest_are_not_those_that_are_seen(data: Prepared, away: Path) -> None:
    with pytest.raises(DataError, match="is not the prepared data other"):
        arrived(data.folder, "other", lambda: packed(data))


def test_one_of_many_fetches(data: Prepared, away: Path) -> None:
    fetched = []

    def fetch() -> Files:
        fetched.append(threading.get_ident())
        time.sleep(0.2)
        return packed(data)

    found: list[Prepared] = []
    threads = [
        threading.Thread(target=lambda: found.append(arrived(Path("/no"), data.digest, fetch)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1
    assert [each.folder for each in found] == [away / data.digest] * 5


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a\0", "a\n"])
def test_no_name_leads_out_of_a_folder(
    tmp_path: Path, data: Prepared, away: Path, name: str
) -> None:
    with pytest.raises(StorageError, match="must have a plain name"):
        inside(tmp_path, name)
    files = {**packed(data), name: np.zeros(1, np.uint8)}
    with pytest.raises(StorageError, match="must have a plain name"):
        arrived(Path("/nowhere"), data.digest, lambda: files)
    assert not (away / data.digest).exists()
