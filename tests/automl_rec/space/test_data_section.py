import re
from collections.abc import Callable
from pathlib import Path

import pytest

from automl_rec.data.columns import ColumnNames
from automl_rec.data.request import DataRequest, FeatureFile, SplitRequest
from automl_rec.errors import SpaceError
from automl_rec.registry import Registry
from automl_rec.space.checker import check
from automl_rec.space.data_section import read_data
from automl_rec.space.reader import parse
from automl_rec.space.space import Space

Check = Callable[..., Space]
REST = "objectives: [ndcg@10]\nmodel: tower\n"


def test_every_field_reaches_the_request(registry: Registry) -> None:
    text = """\
data:
  train: a/train.csv
  validation: ../valid.csv
  test: /far/test.csv
  format: csv
  separator: ";"
  columns: {user: u, item: i, time: t, label: stars, domain: d, behaviour: b}
  threshold: 3
  label_range: [1, 5]
  split: {kind: given, validation: 0.2, test: 0.3, holdout: 0.4}
  k_core: 5
  duplicates: last
  user_features: {path: users.csv, columns: {age: numeric}}
  item_features:
    {path: items.tsv, id: asin, format: tsv, columns: {tags: multi, brand: categorical}}
  seed: 3
"""
    found = check(text + REST, Path("spaces/mine.yaml"), registry).data
    assert found == DataRequest(
        train="spaces/a/train.csv",
        validation="spaces/../valid.csv",
        test="/far/test.csv",
        format="csv",
        separator=";",
        columns=ColumnNames("u", "i", "t", "stars", "d", "b"),
        threshold=3.0,
        label_range=(1.0, 5.0),
        split=SplitRequest("given", 0.2, 0.3, 0.4),
        k_core=5,
        duplicates="last",
        user_features=FeatureFile("spaces/users.csv", {"age": "numeric"}),
        item_features=FeatureFile(
            "spaces/items.tsv", {"tags": "multi", "brand": "categorical"}, id="asin", format="tsv"
        ),
        seed=3,
    )


def test_every_field_of_rows_reaches_the_request() -> None:
    text = """\
data:
  path: /far/rows.tsv
  task: ranking
  header: false
  columns: {label: c0}
  fields: {c1: categorical, c2: multi, c3: numeric, c4: binned}
  min_count: 3
"""
    section = parse(text, "x.yaml").content
    assert isinstance(section, dict)
    assert read_data(section["data"], Path()) == DataRequest(
        path="/far/rows.tsv",
        task="ranking",
        header=False,
        columns=ColumnNames(label="c0"),
        fields={"c1": "categorical", "c2": "multi", "c3": "numeric", "c4": "binned"},
        min_count=3,
    )


def test_a_split_may_be_one_word(checked: Check) -> None:
    space = checked(REST, base="data: {path: x.csv, split: temporal}\n")
    assert space.data == DataRequest(path="x.csv", split=SplitRequest("temporal"))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "data needs exactly one of source, path and train"),
        ("movielens-small", "data must be a mapping, got movielens-small."),
        ("{sorce: x}", 'there is no field "data.sorce". Known: source, path,'),
        ("{source: 3}", "data.source must be one of movielens-small, got 3"),
        (
            "{source: movielens-small, path: y}",
            "data needs exactly one of source, path and train (with test)",
        ),
        ("{train: x}", "data.train is given without data.test."),
        ("{path: x, format: xlsx}", "data.format must be one of csv, tsv, parquet, inter, lists"),
        ("{path: x, columns: {usr: a}}", 'no field "data.columns.usr". Known: user, item,'),
        ("{path: x, columns: {user: no}, threshold: high}", "data.threshold must be a number"),
        ("{path: x, label_range: [5, 1]}", "data.label_range must go from low to high"),
        ("{path: ~nobody-here/x}", "data.path must be a path, got ~nobody-here/x. It begins with"),
        ("{path: x, fields: {a: text}}", "data.fields.a must be one of categorical, multi,"),
        ("{path: x, header: 0}", "data.header must be true or false, got 0"),
        ("{path: x, min_count: 5}", "data.min_count describes rows, got 5."),
        ("{path: x, label_range: 5}", "data.label_range must be [low, high], got 5."),
        ("{path: x, split: tempral}", 'got tempral. Did you mean "temporal"?'),
        ("{path: x, split: {kind: random, test: 2}}", "data.split.test must be above 0 and below"),
        ("{path: x, split: {validation: .5, test: .5}}", "must leave something to train on"),
        ("{path: x, k_core: -1}", "data.k_core must be a whole number of at least 0, got -1."),
        ("{path: x, item_features: {path: y}}", "data.item_features must have columns, got"),
        ("{path: x, item_features: {path: y, columns: {}}}", "no feature column is named"),
        (
            "{path: x, item_features: {path: y, columns: {a: number}}}",
            "data.item_features.columns.a must be one of categorical, multi, numeric, vector,",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line(checked: Check, written: str, message: str) -> None:
    with pytest.raises(SpaceError, match=r"^space\.yaml:1: .*" + re.escape(message)):
        checked(REST, base=f"data: {written}\n")
