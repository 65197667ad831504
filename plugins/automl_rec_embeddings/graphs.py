"""Graphs: which ids of a train part meet which others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from automl_rec.plugin import Catalog, Feature

SEVERAL = ("categorical", "multi")
"""Kinds of features whose values are ids."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A bipartite graph between ids of two kinds, in the words of `Catalog.counts`.

    Attributes:
        rows: the kind on one side; users or a feature of theirs, where the data are no rows.
        columns: the kind on the other side.
    """

    rows: str
    columns: str


def graph_around(ids: str, catalog: "Catalog") -> Graph | None:
    """The graph that tells which ids of a kind are alike; None where train knows of none.

    Users and items, and values of their features, are alike by the items or users they meet; a
    field of rows by the values it meets of the other field that has most of them.
    """
    if not ids:
        return None
    if catalog.rows is None:
        of_users = ids.partition(".")[0] == "user"
        return Graph(ids, "item") if of_users else Graph("user", ids)
    other = _largest_other(ids, catalog.rows.fields)
    return None if other is None else Graph(*sorted((ids, other)))


def biadjacency(graph: Graph, catalog: "Catalog") -> sp.csr_matrix:
    """(rows, columns) float32: how many interactions, or rows labelled 1, join two ids."""
    if catalog.rows is None:
        first, second = (_members(ids, catalog) for ids in (graph.rows, graph.columns))
        return sp.csr_matrix(first.T @ catalog.matrix @ second)
    liked = np.flatnonzero(catalog.rows.labels > 0)
    fields = catalog.rows.fields
    first, second = (incidence(fields[ids])[liked] for ids in (graph.rows, graph.columns))
    return sp.csr_matrix(first.T @ second)


def _largest_other(ids: str, fields: "Mapping[str, Feature]") -> str | None:
    others = [name for name, f in fields.items() if f.kind in SEVERAL and name != ids]
    return max(others, key=lambda name: fields[name].cardinality, default=None)


def _members(ids: str, catalog: "Catalog") -> sp.csr_matrix:
    """(U or I, N) which users or items have which value; each its own where ids are theirs."""
    role, _, feature = ids.partition(".")
    if not feature:
        size = catalog.num_users if role == "user" else catalog.num_items
        return sp.csr_matrix(sp.identity(size, np.float32))
    return incidence((catalog.user_features if role == "user" else catalog.item_features)[feature])


def incidence(feature: "Feature") -> sp.csr_matrix:
    """(owners, values) float32: how often each has each value; unknown values are left out."""
    values = np.asarray(feature.values, np.int64)
    lengths = np.ones(len(values), np.int64) if feature.indptr is None else np.diff(feature.indptr)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    known = values >= 0
    ones = np.ones(int(known.sum()), np.float32)
    places = owners[known], values[known]
    return sp.csr_matrix((ones, places), (len(lengths), feature.cardinality))
