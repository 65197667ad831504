import numpy as np
import pytest
import torch

from automl_rec.builder import finalize
from automl_rec.errors import Infeasible
from automl_rec.plugin import CodebookMatrix, Field, PlainTable, Precision, Step, Value
from automl_rec.price import price
from automl_rec.space.configuration import Chosen
from automl_rec.testing.contract import catalog_for, configuration_of, trained
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.dpq import QUERIES_THEN_WORDS, RESTART_STEPS, Dpq
from automl_rec_embeddings.mgqe import Mgqe
from automl_rec_embeddings.row_stores.word_rows import WordRows

IDS, WIDTH = 2000, 12
COUNTS = np.arange(IDS)[::-1].copy()
FIELD = Field("item", IDS, WIDTH, counts=COUNTS, scored=True)


def planned(embedding: Dpq, field: Field = FIELD) -> Dpq:
    embedding.adopt(embedding.plan({"item": field}, planted_tiny().catalog))
    return embedding


def table_of(embedding: Dpq, field: Field = FIELD) -> ComposedTable:
    table = planned(embedding, field).table(field, torch.Generator().manual_seed(0))
    assert isinstance(table, ComposedTable)
    return table


def store_of(table: ComposedTable) -> WordRows:
    (store,) = table.stores
    assert isinstance(store, WordRows)
    return store


def finished(embedding: Dpq, table: ComposedTable) -> CodebookMatrix:
    for weight in table.weights():
        weight.freeze()
    with torch.no_grad():
        table.settle()
    embedding.encode(table)
    (weight,) = table.weights()
    assert isinstance(weight.matrix, CodebookMatrix)
    return weight.matrix


@pytest.mark.parametrize(("asked", "parts"), [(1, 1), (4, 4), (5, 4), (8, 6), (64, 12)])
def test_parts_are_the_most_that_divide_the_width(asked: int, parts: int) -> None:
    store = store_of(table_of(Dpq(0.25, "fp32", "parts", parts=asked, words=16)))
    assert store.vocabulary.parts == parts


@pytest.mark.parametrize("budget", [0.03, 0.06, 0.1, 0.2, 0.3])
def test_a_budget_takes_the_parts_and_words_that_tell_the_most_rows_apart(budget: float) -> None:
    limit = int(budget * IDS * WIDTH * 4)
    vocabulary = store_of(table_of(Dpq(0.25, "fp32", "budget", budget=budget))).vocabulary
    assert IDS * vocabulary.parts + vocabulary.words * WIDTH * 4 <= limit
    best = max(
        parts * np.log2(words)
        for parts in (1, 2, 3, 4, 6, 12)
        for words in range(2, 257)
        if IDS * parts + words * WIDTH * 4 <= limit
    )
    assert vocabulary.parts * np.log2(vocabulary.words) == pytest.approx(best)


def test_budgets_out_of_reach_are_refused() -> None:
    with pytest.raises(Infeasible, match="Raise the budget"):
        planned(Dpq(0.25, "fp32", "budget", budget=0.02))
    with pytest.raises(Infeasible, match="Lower the budget"):
        planned(Dpq(0.25, "fp32", "budget", budget=0.9))


@pytest.mark.parametrize(("precision", "word"), [("fp32", 48), ("fp16", 24), ("int8", 12 + 4)])
def test_bytes_by_hand(precision: Precision, word: int) -> None:
    embedding = Dpq(0.25, precision, "parts", parts=4, words=32)
    table = table_of(embedding)
    matrix = finished(embedding, table)
    stored = sum(tensor.nbytes for tensor in table.state_dict().values())
    assert stored == matrix.form().bytes.low == IDS * 4 + 32 * word
    assert embedding.structure_bytes(FIELD, {"parts": 4, "words": 32}) == stored


def test_a_table_that_words_would_not_shrink_stays_full() -> None:
    field = Field("item", 100, 4)
    embedding = planned(Dpq(0.25, "fp32", "parts", parts=4, words=256), field)
    assert isinstance(embedding.table(field, torch.Generator()), PlainTable)


def test_served_tables_keep_no_rows_of_full_width() -> None:
    embedding = Dpq(0.25, "fp32", "parts", parts=4, words=32)
    table = table_of(embedding)
    table.eval()
    x = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = table.score(x)
        finished(embedding, table)
        assert torch.allclose(table.score(x), before, atol=1e-5)
        assert torch.allclose(table.rows() @ x.T, before.T, atol=1e-5)
    tensors = [part for part in vars(table).values() if isinstance(part, torch.Tensor)]
    assert all(tensor.numel() < IDS * WIDTH for tensor in tensors)


def test_the_loss_draws_words_and_queries_together_once_there_are_words() -> None:
    embedding = Dpq(0.25, "fp32", "parts", parts=4, words=32)
    table, ids = table_of(embedding), torch.tensor([1, 1, 7])

    def own() -> torch.Tensor:
        return table.lookup(ids).sum() * 0 + 3.0

    draw = torch.Generator().manual_seed(1)
    embedding.begin(QUERIES_THEN_WORDS[0], draw)
    assert embedding.loss(own).item() == 3.0
    embedding.end(QUERIES_THEN_WORDS[0])
    embedding.begin(QUERIES_THEN_WORDS[1], draw)
    apart = (table.rows() - store_of(table).weight.trainable)[[1, 7]].square().sum(1)
    assert embedding.loss(own).item() == pytest.approx(3.0 + 1.25 * apart.mean().item())


def test_unused_words_restart_after_so_many_steps_with_words() -> None:
    embedding = Dpq(0.25, "fp32", "parts", parts=4, words=32)
    store = store_of(table_of(embedding))
    assert store.words is not None
    far = torch.full_like(store.words, 1e3)
    moments = [(0, RESTART_STEPS, False), (1, RESTART_STEPS - 1, False), (1, RESTART_STEPS, True)]
    for phase, number, restarted in moments:
        embedding.begin(QUERIES_THEN_WORDS[phase], torch.Generator().manual_seed(1))
        with torch.no_grad():
            store.words.copy_(far)
        embedding.after_step(Step(number, 1000, 0.01, lambda: torch.zeros(())))
        assert torch.equal(store.words, far) != restarted


def test_words_are_left_alone_by_rank_and_sparsity() -> None:
    (weight,) = table_of(Dpq(0.25, "fp32", "parts", parts=4, words=32)).weights()
    assert weight.sensitive


def test_rare_ids_of_mgqe_choose_among_the_first_words() -> None:
    embedding = Mgqe(0.1, 0.25, 0.25, "fp32", "parts", parts=4, words=64)
    codes = finished(embedding, table_of(embedding)).codes
    assert int(codes[200:].max()) < 16, "counts fall with the id: the first tenth is frequent"
    assert int(codes[:200].max()) >= 16


def test_mgqe_has_the_bytes_of_dpq() -> None:
    schemes = [
        Mgqe(0.1, 0.25, 0.25, "fp32", "parts", parts=4, words=64),
        Dpq(0.25, "fp32", "parts", parts=4, words=64),
    ]
    assert len({finished(s, table_of(s)).form().bytes for s in schemes}) == 1


def test_ids_that_nothing_counts_have_all_words() -> None:
    field = Field("item", IDS, WIDTH)
    store = store_of(table_of(Mgqe(0.1, 0.25, 0.25, "fp32", "parts", parts=4, words=64), field))
    assert store.vocabulary.rare_words == 64
    assert store.common is not None
    assert store.common.all()


@pytest.mark.parametrize("name", ["dpq", "mgqe"])
def test_training_moves_words_and_what_is_served_costs_its_price(name: str) -> None:
    registry = registry_with_hosts()
    extra: dict[str, Value] = {"hot_share": 0.1, "cold_words": 0.25} if name == "mgqe" else {}
    sizes: dict[str, Value] = {"sized_by": "parts", "parts": 2, "words": 8}
    values = {**sizes, **extra, "commitment": 0.25, "precision": "fp32"}
    chosen = configuration_of(
        registry, "host-factorization", compressions={"embedding": Chosen(name, values)}
    )
    catalog = catalog_for(registry.component("model", "host-factorization"))
    served = finalize(trained(chosen, catalog, registry))
    expected = (60 + 40) * 2 + 2 * 8 * 8 * 4
    assert served.bytes_tables == price(chosen, catalog, registry).bytes_tables.low == expected
