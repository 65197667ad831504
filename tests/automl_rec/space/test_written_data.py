"""A data section written out asks for the same data when it is read again."""

from pathlib import Path

import pytest

from automl_rec.data import ColumnNames, DataRequest, FeatureFile, SplitRequest
from automl_rec.space.data_section import read_data, written_data
from automl_rec.space.reader import parse, write

REQUESTS = [
    DataRequest(source="movielens-small"),
    DataRequest(path="/d/events.csv", split=SplitRequest("random", validation=0.2, test=0.3)),
    DataRequest(
        train="/d/train.tsv",
        test="/d/test.tsv",
        validation="/d/valid.tsv",
        format="csv",
        separator="|",
        columns=ColumnNames(user="who", label="stars"),
        threshold=3.5,
        label_range=(0.5, 5.0),
        k_core=5,
        duplicates="last",
        item_features=FeatureFile("/d/items.csv", {"genres": "multi", "year": "numeric"}, id="i"),
        seed=7,
    ),
    DataRequest(
        path="/d/rows.csv",
        task="ranking",
        header=False,
        columns=ColumnNames(label="c0"),
        fields={"c1": "binned", "c2": "categorical"},
        min_count=4,
    ),
]

NUMBERS = ["1e3", ".5e3", "+.5", "007", "2024-05-31", "1:30", ".INF"]
NAMES = ["tRue", "nULL", "no", "~", "#", "é", "<<", "=", "*a", "'", "", "a: b", "- a", " a "]
LINES = ["a\nb", "\x85", "\u2028", "\x01", "\ufeff"]


@pytest.mark.parametrize("request_", REQUESTS, ids=["built-in", "one-file", "everything", "rows"])
def test_reading_what_was_written_gives_the_same_request(request_: DataRequest) -> None:
    text = write({"data": written_data(request_)})
    content = parse(text, "space.yaml").content
    assert isinstance(content, dict)
    assert read_data(content["data"], Path("/elsewhere")) == request_


@pytest.mark.parametrize("word", NUMBERS + NAMES + LINES)
def test_words_that_look_like_something_else_are_written_as_texts(word: str) -> None:
    request = DataRequest(path="/d.csv", columns=ColumnNames(user=word or "x", item=f"{word}x"))
    content = parse(write({"data": written_data(request), word or "x": 1.0}), "s.yaml").content
    assert isinstance(content, dict)
    assert read_data(content["data"], Path("/elsewhere")) == request
    assert content[word or "x"].content == 1.0


def test_relative_files_are_written_absolute() -> None:
    written = written_data(DataRequest(path="events.csv"))
    assert written == {"path": str(Path("events.csv").absolute())}
