from collections.abc import Mapping
from typing import Literal

import pytest
import torch

from automl_rec.builder import finalize
from automl_rec.errors import Infeasible
from automl_rec.plugin import Field, Phase, PlainTable, Step, Value
from automl_rec.price import price
from automl_rec.registry import Registry
from automl_rec.space.configuration import Chosen, Configuration
from automl_rec.testing.contract import answers, catalog_for, configuration_of, trained
from automl_rec.testing.hosts import registry_with_hosts
from automl_rec.testing.planted import planted_tiny
from automl_rec_embeddings.composition import ComposedTable
from automl_rec_embeddings.quant import Quant
from automl_rec_embeddings.row_stores.stepped_rows import SteppedRows

FIELDS = {
    "user": Field("user", 1000, 32),
    "item": Field("item", 500, 32, scored=True),
    "bias": Field("bias", 500, 1),
}
FULL = 4 * (1500 * 32 + 500)


def planned(steps: Literal["learned", "fitted"], budget: float) -> Quant:
    embedding = Quant(steps, "budget", budget=budget)
    embedding.adopt(embedding.plan(FIELDS, planted_tiny().catalog))
    return embedding


@pytest.mark.parametrize(
    ("budget", "bits"), [(1.0, 16), (0.56, 16), (0.5, 8), (0.3, 8), (0.28, 4), (0.17, 4)]
)
def test_a_budget_takes_the_most_bits_that_fit(budget: float, bits: int) -> None:
    embedding = planned("learned", budget)
    assert embedding.bits == bits
    largest = max(b for b in (4, 8, 16) if 1500 * (32 * b // 8 + 4) + 500 * 4 <= budget * FULL)
    assert bits == largest


@pytest.mark.parametrize("steps", ["learned", "fitted"])
def test_a_budget_below_four_bits_is_refused_with_what_they_need(
    steps: Literal["learned", "fitted"],
) -> None:
    # Fitted steps code the bias too: a byte and a step where there were four bytes.
    needed = 1500 * (16 + 4) + 500 * (4 if steps == "learned" else 5)
    with pytest.raises(Infeasible, match=rf"integers of 4 bits need {needed:,}\. Raise the budget"):
        planned(steps, 0.1)


def test_tables_that_learned_steps_would_not_shrink_stay_full() -> None:
    embedding, generator = planned("learned", 0.5), torch.Generator().manual_seed(0)
    assert isinstance(embedding.table(FIELDS["bias"], generator), PlainTable)
    assert isinstance(embedding.table(FIELDS["item"], generator), ComposedTable)


def test_learned_steps_are_left_alone_by_compression_and_fitted_ones_come_after_it() -> None:
    for embedding, sensitive in ((planned("learned", 0.5), True), (planned("fitted", 0.5), False)):
        table = embedding.table(FIELDS["item"], torch.Generator().manual_seed(0))
        assert [weight.sensitive for weight in table.weights()] == [sensitive]


def test_a_step_of_the_optimiser_is_followed_by_one_of_the_steps_and_a_rounding() -> None:
    embedding = planned("learned", 0.3)
    table = embedding.table(FIELDS["item"], torch.Generator().manual_seed(0))
    assert isinstance(table, ComposedTable)
    (store,) = table.stores
    assert isinstance(store, SteppedRows)
    embedding.begin(Phase("train"), torch.Generator().manual_seed(1))
    assert store.steps is not None
    assert [*embedding.owned()] == [store.steps]
    start = store.steps.detach().clone()
    ids = torch.tensor([3, 8, 8])
    weights = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    calls: list[None] = []

    def loss() -> torch.Tensor:
        calls.append(None)
        return (table.lookup(ids) * weights).sum()

    loss().backward()
    with torch.no_grad():  # what the loop's optimiser does, momentum of row 100 included
        assert store.weight.trainable.grad is not None
        store.weight.trainable.sub_(0.001 * store.weight.trainable.grad)
        store.weight.trainable[100] += 0.0123
    others = store.weight.trainable.detach()[100].clone()
    embedding.after_step(Step(1, 10, 0.001, loss))
    assert len(calls) == 2, "the loss of the batch once for the rows and once for their steps"
    moved = (store.steps.detach() / start - 1).abs()
    read = torch.zeros(500, dtype=torch.bool)
    read[ids] = True
    assert torch.allclose(moved[read], torch.tensor(2e-5 / 0.01), rtol=1e-3)
    assert not moved[~read].gt(1e-6).any()
    rows = store.weight.trainable.detach()
    integers = rows[ids] / store.steps.detach()[ids, None]
    assert torch.allclose(integers, integers.round(), atol=1e-4)
    assert torch.equal(rows[100], others)


def test_without_write_back_rows_keep_what_is_less_than_a_step() -> None:
    embedding = Quant("learned", "bits", write_back=False, bits=8)
    embedding.adopt({"bits": 8})
    table = embedding.table(FIELDS["item"], torch.Generator().manual_seed(0))
    (weight,) = table.weights()
    embedding.begin(Phase("train"), torch.Generator().manual_seed(1))
    before = weight.trainable.detach().clone()
    table.rows().sum().backward()
    embedding.after_step(Step(1, 10, 0.001, lambda: table.rows().square().sum()))
    assert torch.equal(weight.trainable, before)
    assert not torch.equal(table.rows(), before)


def test_rows_that_a_model_freezes_are_not_stepped() -> None:
    embedding = planned("learned", 0.3)
    table = embedding.table(FIELDS["item"], torch.Generator().manual_seed(0))
    rows = torch.randn(500, 32, generator=torch.Generator().manual_seed(2))
    table.assign(rows)
    table.requires_grad_(False)
    embedding.begin(Phase("train"), torch.Generator().manual_seed(1))
    embedding.after_step(Step(1, 10, 0.001, lambda: pytest.fail("there is nothing to learn")))
    assert torch.equal(table.rows(), rows)


def configuration(registry: Registry, name: str, values: Mapping[str, Value]) -> Configuration:
    chosen = Chosen(name, dict(values))
    return configuration_of(registry, "host-factorization", compressions={"embedding": chosen})


def learned(bits: int) -> dict[str, Value]:
    return {"sized_by": "bits", "bits": bits, "steps": "learned", "step_rate": 2e-5}


def test_sixteen_bits_train_as_float32_does_and_four_do_not() -> None:
    registry = registry_with_hosts()
    full = configuration(registry, "full", {"precision": "fp32"})
    catalog = catalog_for(registry.component("model", "host-factorization"))
    expected = answers(finalize(trained(full, catalog, registry)), catalog)
    errors = {}
    for bits in (4, 8, 16):
        made = finalize(trained(configuration(registry, "quant", learned(bits)), catalog, registry))
        errors[bits] = ((answers(made, catalog) - expected).norm() / expected.norm()).item()
    assert errors[16] < 1e-3
    assert errors[16] < errors[8] < errors[4]


@pytest.mark.parametrize(("bits", "stored"), [(4, torch.uint8), (8, torch.int8), (16, torch.int16)])
@pytest.mark.parametrize("steps", ["learned", "fitted"])
def test_either_kind_of_steps_is_served_as_integers_at_its_price(
    bits: int, stored: torch.dtype, steps: str
) -> None:
    registry = registry_with_hosts()
    values = learned(bits) if steps == "learned" else {**learned(bits), "steps": "fitted"}
    if steps == "fitted":
        del values["step_rate"]
    chosen = configuration(registry, "quant", values)
    catalog = catalog_for(registry.component("model", "host-factorization"))
    served = finalize(trained(chosen, catalog, registry))
    tables = {n: t for n, t in served.tensors().items() if n.startswith(("users.", "items."))}
    assert {tensor.dtype for tensor in tables.values()} == {stored, torch.float32}
    expected = (60 + 40) * (8 * bits // 8 + 4)
    assert served.bytes_tables == price(chosen, catalog, registry).bytes_tables.low == expected
