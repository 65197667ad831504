import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from automl_rec.plugin import Catalog, Histories
from automl_rec.testing.planted import planted_interactions
from automl_rec_embeddings.communities import Communities, communities
from automl_rec_embeddings.graphs import Graph

BLOCKS = 20
CATALOG = planted_interactions(users=400, items=300, blocks=BLOCKS, events=20).catalog
GRAPH = Graph("user", "item")
Labels = npt.NDArray[np.uint32]


def modularity(graph: sp.csr_matrix, rows: Labels, columns: Labels, resolution: float) -> float:
    """Barber's, pair by pair as it is written down."""
    dense = graph.toarray().astype(np.float64)
    weight = dense.sum()
    expected = np.outer(dense.sum(1), dense.sum(0)) / weight
    same = rows[:, None] == columns[None, :]
    return float(((dense - resolution * expected) * same).sum() / weight)


def together(catalog: Catalog, resolution: float) -> tuple[Labels, Labels]:
    """Labels that still say which users and items are in one community."""
    from sknetwork.clustering import Louvain

    louvain = Louvain(resolution, random_state=0).fit(catalog.matrix, force_bipartite=True)
    return louvain.labels_row_, louvain.labels_col_


def test_planted_blocks_are_found_exactly() -> None:
    rows, columns = communities(CATALOG.matrix, 1.0)
    for labels in (rows, columns):
        blocks = np.arange(len(labels)) % BLOCKS
        assert len(np.unique(np.stack([labels, blocks]), axis=1).T) == BLOCKS
        assert len(np.unique(labels)) == BLOCKS


@pytest.mark.parametrize("resolution", [1.0, 10.0, 20.0])
def test_communities_beat_every_shuffle_of_themselves(resolution: float) -> None:
    rows, columns = together(CATALOG, resolution)
    for found, mine in zip((rows, columns), communities(CATALOG.matrix, resolution), strict=True):
        pairs = np.unique(np.stack([found, mine]), axis=1)
        assert pairs.shape[1] == len(np.unique(found)) == len(np.unique(mine))
    generator = np.random.default_rng(0)
    best = modularity(CATALOG.matrix, rows, columns, resolution)
    for _ in range(20):
        shuffled = generator.permutation(rows), generator.permutation(columns)
        assert best > modularity(CATALOG.matrix, *shuffled, resolution)


def test_higher_resolutions_give_more_communities_down_to_single_ids() -> None:
    sizes = [len(np.unique(communities(CATALOG.matrix, 2.0**k)[0])) for k in (-2, 2, 4, 14)]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 400


def test_ids_that_nobody_met_share_one_community() -> None:
    met = np.zeros((9, 8), np.float32)
    met[:3, :3] = met[5:8, 4:7] = 1.0
    rows, columns = communities(sp.csr_matrix(met), 1.0)
    assert rows.tolist() == [0, 0, 0, 2, 2, 1, 1, 1, 2]
    assert columns.tolist() == [0, 0, 0, 2, 1, 1, 1, 2]


def test_the_same_graph_gives_the_same_communities() -> None:
    first, second = (communities(CATALOG.matrix, 15.0) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one, other)


def test_counts_are_the_numbers_of_different_labels() -> None:
    found = Communities(GRAPH, CATALOG)
    for ids in ("user", "item"):
        labels = found.labels(ids, 15.0)
        assert found.count(ids, 15.0) == len(np.unique(labels)) == labels.max() + 1
    assert len(found.labels("item", 15.0)) == 300


def test_a_data_set_is_searched_once_a_resolution() -> None:
    catalog = Catalog(CATALOG.num_items, CATALOG.histories)
    first = Communities(GRAPH, catalog).labels("user", 3.0)
    assert len(catalog._derived) == 1
    again = Communities(GRAPH, catalog)
    assert again.labels("user", 3.0) is first
    again.count("item", 3.0)
    assert len(catalog._derived) == 1
    again.count("item", 3.5)
    assert len(catalog._derived) == 2


def test_without_an_edge_every_id_is_alone() -> None:
    nobody = Histories(np.zeros(4, np.int64), np.zeros(0, np.int32))
    found = Communities(GRAPH, Catalog(2, nobody))
    assert found.count("user", 1.0) == 3
    assert found.labels("item", 1.0).tolist() == [0, 1]
