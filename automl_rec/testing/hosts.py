"""Small models that embeddings, sparsities and ranks are tested on."""

import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from automl_rec.plugin import (
    Batch,
    Catalog,
    ClosedFormModel,
    Component,
    GradientModel,
    Layers,
    Pairs,
    RankingModel,
    Requests,
    Rows,
    Sampling,
    Table,
    gradient_training,
)
from automl_rec.registry import Plugin, Registry

WIDTH = 8
LAYER_WIDTH = 128
NEIGHBOURS = 6
_HOME = "automl_rec.testing.hosts"
_SOURCE = "Made for tests."


class Factorization(GradientModel):
    """User and item tables with a layer between them, and a layer compression leaves alone."""

    sampling = Sampling()

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        self.users = layers.table("user", WIDTH)
        self.items = layers.table("item", WIDTH, scored=True)
        self.hidden = layers.linear("hidden", WIDTH, 2 * WIDTH)
        self.output = layers.linear("output", 2 * WIDTH, WIDTH, sensitive=True)

    def loss(self, batch: Batch) -> Tensor:
        """See `TrainedModel.loss`."""
        assert isinstance(batch, Pairs), "the sampling asks for pairs"
        queries = self._queries(batch.users)[:, None]  # (B, 1, D)
        liked = (queries * self.items.lookup(batch.items)[:, None]).sum(-1)
        others = (queries * self.items.lookup(batch.negatives)).sum(-1)
        return softplus(others - liked).mean()

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.items.score(self._queries(requests.users))

    def _queries(self, users: Tensor) -> Tensor:
        rows = self.users.lookup(users)
        changed: Tensor = self.output(torch.tanh(self.hidden(rows)))
        return rows + changed


class Layered(Factorization):
    """The same with layers that follow each other, wide enough for blocks of entries."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        GradientModel.__init__(self)
        self.users = layers.table("user", WIDTH)
        self.items = layers.table("item", WIDTH, scored=True)
        self.hidden = layers.linear("hidden", WIDTH, LAYER_WIDTH)
        self.inner = layers.linear("inner", LAYER_WIDTH, LAYER_WIDTH, after=self.hidden)
        self.output = layers.linear("output", LAYER_WIDTH, WIDTH, sensitive=True, after=self.inner)

    def _queries(self, users: Tensor) -> Tensor:
        rows = self.users.lookup(users)
        changed: Tensor = self.output(torch.tanh(self.inner(torch.tanh(self.hidden(rows)))))
        return rows + changed


class Likeness(ClosedFormModel):
    """Dense cosines between items."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        self.weight = layers.item_item("likeness")

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        self.weight.assign(_cosines(catalog))

    def scores(self, requests: Requests) -> Tensor:
        """See `RetrievalModel.scores`."""
        return self.weight.matrix.bag(requests.indptr, requests.items)


class Neighbours(Likeness):
    """A few cosines an item, stored sparse."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        ClosedFormModel.__init__(self)
        self.weight = layers.item_item("neighbours", limit=catalog.num_items * NEIGHBOURS)

    def fit(self, catalog: Catalog, generator: torch.Generator) -> None:
        """See `ClosedFormModel.fit`."""
        cosines = _cosines(catalog)
        best = cosines.topk(NEIGHBOURS, dim=1)
        kept = torch.zeros_like(cosines).scatter(1, best.indices, best.values)
        self.weight.assign(sp.csr_matrix(kept.numpy()))


class Fields(RankingModel):
    """Weights and vectors of all ids, the products of their pairs, and a layer on their sum."""

    def __init__(self, catalog: Catalog, layers: Layers) -> None:
        super().__init__()
        assert catalog.rows is not None, "the task ranking has rows"
        fields = catalog.rows.fields
        self.names = [name for name, field in fields.items() if field.kind != "numeric"]
        self.first = nn.ModuleList(layers.table(f"{n}.first", 1, ids=n) for n in self.names)
        self.second = nn.ModuleList(layers.table(n, WIDTH) for n in self.names)
        self.hidden = layers.linear("hidden", WIDTH, 2 * WIDTH)
        self.output = layers.linear("output", 2 * WIDTH, 1, sensitive=True)

    def logits(self, rows: Rows) -> Tensor:
        """See `RankingModel.logits`."""
        ids = [rows.fields[name] for name in self.names]
        weights = [_summed(*read) for read in zip(self.first, ids, strict=True)]
        vectors = [_summed(*read) for read in zip(self.second, ids, strict=True)]
        total = torch.stack(vectors).sum(0)  # (B, D)
        squares = torch.stack([vector.square() for vector in vectors]).sum(0)
        pairs = 0.5 * (total.square() - squares).sum(1)
        changed: Tensor = self.output(torch.tanh(self.hidden(total)))
        return torch.cat(weights, 1).sum(1) + pairs + changed[:, 0]


FACTORIZATION = Component(
    kind="model",
    name="host-factorization",
    summary="Two tables and two layers, trained by gradient.",
    source=_SOURCE,
    implementation=f"{_HOME}:Factorization",
    training=gradient_training(learning_rate=1e-2, batch_size=256),
)
LAYERED = Component(
    kind="model",
    name="host-layers",
    summary="Two tables and three layers, trained by gradient.",
    source=_SOURCE,
    implementation=f"{_HOME}:Layered",
    training=gradient_training(learning_rate=1e-2, batch_size=256),
)
LIKENESS = Component(
    kind="model",
    name="host-likeness",
    summary="A dense item-item weight in closed form.",
    source=_SOURCE,
    implementation=f"{_HOME}:Likeness",
    compressible=frozenset({"rank", "sparsity"}),
)
NEIGHBOURHOOD = Component(
    kind="model",
    name="host-neighbours",
    summary="An item-item weight that is sparse from the start.",
    source=_SOURCE,
    implementation=f"{_HOME}:Neighbours",
    compressible=frozenset({"sparsity"}),
)
JUDGEMENT = Component(
    kind="model",
    name="host-fields",
    summary="Two tables a field and two layers, to judge rows.",
    source=_SOURCE,
    implementation=f"{_HOME}:Fields",
    training=gradient_training(learning_rate=1e-2, batch_size=256),
    tasks=("ranking",),
)
HOSTS = (FACTORIZATION, LAYERED, LIKENESS, NEIGHBOURHOOD, JUDGEMENT)


def registry_with_hosts() -> Registry:
    """The installed components and the hosts."""
    hosts = Plugin("hosts", "automl-rec-testing", "0", components=HOSTS)
    return Registry([*Registry.discover().plugins, hosts])


def _summed(table: nn.Module, ids: Tensor) -> Tensor:
    """(B, D) the sum of the rows of one id (B,) or of several (B, M)."""
    assert isinstance(table, Table)
    read = table.lookup(ids)
    return read if ids.ndim == 1 else read.sum(1)


def _cosines(catalog: Catalog) -> Tensor:
    """(I, I) float32 cosines of item columns, zero on the diagonal."""
    met = torch.from_numpy(catalog.matrix.toarray())
    columns = met / met.norm(dim=0).clamp(min=1.0)
    cosines: Tensor = columns.T @ columns
    return cosines.fill_diagonal_(0.0)
