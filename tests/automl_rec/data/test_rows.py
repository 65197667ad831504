"""From files of labelled rows to prepared tables; each kind of bad input is refused in words."""

import re
from collections.abc import Callable
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
from automl_rec.plugin import RowTable

HEADER = "user,item,label,hour,price,tags\n"
TRAIN = HEADER + "a,x,1,3,1.5,p|q\nb,y,0,4,,q\na,y,0,3,4.5,\nc,x,1,,3,r|p\n"
VALIDATION = HEADER + "a,x,1,3,3,p\nd,z,0,9,9,s|q\n"
TEST = HEADER + "b,x,0,4,,\na,y,1,3,0,r\n"
FIELDS = {"hour": "categorical", "price": "numeric", "tags": "multi"}

Prepare = Callable[..., Prepared]
Refused = Callable[..., str]


@pytest.fixture
def given(tmp_path: Path) -> Prepare:
    """Prepare three files of these contents."""

    def run(train: str = TRAIN, validation: str | None = VALIDATION, **fields: Any) -> Prepared:
        (tmp_path / "train.csv").write_text(train)
        (tmp_path / "test.csv").write_text(fields.pop("held_out", TEST))
        if validation is not None:
            (tmp_path / "validation.csv").write_text(validation)
        request = DataRequest(
            train=str(tmp_path / "train.csv"),
            validation=None if validation is None else str(tmp_path / "validation.csv"),
            test=str(tmp_path / "test.csv"),
            **{"task": "ranking", "fields": FIELDS} | fields,
        )
        return prepare(request, tmp_path / "cache")

    return run


@pytest.fixture
def refused(given: Prepare, tmp_path: Path) -> Refused:
    """Prepare, and give the message it is refused with; nothing is left behind."""

    def run(*contents: str, **fields: Any) -> str:
        with pytest.raises(DataError) as caught:
            given(*contents, **fields)
        cache = tmp_path / "cache"
        assert not cache.exists() or not list(cache.iterdir())
        return str(caught.value).replace(str(tmp_path) + "/", "")

    return run


def train(prepared: Prepared) -> RowTable:
    rows = prepared.catalog.rows
    assert rows is not None
    return rows


def values(table: RowTable, name: str) -> list[Any]:
    return list(table.fields[name].values.tolist())


def test_fields_are_numbered_after_train_alone(given: Prepare) -> None:
    prepared = given()
    assert list(train(prepared).fields) == ["user", "item", "hour", "price", "tags"]
    assert values(train(prepared), "user") == [1, 2, 1, 3]
    assert values(train(prepared), "hour") == [1, 2, 1, 0]
    assert values(prepared.rows("validation"), "user") == [1, 0]
    assert values(prepared.rows("validation"), "item") == [1, 0]
    assert values(prepared.rows("test"), "hour") == [2, 1]
    sizes = {name: field.cardinality for name, field in train(prepared).fields.items()}
    assert sizes == {"user": 4, "item": 3, "hour": 3, "price": 0, "tags": 4}


def test_numbers_are_standardised_after_train_alone(given: Prepare) -> None:
    prepared = given()
    deviation = 1.5**0.5
    np.testing.assert_allclose(
        values(train(prepared), "price"), [-1.5 / deviation, 0, 1.5 / deviation, 0], rtol=1e-6
    )
    np.testing.assert_allclose(values(prepared.rows("validation"), "price"), [0, 6 / deviation])


def test_several_values_keep_their_rows(given: Prepare) -> None:
    tags = train(given()).fields["tags"]
    assert tags.indptr is not None
    assert (tags.indptr.tolist(), tags.values.tolist()) == ([0, 2, 3, 3, 5], [1, 2, 2, 3, 1])
    assert values(given().rows("validation"), "tags") == [1, 0, 2]


def test_labels_and_users_of_all_parts_are_kept(given: Prepare) -> None:
    prepared = given()
    assert train(prepared).labels.tolist() == [1, 0, 0, 1]
    assert train(prepared).labels.dtype == np.float32
    groups = [train(prepared).groups, prepared.rows("validation").groups]
    assert [g.tolist() for g in groups if g is not None] == [[0, 1, 0, 2], [0, 3]]


def test_the_catalog_holds_rows_and_nobody(given: Prepare) -> None:
    catalog = given().catalog
    assert (catalog.num_items, catalog.num_users) == (0, 0)
    assert catalog.counts("user").tolist() == [0, 2, 1, 1]
    assert catalog.counts("hour").tolist() == [1, 2, 1]
    assert catalog.counts("tags").tolist() == [0, 2, 2, 1]


def test_tables_are_memory_mapped_and_read_only(given: Prepare) -> None:
    rows = train(given())
    arrays = [rows.labels, rows.groups, *(field.values for field in rows.fields.values())]
    assert all(isinstance(a, np.memmap) and not a.flags.writeable for a in arrays)


def test_new_rows_are_encoded_as_the_prepared_ones(given: Prepare, tmp_path: Path) -> None:
    prepared = given()
    found = prepared.encoding.encode(pl.read_csv(tmp_path / "validation.csv"))
    for name, field in prepared.rows("validation").fields.items():
        np.testing.assert_array_equal(found[name].values, field.values)
        np.testing.assert_array_equal(found[name].indptr, field.indptr)


def test_a_threshold_makes_labels_of_ratings(given: Prepare) -> None:
    texts = [text.replace("label", "rating") for text in (TRAIN, VALIDATION, TEST)]
    prepared = given(*texts[:2], held_out=texts[2], threshold=1)
    assert train(prepared).labels.tolist() == [1, 0, 0, 1]
    stars = "user,item,stars\n" + "".join(f"a,x,{n}\n" for n in (1, 3.5, 4, 5))
    prepared = given(stars, stars, held_out=stars, threshold=4, fields={})
    assert train(prepared).labels.tolist() == [0, 0, 1, 1]


def test_user_and_item_have_the_kind_and_column_that_are_named(given: Prepare) -> None:
    texts = [text.replace("user", "who") for text in (TRAIN, VALIDATION, TEST)]
    prepared = given(
        *texts[:2],
        held_out=texts[2],
        columns=ColumnNames(user="who"),
        fields={"item": "multi"},
    )
    fields = prepared.description["fields"]
    assert [(f["name"], f["column"], f["kind"]) for f in fields] == [
        ("user", "who", "categorical"),
        ("item", "item", "multi"),
    ]


def test_without_users_there_are_no_groups(given: Prepare) -> None:
    texts = [text.replace("user,item", "u,i") for text in (TRAIN, VALIDATION, TEST)]
    prepared = given(*texts[:2], held_out=texts[2])
    assert list(train(prepared).fields) == ["hour", "price", "tags"]
    assert train(prepared).groups is None
    assert prepared.description["users"] is None


def test_an_empty_user_is_unknown_and_in_no_group(given: Prepare) -> None:
    rows = train(given(TRAIN.replace("c,x", ",x")))
    assert rows.groups is not None
    assert rows.groups.tolist() == [0, 1, 0, -1]
    assert values(rows, "user") == [1, 2, 1, 0]


def test_rare_values_share_a_number_and_are_reported(given: Prepare) -> None:
    prepared = given(min_count=2)
    assert values(train(prepared), "user") == [1, 0, 1, 0]
    rare = "values are met in fewer train rows than data.min_count and count as unknown."
    assert f"Field user: 2 of 3 {rare}" in prepared.notes
    assert f"Field tags: 1 of 3 {rare}" in prepared.notes
    assert not any(note.startswith("Field item") for note in prepared.notes)


def test_unknown_values_and_empty_fields_are_reported(given: Prepare) -> None:
    texts = [TRAIN.replace("3,1.5", ",1.5").replace("4,,q", ",,q").replace("3,4.5", ",4.5")]
    notes = given(*texts).notes
    assert "Field hour is empty in train: it tells nothing." in notes
    unknown = "Of 2 validation rows a value is unknown to train: user 1, item 1, hour 2."
    assert unknown in notes


def test_features_are_joined_by_their_ids(given: Prepare, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,colour,size,kinds\nx,red,2,m|n\nz,blue,4,\n")
    columns = {"colour": "categorical", "size": "numeric", "kinds": "multi"}
    items = FeatureFile(str(tmp_path / "items.csv"), columns)  # type: ignore[arg-type]
    prepared = given(item_features=items, fields={})
    rows = train(prepared)
    assert list(rows.fields) == ["user", "item", "colour", "size", "kinds"]
    assert values(rows, "colour") == [1, 0, 0, 1]
    assert rows.fields["colour"].cardinality == 2  # blue is not met in train
    assert values(rows, "size") == [0, 0, 0, 0]
    assert values(rows, "kinds") == [1, 2, 1, 2]
    assert values(prepared.rows("validation"), "colour") == [1, 0]
    assert values(prepared.rows("validation"), "size") == [0, 2]
    assert "3 of 8 rows name no item with a row of features." in prepared.notes
    new = prepared.encoding.encode(pl.DataFrame({"user": ["a"], "item": ["x"]}))
    assert (new["colour"].values.tolist(), new["kinds"].values.tolist()) == ([1], [1, 2])


def test_a_column_that_is_named_goes_before_a_feature(given: Prepare, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,hour\nx,7\n")
    items = FeatureFile(str(tmp_path / "items.csv"), {"hour": "categorical"})
    assert values(train(given(item_features=items)), "hour") == [1, 2, 1, 0]


def test_one_file_is_split_at_random_though_it_has_times(tmp_path: Path) -> None:
    rows = "".join(f"u{n % 7},{n},{n % 2}\n" for n in range(100))
    (tmp_path / "e.csv").write_text("user,time,click\n" + rows)
    request = DataRequest(path=str(tmp_path / "e.csv"), task="ranking")
    prepared = prepare(request, tmp_path / "cache")
    assert [prepared.description[part] for part in ("train", "validation", "test")] == [80, 10, 10]
    assert prepared.description["split"] == "random"
    later = prepare(replace(request, seed=1), tmp_path / "cache")
    assert values(train(later), "user") != values(train(prepared), "user")
    latest = prepare(replace(request, split=SplitRequest("temporal")), tmp_path / "cache")
    expected = [1 + n % 7 for n in range(100)]
    assert values(latest.rows("test"), "user") == expected[90:]
    assert values(train(latest), "user") == expected[:80]


def test_without_a_validation_file_train_gives_some(given: Prepare) -> None:
    many = HEADER + "a,x,1,3,1.5,p\nb,y,0,4,2,q\n" * 20
    prepared = given(many, None, split=SplitRequest(validation=0.25))
    assert [prepared.description[part] for part in ("train", "validation")] == [30, 10]
    assert "No validation file is given: 10 rows of train serve as it." in prepared.notes


def test_text_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    for part, rows in {"train": 30, "validation": 8, "test": 8}.items():
        lines = "".join(f"{n % 2}\tv{n % 3}\t\n" for n in range(rows))
        (tmp_path / f"{part}.csv").write_text(lines + "\n")
    request = DataRequest(
        train=str(tmp_path / "train.csv"),
        validation=str(tmp_path / "validation.csv"),
        test=str(tmp_path / "test.csv"),
        separator="\t",
        header=False,
        task="ranking",
        columns=ColumnNames(label="c0"),
        fields={"c1": "categorical", "c2": "binned"},
    )
    prepared = prepare(request, tmp_path / "cache")
    assert values(train(prepared), "c1") == [1, 2, 3] * 10
    assert train(prepared).labels.tolist() == [0, 1] * 15


def test_a_built_in_source_can_be_ranked(tmp_path: Path) -> None:
    request = DataRequest(source="movielens-small", task="ranking", threshold=4)
    facts = describe(request, tmp_path)
    assert facts["rows"] == 100_004
    assert [(f["name"], f["kind"]) for f in facts["fields"]] == [
        ("user", "categorical"),
        ("item", "categorical"),
        ("genres", "multi"),
        ("year", "numeric"),
    ]
    assert facts["positives"]["train"] == pytest.approx(0.516, abs=0.01)
    table = Prepared.open(tmp_path / facts["digest"]).rows("test")
    years = np.array(values(table, "year"))
    assert abs(years.mean()) < 0.05
    assert years.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"min_count": 2},
        {"threshold": 1.0},
        {"fields": {"hour": "categorical"}},
        {"fields": FIELDS | {"hour": "binned"}},
        {"fields": dict(reversed(FIELDS.items()))},
    ],
)
def test_what_is_asked_changes_the_digest(given: Prepare, change: dict[str, Any]) -> None:
    assert given(**change).digest != given().digest


def test_a_damaged_folder_is_explained(given: Prepare) -> None:
    folder = given().folder
    (folder / "test.labels.npy").unlink()
    with pytest.raises(DataError, match="Delete the folder and prepare them again"):
        Prepared.open(folder).rows("test")


def test_a_label_is_needed(refused: Refused) -> None:
    message = refused(TRAIN.replace("label", "bought"))
    assert message.startswith("train.csv: no column holds the label; the columns are user, item,")
    assert "data: {columns: {label: NAME}}" in message


def test_a_label_that_is_neither_0_nor_1_asks_for_a_threshold(refused: Refused) -> None:
    message = refused(TRAIN, VALIDATION.replace("d,z,0", "d,z,3"))
    assert message.startswith(
        "validation.csv: row 3, column 'label' must be 0 or 1, got '3'. Set data.threshold"
    )


def test_a_label_outside_its_range_is_named(refused: Refused) -> None:
    message = refused(TRAIN.replace("a,x,1", "a,x,9"), threshold=3, label_range=(0, 5))
    assert "train.csv: row 2, column 'label' must be from 0 to 5, got '9'." in message


def test_labels_of_one_kind_are_refused_with_their_part(refused: Refused) -> None:
    message = refused(TRAIN, VALIDATION.replace("d,z,0", "d,z,1"))
    assert message.startswith("All 2 validation rows have the label 1, and telling labels apart")
    message = refused(threshold=2)
    assert message.startswith("All 4 train rows have the label 0")
    assert "Change data.threshold" in message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"horu": "categorical"}, "there is no column 'horu' for data.fields; the columns are"),
        ({"label": "categorical"}, "column 'label' is the label, and data.fields names it as well"),
        ({"hour": "numeric", "tags": "numeric"}, "column 'tags' must be a number or empty, got"),
    ],
)
def test_a_wrong_field_is_named(refused: Refused, fields: Any, message: str) -> None:
    assert message in refused(fields=fields)


def test_a_column_that_a_later_file_lacks_is_named(refused: Refused) -> None:
    message = refused(TRAIN, VALIDATION.replace("hour", "h"))
    assert message == (
        "validation.csv: there is no column 'hour', but train.csv has one. "
        "Give all files the same columns."
    )


def test_rows_that_nothing_describes_are_refused(refused: Refused) -> None:
    message = refused("label,a\n1,2\n0,1\n", fields={})
    assert message.startswith("train.csv: nothing describes the rows")


def test_features_of_nobody_are_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user,age\na,3\n")
    users = FeatureFile(str(tmp_path / "users.csv"), {"age": "numeric"})
    message = refused(TRAIN.replace("user", "who"), user_features=users)
    assert "no column holds the users, which data.user_features describes" in message


def test_a_vector_cannot_be_a_field(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,picture\nx,1|2\ny,2|3\n")
    items = FeatureFile(str(tmp_path / "items.csv"), {"picture": "vector"})
    assert "feature 'picture' is a vector" in refused(item_features=items)


def test_a_column_named_as_a_role_that_another_plays_is_refused(refused: Refused) -> None:
    message = refused(columns=ColumnNames(user="hour"), fields={"user": "categorical"})
    assert message.startswith("data: two fields are named 'user'")


def test_a_feature_of_both_users_and_items_is_refused(refused: Refused, tmp_path: Path) -> None:
    for role, first in (("user", "a"), ("item", "x")):
        (tmp_path / f"{role}s.csv").write_text(f"{role},age\n{first},2\n")
    users, items = (
        FeatureFile(str(tmp_path / f"{role}s.csv"), {"age": "numeric"}) for role in ("user", "item")
    )
    message = refused(user_features=users, item_features=items)
    assert message.startswith("data: two fields are named 'age'")


def test_lists_of_items_cannot_be_ranked(tmp_path: Path) -> None:
    (tmp_path / "lists.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match=r"data\.format lists has no labels"):
        DataRequest(path=str(tmp_path / "lists.txt"), format="lists", task="ranking")


def test_columns_may_be_called_as_the_rows_are_counted(given: Prepare) -> None:
    def numbered(text: str) -> str:
        return text.replace("hour", "row")

    prepared = given(
        numbered(TRAIN),
        numbered(VALIDATION),
        held_out=numbered(TEST),
        fields={"row": "categorical"},
    )
    assert values(train(prepared), "row") == [1, 2, 1, 0]


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
def test_truth_values_are_labels(given: Prepare, words: tuple[str, str]) -> None:
    def worded(text: str) -> str:
        for number, word in zip("10", words, strict=True):
            text = re.sub(rf"^(\w,\w),{number},", rf"\1,{word},", text, flags=re.MULTILINE)
        return text

    prepared = given(worded(TRAIN), worded(VALIDATION), held_out=worded(TEST))
    assert train(prepared).labels.tolist() == [1, 0, 0, 1]


def test_a_label_that_is_no_number_is_shown_as_it_is_written(refused: Refused) -> None:
    message = refused(TRAIN.replace("a,x,1,", "a,x,Yes,"))
    assert message.startswith("train.csv: row 2, column 'label' must be a number, got 'Yes'.")


def test_a_number_too_large_for_a_field_is_named(refused: Refused) -> None:
    message = refused(TRAIN.replace("4.5", "1e300"))
    assert message == (
        "train.csv: row 4, column 'price' must be a number up to 3.4e+38 or empty, got '1e300'. "
        "Correct it, or give the column another kind."
    )
