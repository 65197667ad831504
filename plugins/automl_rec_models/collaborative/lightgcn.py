"""LightGCN: rows of users and items, smoothed over the graph of who met what."""

from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from automl_rec.plugin import (
    Batch,
    Catalog,
    GradientModel,
    Layers,
    Pairs,
    Requests,
    Sampling,
)
from automl_rec_models.collaborative.bpr_mf import START
from automl_rec_models.collaborative.graph import Graph, Rows
from automl_rec_models.collaborative.pairwise import (
    PairRows,
    bpr,
    item_ids,
    penalised_bpr,
    penalty,
    rows_of,
)
from automl_rec_models.collaborative.smallest import smallest


class LightGcn(GradientModel):
    """s(u, i) of rows that spread over K layers of the train graph.

    What is served depends on the tables. Where they can hold any rows, the spread rows replace
    theirs and the graph is left behind; elsewhere the graph is part of the artefact.

    Source: He et al., SIGIR 2020, equations 3-8 and 11 to 13.
    Ours offers the last layer beside the mean, has no edge dropout, and regularises the rows of
    each batch before they spread.
    """

    graph_indptr: Tensor | None
    graph_items: Tensor | None

    nests: ClassVar[bool] = True

    def __init__(
        self,
        catalog: Catalog,
        source: Layers,
        /,
        *,
        width: int,
        layers: int,
        combine: str,
        regularization: float,
        draw: Literal["edge", "user"] = "edge",
    ) -> None:
        super().__init__()
        self.user = source.table("user", width, std=START)
        self.item = source.table("item", width, std=START, lookups=0.0, scored=True)
        self.sampling = Sampling(draw=draw)
        self._catalog, self._regularization = catalog, regularization
        share = 1 / (layers + 1)
        self._weights = (share,) * (layers + 1) if combine == "mean" else (*(0.0,) * layers, 1.0)
        ships_graph = layers > 0 and not (self.user.exact and self.item.exact)
        self.register_buffer("graph_indptr", None)
        self.register_buffer("graph_items", None)
        if ships_graph:
            matrix = catalog.matrix
            self.graph_indptr = smallest(matrix.indptr, matrix.nnz)
            self.graph_items = smallest(matrix.indices, catalog.num_items - 1)
        self._graph: Graph | None = None
        self._spread: Rows | None = None

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Pairs)
        start = rows_of(batch, self.user, self.item)
        if len(self._weights) == 1:
            return penalised_bpr(start, self._regularization)
        spread = self._spread_rows()
        items = spread.items.index_select(0, item_ids(batch).reshape(-1))
        items = items.reshape(len(batch.items), -1, items.shape[1])
        ranked = PairRows(spread.users.index_select(0, batch.users), items)
        return bpr(ranked) + self._regularization * penalty(start)

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        if self._spread is None:
            return self.item.score(self.user.lookup(requests.users))
        return self._spread.users[requests.users] @ self._spread.items.T

    def prepare(self) -> None:
        """See `Model.prepare`."""
        self._spread = self._spread_rows() if self._must_spread() else None

    def finish(self) -> None:
        """See `Model.finish`."""
        if self._must_spread() and self.graph_items is None:
            spread = self._spread_rows()
            self.user.assign(spread.users)
            self.item.assign(spread.items)
        self._spread = self._graph = None

    def _must_spread(self) -> bool:
        """Whether the tables hold rows from before they spread."""
        tables = (*self.user.weights(), *self.item.weights())
        training = any(weight.in_training for weight in tables)
        return len(self._weights) > 1 and (training or self.graph_items is not None)

    def _spread_rows(self) -> Rows:
        if self._graph is None:
            self._graph = self._make_graph()
        return self._graph.spread(Rows(self.user.rows(), self.item.rows()), self._weights)

    def _make_graph(self) -> Graph:
        if self.graph_indptr is None or self.graph_items is None:
            matrix = self._catalog.matrix
            return Graph(matrix.indptr, matrix.indices, matrix.shape[1])
        indptr, items = self.graph_indptr.numpy(), self.graph_items.numpy()
        return Graph(indptr.astype(np.int32), items.astype(np.int32), self.item.num_rows)
