import numpy as np
import pytest

from automl_rec.plugin import Catalog, Feature, Histories, RowTable
from automl_rec_embeddings.graphs import Graph, biadjacency, graph_around

# Users 0 and 1 met items 0, 1 and item 1 twice; user 2 met nothing, and nobody item 2.
HISTORIES = Histories(np.array([0, 2, 4, 4]), np.array([0, 1, 1, 1], np.int32))
TAGS = Feature("multi", np.array([0, 1, 1], np.int32), 3, np.array([0, 2, 3, 3]))
GROUP = Feature("categorical", np.array([1, -1, 0], np.int32), 2)
CATALOG = Catalog(3, HISTORIES, {"group": GROUP}, {"tags": TAGS})


def rows(**fields: Feature) -> Catalog:
    labels = np.array([1, 1, 0, 1], np.float32)
    nobody = Histories(np.zeros(1, np.int64), np.zeros(0, np.int32))
    return Catalog(0, nobody, rows=RowTable(fields, labels))


def categorical(values: list[int], cardinality: int) -> Feature:
    return Feature("categorical", np.array(values, np.int32), cardinality)


FIELDS = rows(
    user=categorical([0, 0, 0, 1], 2),
    item=categorical([2, 2, 1, 0], 3),
    price=Feature("numeric", np.ones(4, np.float32)),
)


@pytest.mark.parametrize(
    ("ids", "graph"),
    [
        ("user", Graph("user", "item")),
        ("item", Graph("user", "item")),
        ("item.tags", Graph("user", "item.tags")),
        ("user.group", Graph("user.group", "item")),
    ],
)
def test_users_meet_items_and_features_meet_the_other_side(ids: str, graph: Graph) -> None:
    assert graph_around(ids, CATALOG) == graph


def test_a_field_meets_the_other_one_of_most_values() -> None:
    assert graph_around("user", FIELDS) == Graph("item", "user") == graph_around("item", FIELDS)


def test_a_field_alone_and_ids_nobody_counts_have_no_graph() -> None:
    alone = rows(user=categorical([0, 0, 0, 1], 2), price=Feature("numeric", np.ones(4)))
    assert graph_around("user", alone) is None
    assert graph_around("", CATALOG) is None


def test_users_and_items_are_joined_once_however_often_they_met() -> None:
    found = biadjacency(Graph("user", "item"), CATALOG).toarray()
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_feature_is_joined_by_every_interaction_of_its_owners() -> None:
    tags = biadjacency(Graph("user", "item.tags"), CATALOG).toarray()
    assert tags.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    groups = biadjacency(Graph("user.group", "item"), CATALOG).toarray()
    assert groups.tolist() == [[0, 0, 0], [1, 1, 0]]  # that of user 1 is unknown


def test_fields_are_joined_by_every_row_labelled_1() -> None:
    found = biadjacency(Graph("item", "user"), FIELDS).toarray()
    assert found.tolist() == [[0, 1], [0, 0], [2, 0]]
