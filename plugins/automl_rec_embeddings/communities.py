"""Communities of a graph: ids that meet the same others."""

from functools import cache, cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from automl_rec_embeddings.graphs import biadjacency

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import scipy.sparse as sp

    from automl_rec.plugin import Catalog
    from automl_rec_embeddings.graphs import Graph

    Arrays = Mapping[str, npt.NDArray[np.generic]]
    Labels = npt.NDArray[np.uint32]

METHOD = "communities 1"
"""To be raised when the same graph gives other labels."""


class Communities:
    """The communities of one graph at any resolution; each is searched for once a data set."""

    def __init__(self, graph: "Graph", catalog: "Catalog") -> None:
        self.graph, self._catalog = graph, catalog

    def labels(self, ids: str, resolution: float) -> "Labels":
        """(N,) the community of every id of one side of the graph, numbered from 0.

        Where the graph has no edge, every id is alone.
        """
        return self._found(resolution)[self._side(ids)].astype(np.uint32, copy=False)

    def count(self, ids: str, resolution: float) -> int:
        """Number of different labels of one side."""
        return int(self._found(resolution)[f"number of {self._side(ids)}"])

    def _side(self, ids: str) -> str:
        return "rows" if ids == self.graph.rows else "columns"

    def _found(self, resolution: float) -> "Arrays":
        name = (
            f"{METHOD} of {self.graph.rows} and {self.graph.columns}, scikit-network "
            f"{_version()}, resolution {resolution!r}"
        )
        return self._catalog.derived(name, lambda: self._searched(resolution))

    def _searched(self, resolution: float) -> "Arrays":
        graph = self._biadjacency
        alone = [np.arange(size, dtype=np.uint32) for size in graph.shape]
        rows, columns = communities(graph, resolution) if graph.nnz else alone
        return {
            "rows": rows,
            "columns": columns,
            "number of rows": np.array(np.unique(rows).size),
            "number of columns": np.array(np.unique(columns).size),
        }

    @cached_property
    def _biadjacency(self) -> "sp.csr_matrix":
        return biadjacency(self.graph, self._catalog)


def communities(biadjacency: "sp.csr_matrix", resolution: float) -> "tuple[Labels, Labels]":
    """Labels of the rows and of the columns of a bipartite graph, each numbered from 0.

    Louvain's greedy search for the largest modularity of Barber, the sum over pairs in one
    community of ``A_ij - resolution * k_i * d_j / w``. The order of nodes is that of their
    numbers, so that the same graph always gives the same labels. All rows without an edge share
    the last label, and so do all columns.

    Args:
        biadjacency: (rows, columns) weights of edges, at least one and none negative.
        resolution: above 0; the larger, the more communities.
    """
    # Imported where it is needed: listing plugins or training another model must not wait for it.
    from sknetwork.clustering import Louvain

    met = np.flatnonzero(biadjacency.getnnz(axis=1)), np.flatnonzero(biadjacency.getnnz(axis=0))
    louvain = Louvain(resolution, random_state=0, return_probs=False, return_aggregate=False)
    louvain.fit(biadjacency[met[0]][:, met[1]], force_bipartite=True)
    found = louvain.labels_row_, louvain.labels_col_
    rows, columns = (
        _numbered(own, places, size)
        for own, places, size in zip(found, met, biadjacency.shape, strict=True)
    )
    return rows, columns


def _numbered(
    found: "npt.NDArray[np.int64]", places: "npt.NDArray[np.intp]", size: int
) -> "Labels":
    """Labels 0, 1, ... of the ids at ``places``, and one more for all others."""
    different, numbers = np.unique(found, return_inverse=True)
    labels = np.full(size, len(different), np.uint32)
    labels[places] = numbers
    return labels


@cache
def _version() -> str:
    return version("scikit-network")
