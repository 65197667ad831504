from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from automl_rec.plugin import Embedding, Field, Table
from automl_rec.testing.planted import planted_tiny
from automl_rec.training.adam import Adam
from automl_rec_embeddings.robe import Robe
from automl_rec_embeddings.row_stores.hashed_array import HashedArray
from automl_rec_embeddings.tt import TT
from automl_rec_embeddings.unified import Unified

IDS, WIDTH = 5000, 16
FAMILIES: Mapping[str, Callable[[], Embedding]] = {
    "robe": lambda: Robe(8, "fp32", "budget", 0.1),
    "tt": lambda: TT("fp32", "budget", 0.05),
    "unified": lambda: Unified(8, "fp32", "budget", 0.1),
}


def tables(family: str, ids: int = IDS) -> tuple[Table, Table]:
    embedding = FAMILIES[family]()
    fields = {name: Field(name, ids, WIDTH, scored=True) for name in ("user", "item")}
    embedding.adopt(embedding.plan(fields, planted_tiny().catalog))
    drawn = torch.Generator().manual_seed(0)
    user, item = (embedding.table(field, drawn) for field in fields.values())
    return user, item


def fresh(table: Table) -> Tensor:
    """All rows, as lookups compute them."""
    return torch.cat([table.lookup(some) for some in torch.arange(table.num_rows).split(50)])


def scores(table: Table) -> Tensor:
    return table.score(torch.eye(WIDTH)).T


def test_an_id_is_computed_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    _, item = tables("robe")
    computed: list[int] = []
    read = HashedArray.read

    def counted(store: HashedArray, slots: Tensor) -> Tensor:
        computed.append(len(slots))
        return read(store, slots)

    monkeypatch.setattr(HashedArray, "read", counted)
    ids = torch.randint(0, 40, (1000,), generator=torch.Generator().manual_seed(0))
    rows = item.lookup(ids)
    assert computed == [40]
    assert torch.equal(rows[7], item.lookup(ids[7:8])[0])


def test_all_rows_are_computed_once_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    _, item = tables("robe")
    computed: list[int] = []
    read = HashedArray.read

    def counted(store: HashedArray, slots: Tensor) -> Tensor:
        computed.append(len(slots))
        return read(store, slots)

    monkeypatch.setattr(HashedArray, "read", counted)
    item.eval()
    with torch.no_grad():
        for _ in range(3):
            item.score(torch.ones(4, WIDTH))
    assert sum(computed) == IDS
    item.score(torch.ones(4, WIDTH))  # with slopes, nothing is kept
    assert sum(computed) == 2 * IDS


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_that_was_kept_outlives_a_change(family: str) -> None:
    user, item = tables(family)
    other = tables(family)[0]
    drawn = torch.Generator().manual_seed(5)
    for table in (user, item):
        table.eval()

    def store() -> None:
        for weight in (*user.weights(), *item.weights()):
            weight.freeze()

    def settle() -> None:
        user.settle()
        item.settle()

    steps: list[Callable[[], object]] = [
        lambda: [part.sub_(0.1) for part in (*user.parameters(), *item.parameters())],
        lambda: user.load_state_dict(other.state_dict()),
        lambda: item.assign(torch.randn(IDS, WIDTH, generator=drawn)),
        lambda: user.assign(torch.randn(IDS, WIDTH, generator=drawn)),
        store,
        settle,
    ]
    with torch.no_grad():
        assert torch.allclose(scores(item), fresh(item), atol=1e-5)
        for step in steps:
            step()
            for table in (user, item):
                assert torch.allclose(scores(table), fresh(table), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_few_ids_are_learned(family: str) -> None:
    user, item = tables(family, 1000)
    wanted = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(2))
    optimizer = Adam(torch.nn.ModuleList([user, item]).parameters(), 0.02)
    for _ in range(200):
        optimizer.clear()
        loss = (item.lookup(torch.arange(8)) - wanted).square().mean()
        loss = loss + (user.lookup(torch.arange(8)) + wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("family", ["robe", "unified"])
def test_tables_of_one_store_hold_it_once(family: str) -> None:
    user, item = tables(family)
    both = torch.nn.ModuleList([user, item])
    parameters = dict(both.named_parameters())
    assert len(parameters) == 1
    stored = [t for t in both.state_dict().values() if t.is_floating_point()]
    assert [t.data_ptr() for t in stored] == [p.data_ptr() for p in parameters.values()]


@pytest.mark.parametrize("ids", [30, 4900])
def test_slopes_are_the_same_whether_some_rows_are_computed_or_all(ids: int) -> None:
    user, _ = tables("tt")
    some = torch.arange(ids).flip(0)
    weights = torch.randn(ids, WIDTH, generator=torch.Generator().manual_seed(2))
    slopes = []
    for read in (user.lookup(some), user.rows()[some]):
        for part in user.parameters():
            part.grad = None
        torch.autograd.backward([(read * weights).sum()])
        slopes.append([part.grad.clone() for part in user.parameters() if part.grad is not None])
    for first, second in zip(*slopes, strict=True):
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-4)
