"""Contradictory requests are refused by the name of the field."""

from typing import Any

import pytest

from automl_rec.data import ColumnNames, DataRequest, FeatureFile, SplitRequest
from automl_rec.errors import DataError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of source, path and train (with test), got none of them."),
        ({"source": "a", "path": "b"}, "got source and path."),
        (
            {"source": "a", "columns": ColumnNames(user="b")},
            "data.source a brings its own columns. Remove data.columns",
        ),
        ({"source": "a", "format": "csv"}, "data.source a brings its own format."),
        ({"train": "a"}, "data.train is given without data.test."),
        ({"path": "a", "test": "b"}, "data.path and test do not go together"),
        ({"path": "a", "split": SplitRequest("given")}, "data.split.kind given does not go with"),
        (
            {"train": "a", "test": "b", "split": SplitRequest("random")},
            "data.split.kind random does not go with train and test.",
        ),
        ({"path": "a", "format": "xlsx"}, "data.format must be one of csv, tsv, parquet, inter"),
        ({"path": "a", "duplicates": "all"}, "data.duplicates must be one of first, last"),
        ({"path": "a", "separator": "::"}, "data.separator must be one ASCII character, got '::'"),
        ({"path": "a", "separator": "\ud800"}, "must be one ASCII character, got '\\ud800'"),
        ({"path": "a", "k_core": -1}, "data.k_core must be 0 or more, got -1."),
        ({"path": "a", "seed": -2}, "data.seed must be 0 or more, got -2."),
        ({"path": "a", "threshold": float("nan")}, "data.threshold must be a number, got nan."),
        ({"path": "a", "label_range": (5, 1)}, "must go from low to high, got 5, 1."),
        ({"source": "a", "header": False}, "data.source a brings its own header."),
        ({"path": "a", "task": "rank"}, "data.task must be one of retrieval, ranking, got 'rank'."),
        ({"path": "a", "fields": {"b": "numeric"}}, "data.fields describes rows, got {'b':"),
        ({"path": "a", "min_count": 2}, "data.min_count describes rows, got 2. Set data.task:"),
    ],
)
def test_contradictory_request_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        DataRequest(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_count": 0}, "data.min_count must be 1 or more, got 0."),
        ({"fields": {"b": "text"}}, "the kind of field 'b' must be one of categorical, multi,"),
        ({"k_core": 5}, "data.k_core does not apply to data.task ranking, where every row counts"),
        ({"duplicates": "last"}, "data.duplicates does not apply to data.task ranking"),
        ({"split": SplitRequest("leave-last-out")}, "leave-last-out divides the events of users"),
        ({"split": SplitRequest("user-disjoint")}, "user-disjoint divides the events of users"),
        ({"columns": ColumnNames(domain="b")}, "data.columns.domain does not apply to data.task"),
        ({"format": "lists"}, "data.format lists has no labels to rank by."),
    ],
)
def test_what_does_not_go_with_rows_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        DataRequest(path="a", task="ranking", **fields)
    assert message in str(caught.value)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
@pytest.mark.parametrize("name", ["validation", "test", "holdout"])
def test_share_outside_the_open_unit_interval_is_refused(name: str, share: float) -> None:
    with pytest.raises(DataError, match=rf"data\.split\.{name} must be above 0 and below 1"):
        SplitRequest(**{name: share})  # type: ignore[arg-type]


def test_shares_that_leave_no_train_are_refused() -> None:
    with pytest.raises(DataError, match=r"must leave something to train on, got 0\.5 and 0\.5"):
        SplitRequest(validation=0.5, test=0.5)


def test_feature_file_without_columns_or_with_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match="no feature column is named"):
        FeatureFile("f.csv", {})
    with pytest.raises(DataError, match="the kind of feature 'a' must be one of categorical"):
        FeatureFile("f.csv", {"a": "text"})  # type: ignore[dict-item]
    with pytest.raises(DataError, match="features need columns, got format lists"):
        FeatureFile("f.csv", {"a": "numeric"}, format="lists")
