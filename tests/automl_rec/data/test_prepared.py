"""Prepared data: identity, what is known of whom, notes, and the folder."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from automl_rec.data import (
    ColumnNames,
    DataRequest,
    FeatureFile,
    Prepared,
    SplitRequest,
    describe,
    prepare,
)
from automl_rec.errors import DataError

ROWS = [(u, i, 1 + (u + i) % 5, 100 * i + u) for u in range(6) for i in range(u, u + 6)]
TEXT = "user,item,rating,time\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS)


@pytest.fixture
def request_(tmp_path: Path) -> DataRequest:
    (tmp_path / "events.csv").write_text(TEXT)
    return DataRequest(path=str(tmp_path / "events.csv"))


def ids(prepared: Prepared, histories: Any, user: str) -> list[str]:
    """Item ids of one user's history."""
    number = prepared.user_ids.to_list().index(user)
    return prepared.item_ids.gather(histories.of(number)).to_list()


def test_parts_are_each_users_events_in_time_order(tmp_path: Path, request_: DataRequest) -> None:
    prepared = prepare(request_, tmp_path / "cache")
    assert ids(prepared, prepared.catalog.histories, "2") == ["2", "3", "4", "5"]
    assert ids(prepared, prepared.validation, "2") == ["6"]
    assert ids(prepared, prepared.test, "2") == ["7"]
    assert ids(prepared, prepared.known("validation"), "2") == ["2", "3", "4", "5"]
    assert ids(prepared, prepared.known("test"), "2") == ["2", "3", "4", "5", "6"]
    histories = prepared.catalog.histories
    assert histories.times is not None
    own = histories.select(np.array([2]))
    assert own.times is not None
    assert own.times.tolist() == [202.0, 302.0, 402.0, 502.0]


def test_catalog_counts_items_of_train_only(tmp_path: Path, request_: DataRequest) -> None:
    prepared = prepare(request_, tmp_path / "cache")
    assert prepared.item_ids.to_list() == [str(i) for i in range(11)]
    expected = [sum(u <= i < u + 4 for u in range(6)) for i in range(11)]
    assert prepared.catalog.item_counts.tolist() == expected
    assert "1 validation event with 1 item never seen in train" in " ".join(prepared.notes)
    assert "2 test events with 2 items never seen in train" in " ".join(prepared.notes)


def test_held_out_users_reveal_part_of_their_events(tmp_path: Path, request_: DataRequest) -> None:
    split = SplitRequest("user-disjoint", validation=0.2, test=0.2, holdout=0.5)
    prepared = prepare(replace(request_, split=split), tmp_path / "cache")
    for part in ("validation", "test"):
        held_out = prepared.validation if part == "validation" else prepared.test
        (user,) = np.flatnonzero(held_out.lengths).tolist()
        assert held_out.lengths[user] == 3
        assert prepared.catalog.user_counts[user] == 0
        known = prepared.known(part)
        assert known.lengths[user] == 3
        assert not set(known.of(user)) & set(held_out.of(user))
        assert known.times is not None
        assert (np.diff(known.times[known.indptr[user] : known.indptr[user + 1]]) > 0).all()
    assert prepared.description["revealed"] == 6


def test_second_call_opens_what_the_first_wrote(tmp_path: Path, request_: DataRequest) -> None:
    first = prepare(request_, tmp_path / "cache")
    written = (first.folder / "description.json").stat().st_mtime_ns
    second = prepare(request_, tmp_path / "cache")
    assert second.folder == first.folder == tmp_path / "cache" / first.digest
    assert (second.folder / "description.json").stat().st_mtime_ns == written
    assert [f.name for f in (tmp_path / "cache").iterdir()] == [first.digest]


def test_arrays_are_memory_mapped_and_read_only(tmp_path: Path, request_: DataRequest) -> None:
    items = prepare(request_, tmp_path / "cache").catalog.histories.items
    assert isinstance(items, np.memmap)
    assert not items.flags.writeable


def test_place_of_the_file_does_not_matter(tmp_path: Path, request_: DataRequest) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.csv").write_text(TEXT)
    moved = replace(request_, path=str(tmp_path / "elsewhere" / "other.csv"))
    cache = tmp_path / "cache"
    assert prepare(moved, cache).digest == prepare(request_, cache).digest


def test_plain_text_named_gz_is_refused_though_the_same_bytes_are_prepared(
    tmp_path: Path, request_: DataRequest
) -> None:
    cache = tmp_path / "cache"
    prepare(request_, cache)
    (tmp_path / "events.csv.gz").write_text(TEXT)
    with pytest.raises(DataError, match="the gzip file is damaged or cut short"):
        prepare(replace(request_, path=str(tmp_path / "events.csv.gz")), cache)


def test_content_changes_the_digest(tmp_path: Path, request_: DataRequest) -> None:
    before = prepare(request_, tmp_path / "cache").digest
    (tmp_path / "events.csv").write_text(TEXT + "5,0,1,9999\n")
    assert prepare(request_, tmp_path / "cache").digest != before


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 2.0},
        {"label_range": (0.0, 9.0)},
        {"k_core": 2},
        {"duplicates": "last"},
        {"seed": 1},
        {"separator": ","},
        {"split": SplitRequest("random")},
        {"split": SplitRequest(test=0.2)},
        {"columns": ColumnNames(user="user")},
    ],
)
def test_request_changes_the_digest(
    tmp_path: Path, request_: DataRequest, change: dict[str, Any]
) -> None:
    cache = tmp_path / "cache"
    changed = prepare(replace(request_, **change), cache)
    assert changed.digest != prepare(request_, cache).digest


def test_features_change_the_digest(tmp_path: Path, request_: DataRequest) -> None:
    (tmp_path / "users.csv").write_text("user,age\n0,1\n")
    features = FeatureFile(str(tmp_path / "users.csv"), {"age": "numeric"})
    with_features = replace(request_, user_features=features)
    prepared = prepare(with_features, tmp_path / "cache")
    np.testing.assert_array_equal(prepared.catalog.user_features["age"].values, [1] + [np.nan] * 5)
    assert "5 of 6 users have no row of features." in prepared.notes
    digests = {prepare(request_, tmp_path / "cache").digest, prepared.digest}
    (tmp_path / "users.csv").write_text("user,age\n0,2\n")
    assert len(digests | {prepare(with_features, tmp_path / "cache").digest}) == 3


def test_vectors_come_back_with_their_width(tmp_path: Path, request_: DataRequest) -> None:
    (tmp_path / "users.csv").write_text("user,at\n1,2|3.5\n9,0|1\n")
    features = FeatureFile(str(tmp_path / "users.csv"), {"at": "vector"})
    prepared = prepare(replace(request_, user_features=features), tmp_path / "cache")
    found = prepared.catalog.user_features["at"]
    assert (found.kind, found.cardinality, found.indptr) == ("vector", 2, None)
    assert found.values.tolist() == [[0, 0], [2, 3.5], *[[0, 0]] * 4]


def test_extension_of_a_feature_file_changes_the_digest(
    tmp_path: Path, request_: DataRequest
) -> None:
    digests = set()
    for name in ("users.tsv", "users.inter"):
        (tmp_path / name).write_text("user\ttags\n0\ta b|c\n")
        features = FeatureFile(str(tmp_path / name), {"tags": "multi"})
        prepared = prepare(replace(request_, user_features=features), tmp_path / "cache")
        digests.add(prepared.digest)
        assert prepared.feature_values("user", "tags").to_list() == (
            ["a b", "c"] if name == "users.tsv" else ["a", "b|c"]
        )
    assert len(digests) == 2


def test_all_kinds_of_features_survive_the_folder(tmp_path: Path, request_: DataRequest) -> None:
    (tmp_path / "i.csv").write_text("item,colour,tags\n0,red,a|b\n1,blue,\n2,red,b\n")
    features = FeatureFile(str(tmp_path / "i.csv"), {"colour": "categorical", "tags": "multi"})
    prepared = prepare(replace(request_, item_features=features), tmp_path / "cache")
    colour, tags = (prepared.catalog.item_features[name] for name in ("colour", "tags"))
    assert colour.values.tolist() == [1, 0, 1] + [-1] * 8
    assert prepared.feature_values("item", "colour").to_list() == ["blue", "red"]
    assert (tags.kind, tags.cardinality, tags.values.tolist()) == ("multi", 2, [0, 1, 1])
    assert tags.indptr is not None
    assert tags.indptr.tolist() == [0, 2, 2] + [3] * 9


def test_feature_without_any_value_is_kept_empty(tmp_path: Path, request_: DataRequest) -> None:
    (tmp_path / "i.csv").write_text("item,tags\n0,\n1,\n")
    features = FeatureFile(str(tmp_path / "i.csv"), {"tags": "multi"})
    prepared = prepare(replace(request_, item_features=features), tmp_path / "cache")
    assert prepared.catalog.item_features["tags"].values.tolist() == []


def test_description_is_plain_data_with_counts_and_filters(
    tmp_path: Path, request_: DataRequest
) -> None:
    (tmp_path / "events.csv").write_text(TEXT + "0,0,5,9000\n")
    facts = dict(describe(request_, tmp_path / "cache"))
    assert json.loads(json.dumps(facts)) == facts
    assert [facts[k] for k in ("users", "items", "train", "validation", "test")] == [
        6,
        11,
        24,
        6,
        6,
    ]
    assert facts["density"] == pytest.approx(36 / 66)
    assert facts["filters"] == [
        {"step": "read", "events": 37, "users": 6, "items": 11},
        {"step": "duplicates", "events": 36, "users": 6, "items": 11},
    ]
    assert facts["notes"][0] == (
        "Filter duplicates dropped 1 event, 0 users and 0 items; 36 events left."
    )


def test_domains_and_behaviours_are_tallied(tmp_path: Path) -> None:
    rows = "".join(f"{u},{i},{i},{'view' if i else 'buy'},d\n" for u in "ab" for i in range(4))
    (tmp_path / "e.csv").write_text("user,item,time,behaviour,domain\n" + rows)
    facts = describe(DataRequest(path=str(tmp_path / "e.csv")), tmp_path / "cache")
    assert facts["behaviours"] == {"buy": 2, "view": 6}
    assert facts["domains"] == {"d": 8}


def test_users_with_one_event_are_kept_in_train_and_reported(
    tmp_path: Path, request_: DataRequest
) -> None:
    (tmp_path / "events.csv").write_text(TEXT + "77,0,1,1\n78,1,1,1\n")
    prepared = prepare(request_, tmp_path / "cache")
    assert ids(prepared, prepared.catalog.histories, "77") == ["0"]
    assert ids(prepared, prepared.test, "77") == []
    assert "2 users with one event: kept where it is, never split." in prepared.notes


def test_test_item_never_seen_in_train_is_kept_counted_and_reported(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item\n1,a\n1,b\n2,a\n2,b\n")
    (tmp_path / "validation.csv").write_text("user,item\n1,c\n3,a\n")
    (tmp_path / "test.csv").write_text("user,item\n1,d\n2,d\n2,c\n")
    files = {p: str(tmp_path / f"{p}.csv") for p in ("train", "validation", "test")}
    prepared = prepare(DataRequest(**files), tmp_path / "cache")  # type: ignore[arg-type]
    assert ids(prepared, prepared.test, "2") == ["d", "c"]
    assert prepared.catalog.item_counts.tolist() == [2, 2, 0, 0]
    assert prepared.catalog.histories.times is None
    cold = "never seen in train: kept, and counted as missed by models that know no such item."
    assert f"1 validation event with 1 item {cold}" in prepared.notes
    assert f"3 test events with 2 items {cold}" in prepared.notes
    unknown = "1 user in validation without a known event: kept, ranked without a history."
    assert unknown in prepared.notes


def test_labels_of_zero_and_one_without_threshold_are_reported(tmp_path: Path) -> None:
    rows = "".join(f"{u},{i},{i % 2}\n" for u in "ab" for i in range(9))
    (tmp_path / "e.csv").write_text("user,item,label\n" + rows)
    request = DataRequest(path=str(tmp_path / "e.csv"))
    note = "Labels are 0 and 1 and all count as events; data.threshold: 1 keeps only the ones."
    assert note in prepare(request, tmp_path / "cache").notes
    with_threshold = prepare(replace(request, threshold=1), tmp_path / "cache")
    assert note not in with_threshold.notes
    assert with_threshold.description["events"] == 8


def test_preparing_twice_at_once_is_safe(tmp_path: Path, request_: DataRequest) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: prepare(request_, tmp_path / "cache"), range(8)))
    assert len({r.folder for r in results}) == 1
    assert [f.name for f in (tmp_path / "cache").iterdir()] == [results[0].digest]


def test_environment_names_the_cache(
    tmp_path: Path, request_: DataRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_REC_CACHE", str(tmp_path / "chosen"))
    assert prepare(request_).folder.parent == tmp_path / "chosen"


def test_damaged_folder_is_explained(tmp_path: Path, request_: DataRequest) -> None:
    folder = prepare(request_, tmp_path / "cache").folder
    (folder / "train.items.npy").write_bytes(b"short")
    remedy = "Delete the folder and prepare them again"
    with pytest.raises(DataError, match=remedy):
        _ = Prepared.open(folder).catalog
    (folder / "users.parquet").unlink()
    with pytest.raises(DataError, match=remedy):
        _ = Prepared.open(folder).user_ids
    (folder / "description.json").write_text('{"format_version": -1}')
    with pytest.raises(DataError, match="another format version"):
        Prepared.open(folder)
    with pytest.raises(DataError, match=remedy):
        Prepared.open(tmp_path / "nothing")


def test_ids_come_back_as_they_were(tmp_path: Path) -> None:
    users = ["007", "Ünal", "a b", "-3"]
    frame = pl.DataFrame({"user": users * 3, "item": [f"i{n % 5}" for n in range(12)]})
    frame.write_csv(tmp_path / "e.csv")
    prepared = prepare(DataRequest(path=str(tmp_path / "e.csv")), tmp_path / "cache")
    assert prepared.user_ids.to_list() == sorted(users, key=str.encode)
